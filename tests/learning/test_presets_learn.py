"""What the presets promise, on the smallest problems that can show it, for two seeds each."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.gridworld import GridWorld
from rlrun.loop.loop import train
from rlrun.loop.run import Result
from rlrun.protocols import Stochastic
from rlrun.runs.loggers import read_rows

SEEDS = (0, 1)


def run(tmp_path: Path, *words: str) -> Result:
    overrides = [*words, f"runs_dir={tmp_path}", "device.num_threads=1", "logger=none", "evaluation.every_steps=null"]
    built = build(load_config(overrides, [config_directory()]))
    built.run.directory.mkdir(parents=True)
    try:
        return train(built.run)
    finally:
        built.close()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algo", ["dqn", "reinforce", "actor_critic"])
def test_cartpole_is_balanced_within_the_preset_budget(algo: str, seed: int, tmp_path: Path) -> None:
    result = run(tmp_path, f"algo={algo}", "env=cartpole", f"seed={seed}")
    assert result.evaluation.mean >= 195


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algo", ["dqn", "reinforce", "actor_critic"])
def test_the_lecture_grid_is_walked_optimally_from_every_cell(algo: str, seed: int, tmp_path: Path) -> None:
    overrides = [
        f"algo={algo}",
        "env=gridworld",
        f"seed={seed}",
        f"runs_dir={tmp_path}",
        "device.num_threads=1",
        "logger=none",
        "evaluation.every_steps=null",
    ]
    built = build(load_config(overrides, [config_directory()]))
    built.run.directory.mkdir(parents=True)
    train(built.run)
    env = built.run.evaluator.env
    assert isinstance(env, GridWorld)
    # The oracle: from every cell the greedy walk takes as many steps as the nearer corner is away.
    rows, columns = np.indices((4, 4))
    distance = np.minimum(rows + columns, 6 - rows - columns).reshape(-1)
    observations = torch.eye(16)
    agent, rng = built.run.agent, torch.Generator()
    if isinstance(agent, Stochastic):
        action = agent.policy(observations, ())[0].mode().numpy()
    else:
        action = agent.act(observations, (), rng, explore=False).action.numpy()
    model = env.spec.model
    assert model is not None
    for cell in range(1, 15):
        here, steps = cell, 0
        while distance[here] and steps < 20:
            (row,) = np.flatnonzero((model.state == here) & (model.action == action[here]))
            here, steps = int(model.next_state[row]), steps + 1
        assert steps == distance[cell], f"from cell {cell}: {steps} steps instead of {distance[cell]}"
    built.close()


@pytest.mark.parametrize("algo", ["dqn", "reinforce", "actor_critic"])
def test_an_identity_is_learned(algo: str, tmp_path: Path) -> None:
    # Four starts; beside each of them one exit pays 1 and three cost 1, every time in another direction.
    grid = tmp_path / "identity.txt"
    grid.write_text("+ : exit 1\n- : exit -1\n\n#+##-##-##-#\n-S--S++S--S-\n#-##-##-##+#\n")
    words = ["env=gridworld", f"env.map={grid}", "env.max_episode_steps=3", "evaluation.episodes=100"]
    words += ["evaluation.greedy_episodes=100"]
    assert run(tmp_path, "algo=random", *words, "total_steps=200").evaluation.mean < 0.0
    evaluation = run(tmp_path, f"algo={algo}", *words, "total_steps=8000").evaluation
    assert evaluation.mean >= (1.0 if algo == "dqn" else 0.9)  # a policy that draws still tries the other exits
    if algo != "dqn":
        assert evaluation.greedy_returns is not None
        assert evaluation.greedy_returns.tolist() == [1.0] * 100


def test_the_same_words_write_the_same_metrics(tmp_path: Path) -> None:
    rows = []
    for folder in ("first", "second"):
        run(tmp_path / folder, "algo=dqn", "env=cartpole", "total_steps=3000", "log_every_steps=500")
        (metrics,) = (tmp_path / folder).glob("**/metrics.jsonl")
        rows.append(read_rows(metrics))
    assert rows[0] == rows[1]
    assert len(rows[0]) >= 6


@pytest.mark.parametrize("algo", ["reinforce", "actor_critic"])
def test_a_policy_that_has_to_draw_is_evaluated_as_it_was_trained(algo: str, tmp_path: Path) -> None:
    # Sutton and Barto 2018, example 13.1: -11.6 is the best that drawing can do, always one action never arrives.
    words = (f"algo={algo}", "env=short_corridor", "env.num_envs=8", "algo.gamma=1", "total_steps=40000")
    evaluation = run(tmp_path, *words, "evaluation.episodes=200").evaluation
    assert evaluation.mean > -16.0
    assert evaluation.greedy_returns is not None
    assert evaluation.greedy_returns.tolist() == [-1000.0] * 5
