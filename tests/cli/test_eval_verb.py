"""`rlrun eval`: policies of real runs, evaluated under named protocols."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlrun.cli.main import run_command
from rlrun.runs.evaluation_log import read_evaluations

TRAIN = (
    "algo=q_learning env=cliffwalking algo.alpha=1 total_steps=12000 evaluation.every_steps=4000 evaluation.episodes=3"
)


@pytest.fixture(scope="module")
def grid_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    assert run_command(["rlrun", *TRAIN.split(), f"runs_dir={folder}", "name=x"]) == 0
    return folder / "cliffwalking" / "q_learning" / "x" / "seed0"


def evaluations_after(run: Path, *arguments: str) -> list[dict[str, object]]:
    before = len(read_evaluations(run))
    assert run_command(["rlrun", "eval", str(run), *arguments]) == 0
    return read_evaluations(run)[before:]


def test_equal_commands_give_equal_episodes_and_another_seed_gives_others(grid_run: Path) -> None:
    arguments = ("evaluation.episodes=7", "evaluation.epsilon=0.3")
    (first,), (again,) = evaluations_after(grid_run, *arguments), evaluations_after(grid_run, *arguments)
    (other,) = evaluations_after(grid_run, *arguments, "--seed", "1")
    assert first["eval/returns"] == again["eval/returns"] != other["eval/returns"]
    assert first["eval/episodes"] == 7
    rules = {"env": "CliffWalking-v1", "episodes": 7, "actions": "epsilon 0.3", "max_episode_steps": 200}
    assert first["rules"] == rules
    assert (first["protocol"], first["changed"], other["seed"]) == ("own", list(arguments), 1)


def test_the_runs_own_protocol_has_a_hundred_episodes_of_the_finished_policy(grid_run: Path) -> None:
    (row,) = evaluations_after(grid_run)
    assert (row["eval/episodes"], row["step"]) == (100, 12000)
    result = json.loads((grid_run / "result.json").read_text())
    # The world and its greedy policy are deterministic, so the run's last three episodes are as good as these.
    assert row["eval/episode_return"] == pytest.approx(result["eval/episode_return"])
    assert result["eval/episode_return"] > -200, "a policy that only waits would be as good by any other"


def test_an_evaluation_leaves_the_run_as_it_was(grid_run: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(grid_run.rglob("*")) if path.is_file()}

    before = contents()
    evaluations_after(grid_run, "evaluation.episodes=1")
    after = contents()
    changed = {path for path in after if before.get(path) != after[path]}
    assert changed == {str(grid_run / "eval.jsonl")}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["protocol=nature2015"], "protocol=nature2015"),
        (["protocol=nature2051"], "nature2015"),
        (["algo.alpha=0.5"], "algo.alpha"),
        (["evaluation.episode=5"], "evaluation.episodes"),
        (["evaluation.epsilon=2"], "evaluation.epsilon"),
        (["evaluation.every_steps=5"], "evaluation.every_steps=5"),
        (["evaluation={every_steps: 5}"], "evaluated once"),
        (["env.num_envs=5"], "evaluation.num_envs"),
        (["protocol=own", "protocol=nature2015"], "protocol is given twice"),
        (["--checkpoint", "17"], "17"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    grid_run: Path, arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_evaluations(grid_run)
    assert run_command(["rlrun", "eval", str(grid_run), *arguments]) == 2
    message = capsys.readouterr().err
    assert named in message
    assert message.startswith("rlrun: error: ")
    assert message.count("\n") == 1
    assert read_evaluations(grid_run) == before


def test_a_protocol_with_another_number_of_actions_is_refused_with_both_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "algo=dqn env=pong total_steps=8 algo.replay.capacity_steps=100 algo.replay.learning_starts_steps=4"
    short = "evaluation.episodes=1 env.max_episode_frames=40 env.num_threads=1 device=cpu name=x"
    train = ["rlrun", *words.split(), *short.split(), f"runs_dir={tmp_path}"]
    assert run_command(train) == 0
    capsys.readouterr()
    run = tmp_path / "pong" / "dqn" / "x" / "seed0"
    assert run_command(["rlrun", "eval", str(run), "protocol=machado2018"]) == 2
    message = capsys.readouterr().err
    assert message == ("rlrun: error: protocol machado2018 has 18 actions, and the policy was trained with 6\n")
    assert read_evaluations(run) == []


def test_where_there_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "eval", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
