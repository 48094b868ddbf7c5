"""Every command that the README and the docs print is one that rlrun accepts, and every link leads somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from rlrun.cli.verb_table import VERBS, parser_of
from rlrun.config.compose import load_config
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory
from rlrun.config.seeds import has_seeds, take_seeds
from rlrun.config.sweep import check_sweep

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NOT_WHOLE = ("...", "[", "mine.", "algo=mine")  # what stands for something of the reader's


def commands() -> list[str]:
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        lines = [line.split("#")[0] for line in blocks.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in lines:
            before_pipe = re.split(r" (?:>|\\?\|) ", line.strip())[0]
            match = re.match(r"(?:scripts/|\.venv/bin/)?rlrun (.*\S)", before_pipe)
            if not match or any(part in match[1] for part in NOT_WHOLE):
                continue
            if "=" in match[1] or (match[1].split()[0] in VERBS and " " in match[1]):
                found.append(match[1])
    return sorted(set(found))


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 25


@pytest.mark.parametrize("command", commands())
def test_a_printed_command_is_accepted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = shlex.split(command)
    monkeypatch.chdir(tmp_path)
    for argument in arguments:
        if argument.endswith((".yaml", ".txt")):  # a file of the reader's
            Path(argument.partition("=")[2]).touch()
    verb, directories = arguments[0], [config_directory()]
    if verb in VERBS:
        parser_of(verb).parse_intermixed_args(arguments[1:])
        arguments = arguments[1:]
    if verb == "explain":
        overrides = [argument for argument in arguments if "=" in argument]
        assert explanation(overrides, directories, [argument for argument in arguments if "=" not in argument]).rows
        return
    if verb == "play":
        arguments = ["algo=random", *arguments]
    elif verb in VERBS and verb != "check":
        return
    sweep = "-m" in arguments
    arguments = [argument for argument in arguments if not argument.startswith("-")]
    if has_seeds(arguments):
        arguments, seeds = take_seeds(arguments)
        arguments.append(f"seed={seeds[0]}")
    if sweep:
        check_sweep(arguments, directories)
    else:
        load_config(arguments, directories)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", text)
    missing = [
        target for target in targets if not target.startswith("http") and not (page.parent / target).resolve().exists()
    ]
    assert not missing
