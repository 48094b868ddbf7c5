"""What the presets promise, on the smallest problems that can show it; their whole budgets are for `--slow`."""

from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.loop.loop import iterate, train
from rlrun.loop.run import Result, Run
from rlrun.protocols import Stochastic
from rlrun.runs.loggers import read_rows

SEEDS = (0, 1)


LEARNERS = ["dqn", "reinforce", "actor_critic"]


@contextmanager
def built(tmp_path: Path, *words: str) -> Iterator[Run]:
    overrides = [*words, f"runs_dir={tmp_path}", "device.num_threads=1", "logger=none", "evaluation.every_steps=null"]
    with closing(build(load_config(overrides, [config_directory()]))) as made:
        made.run.directory.mkdir(parents=True)
        yield made.run


def run(tmp_path: Path, *words: str) -> Result:
    with built(tmp_path, *words) as made:
        return train(made)


@pytest.mark.parametrize("algo", LEARNERS)
def test_cartpole_is_balanced_far_longer_than_by_chance(algo: str, tmp_path: Path) -> None:
    returns: deque[float] = deque([0.0] * 10, maxlen=10)
    with built(tmp_path, f"algo={algo}", "env=cartpole") as made:
        for progress in iterate(made.agent, made.collector, made.total_steps):
            returns.extend(progress.episodes.returns.tolist())
            if np.mean(returns) >= 100:  # 22 for random actions; a mean of ten of them strays by 4
                return
    pytest.fail(f"within the preset's budget never a mean of 100; the last episodes had {list(returns)}")


@pytest.mark.slow  # the preset's whole budget: 35 seconds of DQN, 8 of the others, for each seed
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algo", LEARNERS)
def test_cartpole_is_balanced_at_the_end_of_the_presets_budget(algo: str, seed: int, tmp_path: Path) -> None:
    result = run(tmp_path, f"algo={algo}", "env=cartpole", f"seed={seed}")
    assert result.evaluation.mean >= 195


def steps_from_every_cell(run: Run) -> list[int]:
    """How many steps the greedy walk takes to a corner, from each of the 14 cells that are none."""
    model, observations = run.collector.env.spec.model, torch.eye(16)
    assert model is not None
    if isinstance(run.agent, Stochastic):
        action = run.agent.policy(observations, ())[0].mode().numpy()
    else:
        action = run.agent.act(observations, (), torch.Generator(), explore=False).action.numpy()
    following = np.arange(16)
    chosen = action[model.state] == model.action
    following[model.state[chosen]] = model.next_state[chosen]
    cells, steps = np.arange(1, 15), np.zeros(14, int)
    for _ in range(20):
        steps += (cells != 0) & (cells != 15)
        cells = following[cells]
    return [int(count) for count in steps]


# The oracle: as many steps as the nearer corner is away.
NEARER_CORNER = [min(cell // 4 + cell % 4, 6 - cell // 4 - cell % 4) for cell in range(1, 15)]


@pytest.mark.parametrize("algo", LEARNERS)
def test_the_lecture_grid_is_walked_optimally_within_the_presets_budget(algo: str, tmp_path: Path) -> None:
    with built(tmp_path, f"algo={algo}", "env=gridworld") as made:
        for turn, _ in enumerate(iterate(made.agent, made.collector, made.total_steps)):
            if turn % 20 == 0 and steps_from_every_cell(made) == NEARER_CORNER:
                return
        assert steps_from_every_cell(made) == NEARER_CORNER


@pytest.mark.slow  # the preset's whole budget: 3 to 9 seconds for each seed
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algo", LEARNERS)
def test_the_lecture_grid_is_walked_optimally_at_the_end(algo: str, seed: int, tmp_path: Path) -> None:
    with built(tmp_path, f"algo={algo}", "env=gridworld", f"seed={seed}") as made:
        train(made)
        assert steps_from_every_cell(made) == NEARER_CORNER


@pytest.mark.parametrize(("algo", "steps"), [("dqn", 2000), ("reinforce", 4000), ("actor_critic", 4000)])
def test_an_identity_is_learned(algo: str, steps: int, tmp_path: Path) -> None:
    # Four starts; beside each of them one exit pays 1 and three cost 1, every time in another direction.
    grid = tmp_path / "identity.txt"
    grid.write_text("+ : exit 1\n- : exit -1\n\n#+##-##-##-#\n-S--S++S--S-\n#-##-##-##+#\n")
    words = ["env=gridworld", f"env.map={grid}", "env.max_episode_steps=3", "evaluation.episodes=100"]
    words += ["evaluation.greedy_episodes=100"]
    assert run(tmp_path, "algo=random", *words, "total_steps=200").evaluation.mean < 0.0
    evaluation = run(tmp_path, f"algo={algo}", *words, f"total_steps={steps}").evaluation
    assert evaluation.mean >= (1.0 if algo == "dqn" else 0.9)  # a policy that draws still tries the other exits
    if algo != "dqn":
        assert evaluation.greedy_returns is not None
        assert evaluation.greedy_returns.tolist() == [1.0] * 100


def test_the_same_command_writes_the_same_metrics(tmp_path: Path) -> None:
    rows = []
    for folder in ("first", "second"):
        run(tmp_path / folder, "algo=dqn", "env=cartpole", "total_steps=1600", "log_every_steps=200")
        (metrics,) = (tmp_path / folder).glob("**/metrics.jsonl")
        rows.append(read_rows(metrics))
    assert rows[0] == rows[1]
    assert len(rows[0]) >= 8
    assert any("loss/td" in row for row in rows[0]), "it has to learn before the end"


@pytest.mark.parametrize("algo", ["reinforce", "actor_critic"])
def test_a_policy_that_has_to_draw_is_evaluated_as_it_was_trained(algo: str, tmp_path: Path) -> None:
    # Sutton and Barto 2018, example 13.1: -11.6 is the best that drawing can do, always one action never arrives.
    words = (f"algo={algo}", "env=short_corridor", "env.num_envs=8", "algo.gamma=1", "total_steps=10000")
    evaluation = run(tmp_path, *words, "evaluation.episodes=200").evaluation
    assert evaluation.mean > -16.0
    assert evaluation.greedy_returns is not None
    assert evaluation.greedy_returns.tolist() == [-1000.0] * 5
