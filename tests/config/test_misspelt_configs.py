"""No mistake trains: keys misspelt in every way, values of a wrong type or range (benchmarks/misspelt_configs.py)."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from misspelt_configs import DOORS, EDITS, Case, misspellings, misspelt, our_keys, wrong_values

from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.config.sweep import check_sweep
from rlrun.errors import UserError

SHARE_SUGGESTED = 0.95  # of misspelt keys, the right one is among the first three that are suggested
CONF = config_directory()


def refused(case: Case, directory: Path) -> UserError:
    """The error for a wrong command; that there is one is most of what is tested."""
    words, sweep = case.overrides(directory)
    error = error_of(words, [directory, CONF], sweep=sweep)
    assert error is not None, f"accepted: {case.about} in {words}"
    assert "\n" not in str(error)
    assert len(error.details) < 20
    return error


def error_of(words: Sequence[str], directories: Sequence[Path], *, sweep: bool) -> UserError | None:
    try:
        (check_sweep if sweep else load_config)(words, directories)
    except UserError as error:
        return error
    return None


def suggested(error: UserError) -> list[str]:
    match = re.search(r"; nearest: (.*)$", str(error))
    return match[1].split(", ") if match else []


def check_misspellings(cases: Sequence[Case], directory: Path) -> float:
    """The share of cases in which the right key is suggested; all must be refused, and name the wrong one."""
    right = 0
    for case in cases:
        error = refused(case, directory)
        assert str(error).startswith(f"unknown key {case.given}"), case.about
        assert len(suggested(error)) <= 3
        right += case.key in suggested(error)
    share = right / len(cases)
    print(f"{len(cases)} misspelt keys refused; the right one is suggested for {right} ({share:.1%})")
    return share


def drawn_values(count: int, rng: random.Random) -> list[Case]:
    """One wrong value of each of `count` keys."""
    found: list[Case] = []
    for key in rng.sample(our_keys(), 3 * count):
        cases = list(wrong_values([key])) if len(found) < count else []  # sections have no values
        found += [rng.choice(cases)] if cases else []
    assert len(found) == count
    return found


def check_values(cases: Sequence[Case], directory: Path) -> None:
    for case in cases:
        assert case.key in str(refused(case, directory)), case.about


def test_cases_cover_every_key_every_door_and_every_edit() -> None:
    cases = list(misspellings())
    pairs = {(key.file, key.setting.key) for key in our_keys()}
    assert {(case.file, case.key) for case in cases} == pairs
    files = {path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*.yaml")}
    empty = {"preset/actor_critic_breakout", "preset/dqn_breakout"}  # nothing but defaults
    assert {key.file.removeprefix("/") for key in our_keys()} == files - empty
    doors: dict[tuple[str, str], set[str]] = {}
    for case in cases:
        doors.setdefault((case.file, case.key), set()).add(case.door)
    assert sum(found == set(DOORS) for found in doors.values()) > 0.95 * len(doors)  # where an edit made another key
    assert {case.door for case in cases} == set(DOORS)
    assert len(cases) > 4000


def test_misspelling_is_one_edit() -> None:
    rng = random.Random(0)
    lengths = {"drop": -1, "swap": 0, "double": 1, "add": 1}
    for edit in EDITS:
        for name in ("gamma", "learning_rate", "id"):
            given = misspelt(name, edit, rng)
            assert given != name
            assert len(given) == len(name) + lengths[edit]
            assert sorted(given) == sorted(name) or edit != "swap"


def test_drawn_misspellings_are_refused_and_understood(tmp_path: Path) -> None:
    drawn = random.Random(2026).sample(list(misspellings()), 20)  # in fewer, one miss is already more than 1 in 20
    assert check_misspellings(drawn, tmp_path) >= SHARE_SUGGESTED


def test_drawn_wrong_values_are_refused(tmp_path: Path) -> None:
    check_values(drawn_values(6, random.Random(2026)), tmp_path)


@pytest.mark.slow
def test_every_misspelling_is_refused_and_understood(tmp_path: Path) -> None:
    assert check_misspellings(list(misspellings()), tmp_path) >= SHARE_SUGGESTED


@pytest.mark.slow
def test_every_wrong_value_is_refused(tmp_path: Path) -> None:
    cases = list(wrong_values(our_keys()))
    assert len(cases) > 3000
    check_values(cases, tmp_path)


def commands(count: int, directory: Path, seed: int) -> list[list[str]]:
    """Drawn wrong commands, whole."""
    rng = random.Random(seed)
    drawn = rng.sample(list(misspellings()), count // 2) + drawn_values(count - count // 2, rng)
    result = []
    for number, case in enumerate(drawn):
        (directory / str(number)).mkdir(parents=True)
        words, sweep = case.overrides(directory / str(number))
        result.append(["rlrun", *(["-m"] if sweep else []), *words, "--config-dir", str(directory / str(number))])
    return result


def test_the_command_refuses_with_2_no_traceback_nothing_on_disk_and_no_torch(tmp_path: Path) -> None:
    drawn = commands(4, tmp_path / "conf", seed=5)
    here = tmp_path / "here"
    here.mkdir()
    code = (
        "import sys; from rlrun.cli.main import run_command; "
        f"print([run_command(command) for command in {drawn!r}], 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines()[-1] == f"{[2] * len(drawn)} False", ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("rlrun: error: ") == len(drawn)
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_fifty_real_commands(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for command in commands(50, tmp_path / "conf", seed=6):
        words = [sys.executable, "-m", *command]
        ran = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout) == (2, ""), command
        assert ran.stderr.startswith("rlrun: error: ")
        assert "Traceback" not in ran.stderr
        assert list(here.iterdir()) == []
