"""Runs that must not be pooled are refused: which ones, and in what they differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import ATARI, made_run

from rlrun.errors import UserError
from rlrun.reports.comparable import check_comparable, code_of
from rlrun.reports.scores import ReportedRun, read_run
from rlrun.runs.manifest import read_manifest, write_manifest


def read(directory: Path) -> ReportedRun:
    run = read_run(directory)
    assert run is not None
    return run


def refusal(*directories: Path, mixed_code: bool = False) -> str:
    with pytest.raises(UserError) as refused:
        check_comparable([read(directory) for directory in directories], mixed_code=mixed_code)
    message = str(refused.value)
    assert "\n" not in message
    assert all(str(directory) in message for directory in directories)
    return message


def test_equal_runs_are_comparable_whatever_their_seeds_and_algorithms(tmp_path: Path) -> None:
    runs = [made_run(tmp_path, [1], seed=seed, algo=algo) for seed in (0, 1) for algo in ("dqn", "reinforce")]
    assert check_comparable([read(run) for run in runs], mixed_code=False) is None


def test_different_numbers_of_evaluation_episodes(tmp_path: Path) -> None:
    few, many = made_run(tmp_path, [1], episodes=5), made_run(tmp_path, [1], seed=1, episodes=100)
    message = refusal(few, many, mixed_code=True)
    assert "evaluation.episodes: 5 in" in message
    assert "100 in" in message


def test_different_protocols_of_a_game_or_of_two_games(tmp_path: Path) -> None:
    pong = made_run(tmp_path, [1], env=ATARI)
    sticky = made_run(tmp_path, [1], seed=1, env={**ATARI, "protocol": "machado2018"})
    assert "env.protocol: nature2015 in" in refusal(pong, sticky)
    breakout = made_run(tmp_path, [1], env={**ATARI, "game": "breakout", "protocol": "machado2018"})
    assert "env.protocol" in refusal(pong, breakout)


def test_actions_are_compared_between_runs_of_an_agent_only(tmp_path: Path) -> None:
    """DQN is evaluated with its protocol's epsilon, and agents that draw their actions as they are trained."""
    half, none = made_run(tmp_path, [1], epsilon=0.5), made_run(tmp_path, [1], seed=1)
    assert "actions in evaluation: evaluation.epsilon=0.5 in" in refusal(half, none)
    sampled = made_run(tmp_path, [1], algo="a2c", keys={"evaluation_policy": "sampled"})
    assert check_comparable([read(half), read(sampled)], mixed_code=False) is None
    greedy = made_run(tmp_path, [1], algo="a2c", keys={"evaluation_policy": "greedy"})
    assert "actions in evaluation" in refusal(sampled, greedy)


def test_epsilon_counts_for_agents_that_are_evaluated_greedily(tmp_path: Path) -> None:
    def run(policy: str, epsilon: float) -> Path:
        keys = {"evaluation_policy": policy}
        return made_run(tmp_path, [1], algo="a2c", keys=keys, epsilon=epsilon, name=f"{policy}{epsilon}")

    assert "greedy, evaluation.epsilon=0.5 in" in refusal(run("greedy", 0.0), run("greedy", 0.5))
    sampled = [read(run("sampled", epsilon)) for epsilon in (0.0, 0.5)]  # has no effect here
    assert check_comparable(sampled, mixed_code=False) is None


def test_different_frame_limits(tmp_path: Path) -> None:
    long = made_run(tmp_path, [1], env=ATARI)
    short = made_run(tmp_path, [1], seed=1, env={**ATARI, "max_episode_frames": 18000})
    assert "the frame limit of an evaluation: 108000" in refusal(long, short)


def test_different_versions_of_the_emulator_matter_for_its_games_only(tmp_path: Path) -> None:
    games = [made_run(tmp_path, [1], seed=seed, env=ATARI, versions={"ale-py": f"0.{seed}"}) for seed in (0, 1)]
    assert "the version of ale-py: 0.0 in" in refusal(*games)
    carts = [made_run(tmp_path, [1], seed=seed, versions={"ale-py": f"0.{seed}"}) for seed in (0, 1)]
    assert check_comparable([read(run) for run in carts], mixed_code=False) is None


def test_different_versions_of_gymnasium_matter_for_its_environments(tmp_path: Path) -> None:
    env = {"_target_": "rlrun.envs.gymnasium.GymnasiumEnv", "id": "Acrobot-v1", "num_envs": 1}
    runs = [
        made_run(tmp_path, [1], name=f"seed{seed}", seed=seed, env=env, versions={"gymnasium": f"1.{seed}"})
        for seed in (0, 1)
    ]
    assert "the version of gymnasium" in refusal(*runs)


def test_different_code_is_refused_or_named(tmp_path: Path) -> None:
    runs = [made_run(tmp_path, [1], seed=seed, code=f"{seed}" * 32) for seed in (0, 1)]
    message = refusal(*runs)
    assert "code: 0000000000 in" in message
    assert "--mixed-code" in message
    mixed = check_comparable([read(run) for run in runs], mixed_code=True)
    assert mixed is not None
    assert str(runs[1]) in str(mixed)


def test_a_run_that_was_resumed_with_other_code_is_of_both(tmp_path: Path) -> None:
    same, resumed = made_run(tmp_path, [1], code="a" * 32), made_run(tmp_path, [1], seed=1, code="a" * 32)
    manifest = read_manifest(resumed)
    assert manifest is not None
    session = manifest["sessions"][0]
    manifest["sessions"].append(session | {"differs": {"code_digest": ["a" * 32, "b" * 32]}})
    write_manifest(resumed, manifest)
    assert code_of(read(resumed)) == "aaaaaaaaaa then bbbbbbbbbb"
    assert "code: aaaaaaaaaa in" in refusal(same, resumed)
