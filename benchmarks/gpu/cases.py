"""The trainings that `parity.py` compares: small ones that meet what is hard. In all of them episodes end early."""

from __future__ import annotations

from dataclasses import dataclass

from parts import Chosen

from rlrun.cli.bench.workloads import ACTOR_CRITIC_CARTPOLE
from rlrun.config.arguments import changed

_OPTIONS = ("algo.n_step=3", "algo.target.double=true", "algo.dueling=true")


@dataclass(frozen=True, slots=True)
class Case:
    """One of them.

    Args:
        name: in the CSV.
        overrides: as after `rlrun`.
        turns: of collecting and learning, once learning has begun.
    """

    name: str
    overrides: list[str]
    turns: int


def dqn_cases(options: Chosen) -> list[Case]:
    """Images and vectors, and every option; the optimizer moves a network of CartPole's in one piece."""
    if options.tiny:
        overrides = [*options.overrides(), "env.max_episode_steps=9"]
        return [Case("CartPole", overrides, 10), Case("CartPole, all options", [*overrides, *_OPTIONS], 10)]
    pong = [*options.overrides(), "env.max_episode_frames=400"]  # 100 steps: in 6,000 there are 60 ends
    device = (f"device={options.device}", "evaluation.num_envs=1")
    preset = [
        "algo=dqn",
        "env=cartpole",
        "env.max_episode_steps=30",
        "algo.optimizer.learning_rate=5e-4",
        *device,
    ]  # else as its preset
    return [
        Case("Pong", pong, 40),
        Case("Pong, all options", changed(pong, *_OPTIONS), 25),
        Case("CartPole", preset, 60),
        Case("CartPole, all options", [*preset, "algo.n_step=3", "algo.dueling=true"], 40),
    ]


def actor_critic_case(options: Chosen) -> Case:
    """Its acting alone is recorded."""
    overrides = changed(ACTOR_CRITIC_CARTPOLE, "env.num_envs=8", "env.max_episode_steps=30")
    return Case("actor-critic CartPole", [*overrides, f"device={options.device}"], 20 if options.tiny else 300)
