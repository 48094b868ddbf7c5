"""Settings of `peer_tianshou.py` for the workloads that Tianshou's own DQN and A2C can run, and what differs there.

The numbers are those of `workloads.py` in Tianshou's terms: a target network's period is counted in updates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workloads import COMPILED, Workload

_A2C = {
    "algorithm": "A2C",
    "learning_rate": 7e-4,  # stable-baselines3
    "decay": 0.99,  # stable-baselines3
    "eps": 1e-5,  # stable-baselines3, and rl-zoo3 for Pong
    "gamma": 0.99,  # stable-baselines3
    "gae_lambda": 1.0,  # stable-baselines3
    "max_grad_norm": 0.5,  # stable-baselines3
}
_A2C_PONG = _A2C | {"value_coefficient": 0.25, "entropy_bonus": 0.01}  # rl-zoo3

ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "dqn_pong": {
        "algorithm": "DQN",
        "learning_rate": 1e-4,  # rl-zoo3
        "eps": 1e-8,  # torch's Adam
        "gamma": 0.99,  # stable-baselines3
        "huber_delta": 1.0,  # stable-baselines3
        "max_grad_norm": 10.0,  # stable-baselines3
        "batch_size": 32,  # rl-zoo3
        "replay_capacity_steps": 100_000,  # rl-zoo3
        "updates_per_round": 1,  # rl-zoo3 (gradient_steps)
        "target_period_updates": 250,  # rl-zoo3: 1000 steps
        "final_epsilon": 0.01,  # rl-zoo3
    },
    "a2c_pong_16": _A2C_PONG,
    "a2c_pong_64": _A2C_PONG,
    "dqn_cartpole": {
        "algorithm": "DQN",
        "hidden": [256, 256],  # rl-zoo3
        "activation": "relu",  # stable-baselines3
        "learning_rate": 2.3e-3,  # rl-zoo3
        "eps": 1e-8,  # torch's Adam
        "gamma": 0.99,  # rl-zoo3
        "huber_delta": 1.0,  # stable-baselines3
        "max_grad_norm": 10.0,  # stable-baselines3
        "batch_size": 64,  # rl-zoo3
        "replay_capacity_steps": 100_000,  # rl-zoo3
        "updates_per_round": 128,  # rl-zoo3 (gradient_steps)
        "target_period_updates": 128,  # rl-zoo3: 10 steps, and nothing changes within the 256 of a round
        "final_epsilon": 0.04,  # rl-zoo3
    },
    "actor_critic_cartpole_8": _A2C
    | {
        "hidden": [64, 64],  # stable-baselines3
        "activation": "tanh",  # stable-baselines3
        "value_coefficient": 0.5,  # stable-baselines3
        "entropy_bonus": 0.0,  # rl-zoo3
    },
}

_DQN = "the next observations go through the network that learns as well, whose values double DQN would need"
_ACTING = "acting keeps what gradients would need there, as its collector does it"
_TWICE = "values of both ends of every step are worked out in two more passes before an update"
_SHARED = "policy and value go through the shared network one after the other in an update, and once together here"
_ROOT = "RMSProp's eps is under the root here and outside of it there: as much arithmetic"
_BEGINNING = "RMSProp's mean square begins with 1 here and with 0 there"

_A2C_DIFFERS = (_ACTING, _TWICE, _ROOT)
DIFFERENCES: Mapping[str, tuple[str, ...]] = {
    "dqn_pong": (_ACTING, _DQN),
    "a2c_pong_16": (*_A2C_DIFFERS, _SHARED, _BEGINNING),
    "a2c_pong_64": (*_A2C_DIFFERS, _SHARED, _BEGINNING),
    "dqn_cartpole": (_ACTING, _DQN),
    "actor_critic_cartpole_8": _A2C_DIFFERS,
    "actor_critic_cartpole_64": _A2C_DIFFERS,
    "actor_critic_cartpole_8_compiled": (COMPILED,),
    "actor_critic_cartpole_64_compiled": (COMPILED,),
}


def tianshou_settings(workload: Workload) -> dict[str, Any]:
    """What `peer_tianshou.py` is given, as JSON."""
    settings = {
        **ARGUMENTS[workload.name],
        "env": workload.peer["env"],
        "num_envs": workload.peer["num_envs"],
        "update_steps": workload.update_steps,
        **workload.measuring(),
    }
    if workload.learning_starts_steps is not None:
        settings["learning_starts_steps"] = workload.learning_starts_steps
        settings["exploration_ends_at_step"] = workload.exploration_ends_at_step
    return settings
