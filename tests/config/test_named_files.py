"""Files that people name and write: in a sweep, beside bundled ones, and with a byte order mark."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory, options, summary
from rlrun.files import read_text

CONF = config_directory()
PLAN = ["algo=value_iteration", "env=gridworld", "evaluation.episodes=1", "logger=none", "device=cpu"]
MAP = "G : exit 1\n\nS.G\n"
MARK = "\ufeff"


def test_a_sweep_ends_with_which_of_its_runs_failed_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(MAP)
    (tmp_path / "c.txt").write_text(MAP.replace("exit 1", "exit 3"))
    for name in ("bad.txt", "worse.txt"):
        (tmp_path / name).write_text("G : exit 1\n\nS?G\n")
    assert run_command(["rlrun", "-m", *PLAN, "env.map=a.txt,bad.txt,c.txt"]) == 2
    printed = capsys.readouterr()
    assert printed.out.count("\nfinished") == 2
    last = printed.err.splitlines()[-1]
    assert "1 of 3" in last
    assert "env.map=bad.txt" in last
    assert run_command(["rlrun", "-m", *PLAN, "env.map=bad.txt,a.txt,worse.txt", "seed=1"]) == 2
    lines = capsys.readouterr().err.splitlines()[-3:]
    assert "2 of 3" in lines[0]
    assert [name in line for name, line in zip(("bad.txt", "worse.txt"), lines[1:], strict=True)] == [True, True]


def test_a_file_called_like_a_bundled_one_is_not_the_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = load_config(PLAN, [CONF]).experiment()
    (tmp_path / "lecture").write_text(MAP)  # the bundled map of that name is what is played
    assert load_config(PLAN, [CONF]).experiment() == plain


def test_a_byte_order_mark_is_no_part_of_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mdp = (CONF.parent / "rlrun/envs/mdps/racing_car.yaml").read_text()
    texts = {
        "map.txt": MAP,
        "mdp.yaml": mdp,
        "policy.yaml": "cool: fast\nwarm: slow\n",
        "conf/algo/mine.yaml": "# Mine.\n_target_: rlrun.agents.random.Random\nrollout_steps: 10\n",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MARK + text, encoding="utf-8")
        assert read_text(path) == text
    rest = PLAN[2:]
    for overrides in (
        ["algo=value_iteration", "env=gridworld", "env.map=map.txt"],
        ["algo=policy_evaluation", "env=mdp", "env.mdp=mdp.yaml", "algo.policy=policy.yaml", "evaluation.episodes=2"],
        ["algo=mine", "env=gridworld", "total_steps=20", "--config-dir", "conf"],
    ):
        given = {word.partition("=")[0] for word in overrides}
        assert (
            run_command(["rlrun", *overrides, *(word for word in rest if word.partition("=")[0] not in given)]) == 0
        ), capsys.readouterr().err
    assert summary([tmp_path / "conf", CONF], "algo", "mine") == "Mine."
    assert "mine" in options([tmp_path / "conf", CONF], "algo")
