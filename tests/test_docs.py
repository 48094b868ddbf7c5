"""Every command that the README and the docs print is one that rlrun accepts, and every link leads somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from rlrun.config.compose import load_config
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory
from rlrun.config.seeds import has_seeds, take_seeds
from rlrun.config.sweep import check_sweep

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
VERBS = {"show", "ls", "diff", "resume", "rerun", "report", "video", "watch", "export", "check"}
NOT_WHOLE = ("...", "DIR", "[", "mine.", "algo=mine")  # words that stand for something of the reader's


def commands() -> list[str]:
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        lines = [line.split("#")[0] for line in blocks.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in lines:
            match = re.match(r"(?:scripts/|\.venv/bin/)?rlrun (.*\S)", line.strip())
            if match and "=" in match[1] and not any(part in match[1] for part in NOT_WHOLE):
                found.append(match[1])
    return sorted(set(found))


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 25


@pytest.mark.parametrize("command", commands())
def test_a_printed_command_is_accepted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    monkeypatch.chdir(tmp_path)
    for word in words:
        if word.endswith((".yaml", ".txt")):  # a file of the reader's
            Path(word.partition("=")[2]).touch()
    if words[0] in VERBS:
        return
    if words[0] == "play":
        words = ["algo=random", *words[1:]]
    if words[0] == "explain":
        overrides = [word for word in words[1:] if "=" in word]
        assert explanation(overrides, [config_directory()], [word for word in words[1:] if "=" not in word]).rows
        return
    directories = [config_directory()]
    sweep = "-m" in words
    words = [word for word in words if not word.startswith("-")]
    if has_seeds(words):
        words, seeds = take_seeds(words)
        words.append(f"seed={seeds[0]}")
    if sweep:
        check_sweep(words, directories)
    else:
        load_config(words, directories)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", text)
    missing = [
        target for target in targets if not target.startswith("http") and not (page.parent / target).resolve().exists()
    ]
    assert not missing
