"""Every config that ships composes, passes its checks and, where it is cheap, builds."""

import re
from pathlib import Path

import pytest
from refusals import refusal

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory

CONF = config_directory()


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


WITH_NETWORK = {"dqn", "reinforce", "actor_critic"}
WITH_TABLE = {"q_learning", "sarsa", "td", "linear_q", "linear_v"}  # the linear ones as long as features are one-hot
PLANNERS = {"value_iteration", "q_iteration", "policy_iteration", "policy_evaluation"}


def env_words(env: str) -> list[str]:
    needed = {"atari": ["env.game=space_invaders"], "gym": ["env.id=MountainCar-v0"], "mdp": ["env.mdp=racing_car"]}
    return [f"env={env}", *needed.get(env, [])]


@pytest.mark.parametrize("env", names("env"))
@pytest.mark.parametrize("algo", names("algo"))
def test_every_algorithm_composes_with_every_environment(algo: str, env: str) -> None:
    config = load_config([f"algo={algo}", *env_words(env)], [CONF])
    assert config.total_steps > 0
    assert ("network" in config.algo.arguments) == (algo in WITH_NETWORK)


@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_composes_with_a_game(experiment: str) -> None:
    algo = "actor_critic" if experiment.startswith("a2c") else "dqn"
    load_config([f"algo={algo}", "env=pong", f"experiment={experiment}"], [CONF])


@pytest.mark.parametrize("env", ["gridworld", "cartpole", "acrobot", "racing_car", "random_walk", "short_corridor"])
@pytest.mark.parametrize("algo", names("algo"))
def test_cheap_pairs_build(algo: str, env: str, tmp_path: Path) -> None:
    config = load_config([f"algo={algo}", f"env={env}", f"runs_dir={tmp_path}"], [CONF])
    if env in ("cartpole", "acrobot") and algo in WITH_TABLE | PLANNERS:
        refusal(lambda: build(config), f"algo={algo}", f"env={env}")
        return
    if env == "short_corridor" and algo in PLANNERS:
        refusal(lambda: build(config), f"algo={algo}", "short_corridor")
        return
    built = build(config)
    assert built.run.agent.finished is False
    assert not any(tmp_path.iterdir()), "building must not make directories"
    built.close()


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_number_says_what_it_is_and_where_it_comes_from(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code, _, comment = line.partition("#")
        _, colon, value = code.partition(":")
        is_number = re.fullmatch(r"-?\d[\d.]*(e-?\d+)?|\[[\d., ]+\]", value.strip()) is not None
        if colon and is_number and not line.lstrip().startswith("#"):
            assert comment.strip(), f"{path.name}, line {number}: {line.strip()} has no unit and no source"
