"""The real command, as a person or a script meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from rlrun.cli.main import run_command
from rlrun.cli.verb_table import VERBS

ENV = "# Scripted.\n_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 2\n"
SHORT = ["total_steps=600", "evaluation.episodes=2", "evaluation.num_envs=2", "logger=none", "device=cpu"]
RUN = ["algo=random", "env=scripted", *SHORT]
LONG = [*RUN[:2], "total_steps=1e9", *SHORT[1:]]


class Answer(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


Command = Callable[..., Answer]


def arguments(conf: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "rlrun", *words, "--config-dir", str(conf)]


def environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "env").mkdir(parents=True)
    (tmp_path / "conf" / "env" / "scripted.yaml").write_text(ENV)
    return tmp_path / "conf"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def process(conf: Path, here: Path) -> Command:
    """`rlrun` in a process of its own."""

    def run(*words: str) -> Answer:
        done = subprocess.run(
            arguments(conf, *words),
            cwd=here,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def rlrun(conf: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`rlrun` in this process, where torch is imported already."""
    monkeypatch.chdir(here)

    def run(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["rlrun"])
        capsys.readouterr()
        status = run_command(["rlrun", *words, "--config-dir", str(conf)])
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return run


def test_a_run_trains_is_recorded_and_is_finished_when_asked_again(
    process: Command, rlrun: Command, here: Path
) -> None:
    first = process(*RUN, "seed=3")
    assert (first.status, first.err) == (0, "")
    (directory,) = here.glob("runs/scripted/random/*/seed3")
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["argv"][1:8] == [*RUN, "seed=3"][:7]
    assert json.loads((directory / "result.json").read_text())["step"] == 600
    assert "rollout_steps" in (directory / "config.yaml").read_text()
    assert [path.name for path in here.iterdir()] == ["runs"]
    metrics = (directory / "metrics.jsonl").read_bytes()

    again = rlrun(*RUN, "seed=3")
    assert again.status == 0
    assert str(directory.relative_to(here)) in again.out
    assert (directory / "metrics.jsonl").read_bytes() == metrics

    longer = rlrun(*LONG[:2], *SHORT[1:], "seed=3", "total_steps=1000")
    assert longer.status == 0
    sessions = json.loads((directory / "manifest.json").read_text())["sessions"]
    assert [(session["from_step"], session["to_step"]) for session in sessions] == [(0, 600), (600, 1000)]
    assert json.loads((directory / "result.json").read_text())["step"] == 1000
    assert json.loads((directory / "result-600.json").read_text())["step"] == 600


def test_a_replay_says_how_much_memory_it_takes_before_it_starts(rlrun: Command) -> None:
    done = rlrun(
        "algo=dqn", "env=scripted", *SHORT, "algo.replay.capacity_steps=2000", "algo.replay.learning_starts_steps=100"
    )
    assert done.status == 0, done.err
    assert re.search(r"2,000 steps, [\d.]+ MiB", done.out.splitlines()[0])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a directory in which even root can write nothing")
def test_a_directory_that_cannot_be_made_is_one_line(rlrun: Command) -> None:
    done = rlrun(*RUN, "runs_dir=/proc/runs")
    assert (done.status, done.out) == (2, "")
    assert re.fullmatch(r"rlrun: error: .* /proc/runs/\S+: .*\n", done.err)


def test_a_sweep_runs_every_combination_and_leaves_only_runs(rlrun: Command, here: Path) -> None:
    done = rlrun("-m", *RUN[1:], "algo=random,actor_critic", "seed=0,1", "name=a")
    assert (done.status, done.err) == (0, "")
    made = here.glob("runs/scripted/*/a/*/result.json")
    assert sorted(f"{path.parts[-4]}/{path.parts[-2]}" for path in made) == [
        "actor_critic/seed0",
        "actor_critic/seed1",
        "random/seed0",
        "random/seed1",
    ]
    assert [path.name for path in here.iterdir()] == ["runs"]


BAD = [
    (["algo=dqm", "env=scripted"], ["'dqm'", "dqn"]),
    ([*RUN, "+algo.rollout_step=3"], ["algo.rollout_step", "algo.rollout_steps"]),
    ([*RUN, "experiment=nosuch"], ["'nosuch'"]),
    (["-m", *RUN, "--cfg", "job"], ["-m", "--cfg"]),
    ([*RUN, "--verbose"], ["--verbose", "key=value"]),
    ([*RUN, "--seed", "3"], ["--seed", "key=value"]),
    (["--seed=3", *RUN], ["--seed", "key=value"]),
    ([*RUN, "--resolve"], ["--resolve", "--cfg job"]),
    (["algo", "=", "dqn", "env=cartpole"], ["'algo ='", "key=value"]),
    (["train", *RUN], ["'train'", "nearest: explain;", "ls, show, "]),
    (["-m", *RUN, "algo.rollout_steps=100,x"], ["algo.rollout_steps=x"]),
    ([*RUN, "runs_dir=../conf/env/scripted.yaml"], ["scripted.yaml", "runs_dir"]),
    (["algo=dqn", "env=scripted", "network=nature2015"], []),
]


