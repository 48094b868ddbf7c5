"""Evaluates a policy after training, under a named protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from rlrun.build import build_player
from rlrun.config.config import Config
from rlrun.config.saved import config_of_run
from rlrun.errors import UserError
from rlrun.loop.evaluate import Evaluation, EvaluationSettings, Evaluator
from rlrun.protocols import Agent, Stochastic
from rlrun.runs.evaluation_log import append_evaluation
from rlrun.runs.manifest import code_state, manifest_of_run, now
from rlrun.runs.policies import policy_of
from rlrun.types import EnvSpec


def evaluate_policy(
    config: Config, directory: Path, name: str, changed: Sequence[str], *, which: str | None, seed: int
) -> Evaluation:
    """Plays the episodes of a protocol with a policy, prints the result and adds it to `eval.jsonl`.

    Args:
        config: of the run, with the protocol's `evaluation` and `env`.
        directory: of the run, or of an exported policy.
        name: of the protocol.
        changed: overrides of what the protocol says.
        which: `best`, `last` or the step of a checkpoint; None: the last.
        seed: of the episodes. Each has its own, and none is one of training.

    Raises:
        UserError: if there is no such policy, or it does not fit the environment.
    """
    settings = EvaluationSettings(**config.evaluation)
    policy = policy_of(directory, which)
    started = perf_counter()
    title = " ".join([f"protocol {name}", *changed])
    with closing(build_player(config, num_envs=settings.num_envs)) as player:
        _check_actions(config, directory, player.env.spec.num_actions, title)
        policy.load_into(player.agent)
        rules = rules_of(settings, player.agent, player.env.spec)
        print(
            f"{title}: {in_words(rules)}, seed {seed}\nthe policy of step {policy.step:,} ({policy.path})", flush=True
        )
        evaluator = Evaluator(
            player.env,
            settings.episodes,
            seed,
            torch.device("cpu"),
            settings.greedy_episodes,
            settings.greedy_limit_steps,
            settings.epsilon,
        )
        evaluation = evaluator.evaluate(player.agent, "after training")
    print(evaluation.as_text())
    row = {
        "protocol": name,
        "changed": list(changed),
        "rules": rules,
        "seed": seed,
        "checkpoint": policy.path.stem,
        "step": policy.step,
        **evaluation.as_json(),
        "time/eval_seconds": perf_counter() - started,
        "time": now(),
        "git_commit": code_state().commit,
    }
    append_evaluation(directory, row)
    return evaluation


def _check_actions(config: Config, directory: Path, num_actions: int, title: str) -> None:
    own = config_of_run(directory, manifest_of_run(directory))
    if own.env == config.env:
        return
    with closing(build_player(own)) as trained:
        of_policy = trained.env.spec.num_actions
    if num_actions != of_policy:
        raise UserError(f"{title} has {num_actions} actions, and the policy was trained with {of_policy}")


def rules_of(settings: EvaluationSettings, agent: Agent, spec: EnvSpec) -> dict[str, Any]:
    """What the score depends on: how many episodes, how actions are chosen, and the rules of the environment."""
    samples = isinstance(agent, Stochastic) and agent.evaluation_policy == "sampled"
    actions = "sampled" if samples else f"epsilon {settings.epsilon:g}" if settings.epsilon else "greedy"
    return {"env": spec.name, "episodes": settings.episodes, "actions": actions, **spec.rules}


def in_words(rules: Mapping[str, Any]) -> str:
    """`rules` in one line."""
    episodes = f"{rules['episodes']} episodes on {rules['env']}, actions {rules['actions']}"
    rest = [f"{name} {value}" for name, value in rules.items() if name not in ("env", "episodes", "actions")]
    return ", ".join([episodes, *rest])
