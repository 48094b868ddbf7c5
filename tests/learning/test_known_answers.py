"""Tables and tiles against known answers, with the presets' own numbers; `benchmarks/known_answers.py` has 5 seeds."""

from pathlib import Path

import numpy as np
import pytest

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.loop.loop import train
from rlrun.loop.run import Result
from rlrun.pictures.tables_file import load_tables
from rlrun.runs.loggers import read_rows

SEED = 0
RANDOM_POLICY = [
    0,
    -14,
    -20,
    -22,
    -14,
    -18,
    -20,
    -20,
    -20,
    -20,
    -18,
    -14,
    -22,
    -20,
    -14,
    0,
]  # Sutton, Barto: figure 4.1


def run(tmp_path: Path, *words: str) -> tuple[Result, Path]:
    """The result of a preset's run, and its directory."""
    overrides = [*words, f"seed={SEED}", f"runs_dir={tmp_path}", "device.num_threads=1", "logger=none"]
    built = build(load_config([*overrides, "evaluation.every_steps=null"], [config_directory()]))
    built.run.directory.mkdir(parents=True)
    try:
        return train(built.run), built.run.directory
    finally:
        built.close()


def episodes(directory: Path) -> float:
    """How many training episodes ended."""
    return sum(row.get("train/episodes", 0.0) for row in read_rows(directory / "metrics.jsonl"))


def online_return(directory: Path) -> float:
    """The mean return of training episodes in the second half of the run."""
    rows = [row for row in read_rows(directory / "metrics.jsonl") if "train/episodes" in row]
    rows = [row for row in rows if row["step"] > rows[-1]["step"] / 2]
    return float(
        np.average([row["train/episode_return"] for row in rows], weights=[row["train/episodes"] for row in rows])
    )


@pytest.mark.slow  # 15 seconds; the same values of the same policy stay in tests/agents/test_tabular_agents.py
def test_td_is_within_a_half_of_every_value_of_the_random_policy(tmp_path: Path) -> None:
    _, directory = run(tmp_path, "algo=td", "env=gridworld", "algo.gamma=1")
    assert 15_000 < episodes(directory) <= 20_000
    np.testing.assert_allclose(load_tables(directory).tables.values, RANDOM_POLICY, atol=0.5)


def test_q_learning_walks_the_13_steps_along_the_cliff(tmp_path: Path) -> None:
    words = ["env=cliffwalking", "total_steps=16000"]  # a third of the preset's budget
    result, _ = run(tmp_path, "algo=q_learning", *words, "evaluation.episodes=10")
    assert result.evaluation.returns.tolist() == [-13.0] * 10
    assert result.evaluation.lengths.tolist() == [13] * 10


@pytest.mark.slow  # two runs of 7 seconds
def test_sarsa_earns_more_beside_the_cliff_while_it_learns(tmp_path: Path) -> None:
    (_, greedy), (_, cautious) = (run(tmp_path, f"algo={algo}", "env=cliffwalking") for algo in ("q_learning", "sarsa"))
    assert online_return(greedy) < online_return(cautious) - 10.0  # about -50 and -21; a step costs 1


@pytest.mark.slow  # 10 seconds of learning, and 1,000 episodes to tell 0.70 from 0.74
@pytest.mark.parametrize("algo", ["q_learning", "sarsa"])
def test_the_frozen_lake_is_crossed_in_7_of_10_episodes(algo: str, tmp_path: Path) -> None:
    result, _ = run(tmp_path, f"algo={algo}", "env=frozenlake")
    assert len(result.evaluation.returns) == 1000
    assert result.step <= 500_000
    assert result.evaluation.mean >= 0.70


@pytest.mark.slow  # 10 seconds of learning, and 1,000 episodes of evaluation
@pytest.mark.parametrize("algo", ["q_learning", "sarsa"])
def test_the_taxi_is_driven_almost_optimally(algo: str, tmp_path: Path) -> None:
    result, _ = run(tmp_path, f"algo={algo}", "env=taxi")
    assert len(result.evaluation.returns) == 1000
    assert result.step <= 1_000_000
    assert result.evaluation.mean >= 7.5


@pytest.mark.slow  # a minute
def test_linear_q_climbs_the_mountain_after_500_episodes(tmp_path: Path) -> None:
    result, directory = run(tmp_path, "algo=linear_q", "env=mountaincar", "evaluation.episodes=100")
    assert episodes(directory) <= 500
    assert result.evaluation.mean >= -120.0