def assert_refused(answer: Answer, named: list[str], here: Path) -> None:
    """Status 2, one line that names these and details below it that fit one screen, and no directory."""
    assert (answer.status, answer.out) == (2, "")
    first, *details = answer.err.splitlines()
    assert first.startswith("rlrun: error: ")
    assert [each for each in named if each not in first] == [], first
    assert all(line.startswith("  ") for line in details)
    assert len(details) < 20
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("words", "named"), BAD)
def test_bad_input_is_one_line_and_details_status_2_and_no_directory(
    rlrun: Command, here: Path, words: list[str], named: list[str]
) -> None:
    assert_refused(rlrun(*words), named, here)


def test_bad_input_ends_a_process_likewise(process: Command, here: Path) -> None:
    assert_refused(process(*BAD[0][0]), BAD[0][1], here)


@pytest.mark.parametrize("words", [["complete", "bash", "rlrun algo"], ["complete"]])
def test_what_shells_ask_is_not_for_people(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", *words]) == 2
    assert "rlrun completion" in capsys.readouterr().err


def test_help_is_what_no_arguments_give(
    rlrun: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = rlrun("--help")
    assert page.status == 0
    assert "rlrun algo=dqn env=cartpole" in page.out
    assert re.search(r"^  env=scripted +Scripted\.$", page.out, re.MULTILINE)
    assert all(f"  rlrun {name} " in page.out for name in VERBS)
    assert len(page.out.splitlines()) < 80
    assert run_command(["rlrun"]) == 0
    assert capsys.readouterr().out.splitlines()[:10] == page.out.splitlines()[:10]


def test_version_and_printing_the_config(rlrun: Command, here: Path) -> None:
    assert rlrun("--version").out.startswith("rlrun 0.")
    printed = rlrun(*RUN, "--cfg", "job")
    assert printed.status == 0
    assert "total_steps: 600" in printed.out
    assert list(here.iterdir()) == []


def test_help_and_simple_mistakes_do_not_wait_for_torch(conf: Path, tmp_path: Path) -> None:
    commands = [
        ["rlrun", *words, "--config-dir", str(conf)]
        for words in (["--help"], ["algo=dqm", "env=scripted"], [*RUN, "algo.rollout_step=3"], [*RUN, "seed=[1"])
    ]
    code = (
        "import sys; from rlrun.cli.main import run_command; "
        f"print([run_command(command) for command in {commands!r}], 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[0, 2, 2, 2] False"


def test_an_interrupted_run_saves_says_so_and_ends_with_75(conf: Path, tmp_path: Path) -> None:
    command = arguments(conf, *LONG, "log_every_steps=100", f"runs_dir={tmp_path / 'runs'}")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while not any(path.stat().st_size for path in tmp_path.glob("runs/*/*/*/*/metrics.jsonl")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75
    assert re.fullmatch(r"rlrun: stopped by SIGINT at step [\d,]+.*\n", stderr.decode())


def test_flags_may_stand_between_words(conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [RUN[0], "--config-dir", str(conf), *RUN[1:], "-m", "seed=0,1", f"runs_dir={tmp_path / 'runs'}"]
    assert run_command(["rlrun", *words]) == 0
    assert sorted(path.parent.name for path in tmp_path.glob("runs/*/*/*/*/result.json")) == ["seed0", "seed1"]
    assert run_command(["rlrun", *RUN, "--cfg", "job", "--config-dir", str(conf), "seed=7"]) == 0
    assert "seed: 7" in capsys.readouterr().out


def test_a_bug_keeps_its_traceback(conf: Path, rlrun: Command) -> None:
    (conf / "env" / "broken.yaml").write_text("_target_: pathlib_of_nowhere.Env\nnum_envs: 2\n")
    assert rlrun("algo=random", "env=broken", *SHORT).status == 2
    (conf / "broken_env.py").write_text(
        "from rlrun.testing.scripted_env import ScriptedEnv\n"
        "class Env(ScriptedEnv):\n"
        "    def __init__(self, *, num_envs: int) -> None:\n"
        "        raise RuntimeError('a bug of its own')\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(conf)!r}); sys.argv[0] = 'rlrun'; from rlrun.cli.main import main; main()"
    )
    (conf / "env" / "broken.yaml").write_text("_target_: broken_env.Env\nnum_envs: 2\n")
    command = [sys.executable, "-c", code, *arguments(conf, "algo=random", "env=broken", *SHORT)[3:]]
    done = subprocess.run(command, cwd=conf, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "RuntimeError: a bug of its own" in done.stderr
    assert not (conf / "runs").exists()


def test_a_stopped_sweep_begins_no_other_run(conf: Path, tmp_path: Path) -> None:
    words = ["-m", *LONG, "seed=0,1", "log_every_steps=100", f"runs_dir={tmp_path / 'runs'}"]
    command = arguments(conf, *words)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not any(path.stat().st_size for path in tmp_path.glob("runs/*/*/*/*/metrics.jsonl")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75
    assert stderr.decode().startswith("rlrun: stopped by SIGTERM at step ")
    assert [path.name for path in tmp_path.glob("runs/*/*/*/*")] == ["seed0"]
