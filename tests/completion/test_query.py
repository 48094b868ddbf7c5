"""`rlrun complete` and `rlrun completion` as processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlrun.cli.main import run_command

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ("torch", "hydra", "omegaconf", "pydantic", "numpy", "gymnasium", "ale_py", "tensorboard")
LOADED = (
    "import sys\nfrom rlrun.cli.main import run_command\n"
    "assert run_command(['rlrun', 'complete', *sys.argv[2:]]) == 0\n"
    "print('loaded:', *(name for name in sys.argv[1].split(',') if name in sys.modules))\n"
)


def query(*words: str, path: Path = ROOT, cwd: Path | None = None) -> list[str]:
    command = [sys.executable, "-c", LOADED, ",".join(HEAVY), *words]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{path}"}
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ["--", ""],
        ["--", "algo="],
        ["--", "algo=dqn", "env=pong", "algo."],
        ["--", "algo=dqn", "env=pong", "algo.loss="],
        ["--", "env=atari", "env.game="],
        ["--", "video", "--e"],
        ["--", "resume", "--"],
        ["--", "explain", "--"],
        ["--", "check", "--"],
        ["--", "bench", "--"],
        ["--", "show", ""],
        ["--", "--version"],
        ["bash", "rlrun -m algo=dqn,reinforce env=cartpole algo.", " ="],
    ],
    ids=" ".join,
)
def test_a_query_imports_nothing_that_takes_long(words: list[str]) -> None:
    *answers, loaded = query(*words)
    assert loaded == "loaded:"
    assert answers


def test_answers_are_words_and_meanings() -> None:
    algo, *_ = query("--", "algo=ra")
    assert algo == "algo=random\tUniformly random actions: the baseline for everything else."


def test_configs_of_an_installed_package_are_completed(tmp_path: Path) -> None:
    package = tmp_path / "of_theirs"
    (package / "conf" / "algo").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('a query runs nobody else')\n")
    (package / "conf" / "algo" / "theirs.yaml").write_text("# Theirs.\n_target_: of_theirs.agent.Agent\nmood: calm\n")
    metadata = tmp_path / "of_theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: of-theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rlrun.configs]\ntheirs = of_theirs\n")
    assert query("--", "algo=th", path=tmp_path)[:-1] == ["algo=theirs\tTheirs."]
    assert query("--", "algo=theirs", "algo.", path=tmp_path)[:-1] == ["algo.mood="]
    assert query("--", "algo=th")[:-1] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_and_the_shell_can_read_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "completion", shell]) == 0
    script = capsys.readouterr().out
    assert "complete --" in script or "complete bash" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here: its script was printed, not read")
    done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=True)
    assert done.stderr == ""


def test_another_shell_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
