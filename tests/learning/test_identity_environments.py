"""Every learner solves an identity in a second: action i is right in state i, whatever the state looks like."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.loop.loop import iterate
from rlrun.protocols import Agent, Stochastic

STATES = 4
FLAT = "algo.features._target_=rlrun.agents.linear.features.Flat"
TABLES = {
    "q_learning": ["algo.alpha=0.5", "algo.epsilon.value=0.5"],
    "sarsa": ["algo.alpha=0.5", "algo.epsilon.value=0.5"],
}
LEARNERS = {
    "linear_q": ["algo.alpha=0.2", "algo.epsilon.value=0.5"],
    "dqn": [
        *("algo.optimizer.learning_rate=0.01", "algo.replay.learning_starts_steps=64", "algo.replay.batch_size=32"),
        *("algo.replay.capacity_steps=1000", "algo.replay.ratio=8", "algo.gamma=0", "algo.target.period_steps=64"),
        "algo.exploration.epsilon.duration_steps=400",
    ],
    "reinforce": [
        *("algo.optimizer.learning_rate=0.02", "algo.baseline.optimizer.learning_rate=0.02", "algo.baseline.updates=2"),
        *("algo.episodes_per_batch=32", "algo.gamma=0"),
    ],
    "actor_critic": ["algo.optimizer.learning_rate=0.02", "algo.advantage.rollout_steps=4", "algo.gamma=0"],
}
BUDGET_STEPS = 3_000  # each of them needs a fraction of it
SHOWN = {"index": TABLES | LEARNERS, "one_hot": LEARNERS}


def identity(masked: bool) -> str:
    """The MDP as a file: right pays 1. Where masked, every state allows its own action and the next one only."""
    cells = range(STATES)
    lines = [
        f"  - [s{state}, a{action}, over, 1, {int(action == state)}]"
        for state in cells
        for action in cells
        if not masked or action in (state, (state + 1) % STATES)
    ]
    states, actions = (", ".join(f"{letter}{number}" for number in cells) for letter in "sa")
    return "\n".join([f"states: [{states}, over]", f"actions: [{actions}]", "transitions:", *lines, ""])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("observation", "algo"), [(shown, algo) for shown in SHOWN for algo in SHOWN[shown]])
def test_the_identity_is_learned(observation: str, algo: str, masked: bool, tmp_path: Path) -> None:
    file = tmp_path / "identity.yaml"
    file.write_text(identity(masked))
    arguments = [f"algo={algo}", "env=mdp", f"env.mdp={file}", f"env.observation={observation}", "env.num_envs=8"]
    arguments += [
        *SHOWN[observation][algo],
        f"runs_dir={tmp_path}",
        "logger=none",
        "device=cpu",
        "device.num_threads=1",
    ]
    arguments += [FLAT] if (observation, algo) == ("one_hot", "linear_q") else []
    made = build(load_config(arguments, [config_directory()]))
    agent, collector = made.run.agent, made.run.collector
    assert collector.env.spec.shows_mask == masked
    obs = torch.arange(STATES) if observation == "index" else torch.eye(STATES + 1)[:STATES]
    allowed = torch.eye(STATES, dtype=torch.bool) | torch.eye(STATES, dtype=torch.bool).roll(1, 1)
    shown = {"obs": obs, "action_mask": allowed} if masked else obs
    right = (torch.equal(choice(agent, shown), torch.arange(STATES)) for _ in iterate(agent, collector, BUDGET_STEPS))
    assert any(right), f"not within {BUDGET_STEPS} steps"
    made.close()


def choice(agent: Agent, obs: object) -> torch.Tensor:
    """[B] what it would do if it did not explore."""
    if isinstance(agent, Stochastic):
        return agent.policy(obs, ())[0].mode()
    return agent.act(obs, (), torch.Generator(), explore=False).action
