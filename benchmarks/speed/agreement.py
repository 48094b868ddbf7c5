"""Whether rlrun and a peer really do the same work: facts of both, and where they differ."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rlrun.build import build
from rlrun.config.arguments import changed
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directory

Facts = dict[str, Any]

# These are the same rule in every library; the place of eps is described in `workloads.py`.
SAME_OPTIMIZER = {"RMSProp": "RMSprop", "RMSpropTFLike": "RMSprop"}


def facts_of_rlrun(overrides: Sequence[str]) -> Facts:
    """The facts of what `rlrun` builds from `overrides`: from the agent where it can be seen, else from the config."""
    one_thread = ("device.num_threads=1", "evaluation.num_envs=1")  # nothing is run, and no fact depends on it
    config = load_config(changed(overrides, *one_thread), [config_directory()])
    with tempfile.TemporaryDirectory() as folder, closing(build(config, Path(folder) / "run")) as built:
        state = built.run.agent.state_dict()
        network = state["q"] if "q" in state else state["network"]
        num_envs = built.run.collector.env.spec.num_envs
        num_parameters = sum(tensor.numel() for tensor in network.values())
    algo = config.algo.arguments
    optimizer = algo["optimizer"]
    facts = {
        "num_parameters": num_parameters,
        "optimizer": optimizer.target.rpartition(".")[2],
        "learning_rate": optimizer.arguments["learning_rate"],
        "eps": optimizer.arguments["eps"],
        "gamma": algo["gamma"],
        "num_envs": num_envs,
        "max_grad_norm": algo["max_grad_norm"],
    }
    return facts | (_dqn(config, num_envs) if "replay" in algo else _actor_critic(config, num_envs))


def _dqn(config: Config, num_envs: int) -> Facts:
    replay, target, exploration = (
        config.algo.arguments[name].arguments for name in ("replay", "target", "exploration")
    )
    return {
        "update_steps": config.algo.arguments["rollout_steps"] * num_envs,
        "batch_size": replay["batch_size"],
        "updates_per_step": replay["ratio"] / replay["batch_size"],
        "replay_capacity_steps": replay["capacity_steps"],
        "target_period_steps": target["period_steps"],
        "final_epsilon": exploration["epsilon"].arguments["end"],
    }


def _actor_critic(config: Config, num_envs: int) -> Facts:
    algo = config.algo.arguments
    value, steps = algo["value"].arguments, algo["advantage"].arguments["rollout_steps"] * num_envs
    return {
        "update_steps": steps,
        "batch_size": steps,
        "updates_per_step": value["updates"] / steps,
        "value_coefficient": value["coefficient"] / 2,  # of half the squared error here, of the whole one there
        "entropy_bonus": algo["entropy_bonus"],
        "decay": algo["optimizer"].arguments["decay"],
    }


def disagreements(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """A line for every fact that is not the same on both sides, or is missing on one."""
    ours, theirs = _in_rounds(ours), _in_rounds(theirs)
    return [
        f"{name}: rlrun {ours.get(name)}, peer {theirs.get(name)}"
        for name in sorted({*ours, *theirs})
        if not _same(ours.get(name), theirs.get(name))
    ]


def _in_rounds(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The target network's period in whole rounds of learning: within one, there is nothing new to copy."""
    if not {"target_period_steps", "update_steps"} <= {*facts}:
        return facts
    rounds = math.ceil(facts["target_period_steps"] / facts["update_steps"] - 1e-9)
    return {**facts, "target_period_steps": rounds * facts["update_steps"]}


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=1e-9)
    return bool(SAME_OPTIMIZER.get(ours, ours) == SAME_OPTIMIZER.get(theirs, theirs))
