"""A paper's experiment is the same on every game, whatever presets those have, and has the paper's numbers."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from added_directory import with_files
from refusals import wrong_key

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory
from rlrun.runs.manifest import flat

CONF = config_directory()
GAMES = {"pong": ("env=pong",), "breakout": ("env=breakout",), "qbert": ("env=atari", "env.game=qbert")}
ALGOS = {"a2c": "actor_critic", "dqn_nature2015": "dqn", "dqn_nips2013": "dqn"}
ATARI = {"env.protocol": "nature2015", "env.max_episode_frames": 108_000}
LARGE = {"channels": [32, 64, 64], "kernels": [8, 4, 3], "strides": [4, 2, 1], "hidden": 512}  # Mnih et al. 2015
SMALL = {"channels": [16, 32], "kernels": [8, 4], "strides": [4, 2], "hidden": 256}  # Mnih et al. 2013
RMSPROP_2015 = {"learning_rate": 2.5e-4, "decay": 0.95, "eps": 0.01 / 32**2}  # 0.01 is of a sum over the batch
NUMBERS: dict[str, dict[str, Any]] = {
    "a2c": {  # openai/baselines, run_atari
        **ATARI,
        "total_steps": 10_000_000,
        "algo.network": LARGE,
        "env.num_envs": 16,
        "algo.optimizer": {"decay": 0.99, "eps": 1e-5, "initial_square": 1.0},
        "algo.optimizer.learning_rate": {"start": 7e-4, "end": 0.0, "delay_steps": 0, "duration_steps": 10_000_000},
        "algo.advantage.estimator": "n_step",
        "algo.advantage.rollout_steps": 5,
        "algo.gamma": 0.99,
        "algo.value.shared": True,
        "algo.value.updates": 1,
        "algo.advantage.normalize": False,
        "algo.value.coefficient": 1.0,
        "algo.entropy_bonus": 0.01,
        "algo.max_grad_norm": 0.5,
        "algo.reward_clip": 1.0,
    },
    "dqn_nature2015": {  # Mnih et al. 2015, Extended Data Table 1 and Methods
        **ATARI,
        "total_steps": 50_000_000,
        "evaluation.episodes": 30,
        "evaluation.max_episode_frames": 18_000,
        "algo.network": LARGE,
        "env.num_envs": 1,
        "algo.optimizer": RMSPROP_2015,
        "algo.gamma": 0.99,
        "algo.replay.batch_size": 32,
        "algo.replay.ratio": 32 / 4,
        "algo.rollout_steps": 4,
        "algo.replay.capacity_steps": 1_000_000,
        "algo.replay.learning_starts_steps": 50_000,
        "algo.target.period_steps": 10_000,
        "algo.n_step": 1,
        "algo.target.double": False,
        "algo.dueling": False,
        "algo.loss": "huber",
        "algo.huber_delta": 1.0,
        "algo.reward_clip": 1.0,
        "algo.max_grad_norm": None,
        "algo.exploration.epsilon": {"start": 1.0, "end": 0.1, "duration_steps": 1_000_000, "delay_steps": 50_000},
        "evaluation.epsilon": 0.05,
    },
    "dqn_nips2013": {  # Mnih et al. 2013, section 5 and Algorithm 1; its learning rate is not known
        **ATARI,
        "total_steps": 10_000_000,
        "evaluation.max_episode_frames": None,
        "algo.network": SMALL,
        "env.num_envs": 1,
        "algo.optimizer": RMSPROP_2015,
        "algo.gamma": 0.99,
        "algo.replay.batch_size": 32,
        "algo.replay.ratio": 32.0,
        "algo.rollout_steps": 1,
        "algo.replay.capacity_steps": 1_000_000,
        "algo.target.period_steps": None,
        "algo.n_step": 1,
        "algo.target.double": False,
        "algo.dueling": False,
        "algo.loss": "squared",
        "algo.reward_clip": 1.0,
        "algo.max_grad_norm": None,
        "algo.exploration.epsilon": {"start": 1.0, "end": 0.1, "duration_steps": 1_000_000, "delay_steps": 0},
        "evaluation.epsilon": 0.05,
    },
}


def checked(experiment: str, game: str, *more: str) -> dict[str, Any]:
    """Every key of the checked config."""
    overrides = [f"algo={ALGOS[experiment]}", *GAMES[game], f"experiment={experiment}", *more]
    return flat(load_config(overrides, [CONF]).as_plain())


def test_every_experiment_that_ships_is_a_papers() -> None:
    assert {path.stem for path in (CONF / "experiment").glob("*.yaml")} == NUMBERS.keys()


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("experiment", NUMBERS)
def test_it_has_the_papers_numbers_on_every_game(experiment: str, game: str) -> None:
    found = checked(experiment, game)
    wanted = flat(NUMBERS[experiment])
    assert {key: found[key] for key in wanted} == wanted
    assert found["env.game"] == game


@pytest.mark.parametrize("experiment", NUMBERS)
def test_games_differ_in_nothing_but_the_game(experiment: str) -> None:
    configs = [checked(experiment, game) for game in GAMES]
    for config in configs:
        del config["env.game"]
    assert configs[0] == configs[1] == configs[2]


@pytest.mark.parametrize("experiment", NUMBERS)
def test_explain_names_no_preset(experiment: str) -> None:
    overrides = [f"algo={ALGOS[experiment]}", "env=pong", f"experiment={experiment}"]
    places = [row.place for row in explanation(overrides, [CONF]).rows]
    assert any(place.startswith(f"conf/experiment/{experiment}.yaml") for place in places)
    assert not [place for place in places if "preset" in place]


def test_a_preset_on_the_command_line_counts_for_what_the_experiment_leaves_open() -> None:
    overrides = ["algo=actor_critic", "env=pong", "experiment=a2c", "preset=actor_critic_pong"]
    config = load_config(overrides, [CONF])
    assert config.labels["preset"] == "actor_critic_pong"
    assert config.log_every_steps == 10_000  # the preset's
    channels = config.algo.arguments["network"].arguments["channels"]
    assert (channels, config.total_steps) == ([32, 64, 64], 10_000_000)  # the experiment's
    (row,) = explanation(overrides, [CONF], ["log_every_steps"]).rows
    assert row.place.startswith("conf/preset/actor_critic_pong.yaml")


def test_a_presets_numbers_stay_where_no_experiment_is_chosen() -> None:
    assert load_config(["algo=actor_critic", "env=pong"], [CONF]).labels["preset"] == "actor_critic_pong"


def test_an_own_experiment_keeps_the_preset_unless_it_says_otherwise(tmp_path: Path) -> None:
    header, deltas = "# @package _global_\n", "algo:\n  gamma: 0.5\n"
    without = f"{header}defaults:\n  - override /preset: null\n{deltas}"
    found = with_files(tmp_path, {"experiment/own": header + deltas, "experiment/paper": without})
    overrides = ["algo=dqn", "env=pong"]
    assert load_config([*overrides, "experiment=own"], found).algo.arguments["n_step"] == 3  # the preset's
    assert load_config([*overrides, "experiment=paper"], found).algo.arguments["n_step"] == 1


def test_a_limit_of_the_evaluation_leaves_training_alone(tmp_path: Path) -> None:
    overrides = ["algo=random", "env=pong", "env.num_threads=1", "device=cpu", "algo.rollout_steps=25", "logger=none"]
    overrides += ["evaluation.episodes=2", "evaluation.num_envs=2", "evaluation.max_episode_frames=80"]
    with closing(build(load_config(overrides, [CONF]), tmp_path)) as built:
        run = built.run
        assert run.evaluator.evaluate(run.agent, 0).lengths.tolist() == [20, 20]  # 4 frames each
        assert not run.collector.collect(run.agent).last.any()


@pytest.mark.parametrize("limit", ["0", "3", "yes", "1.5"])
def test_a_limit_that_the_environment_would_not_take_is_refused(limit: str) -> None:
    overrides = ["algo=dqn", "env=pong", f"evaluation.max_episode_frames={limit}"]
    wrong_key(lambda: load_config(overrides, [CONF]), "evaluation.max_episode_frames", limit)


def test_a_limit_without_effect_is_refused() -> None:
    overrides = ["algo=dqn", "env=cartpole", "evaluation.max_episode_frames=8"]
    wrong_key(lambda: load_config(overrides, [CONF]), "evaluation.max_episode_frames", "env._target_")
