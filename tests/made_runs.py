"""Runs made of small files alone, for tests of reports: no training, exact numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlrun.runs.manifest import Code, Provenance, describe_machine, make_manifest, write_manifest, write_result

CARTPOLE = {"_target_": "rlrun.envs.cartpole.CartPole", "num_envs": 1, "max_episode_steps": 500}
ATARI = {
    "_target_": "rlrun.envs.atari.Atari",
    "game": "pong",
    "protocol": "nature2015",
    "num_envs": 1,
    "max_episode_frames": 108000,
    "reseed_every_steps": 10000,
}
STARTED = 1735689600.0  # 2025-01-01, seconds since 1970


def made_run(
    folder: Path,
    returns: Sequence[float],
    *,
    seed: int = 0,
    algo: str = "dqn",
    keys: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] = CARTPOLE,
    every_steps: int = 100,
    finished: bool = True,
    greedy: float | None = None,
    discounted: float | None = None,
    episodes: int = 20,
    epsilon: float = 0.0,
    code: str = "c0de" * 8,
    versions: Mapping[str, str] | None = None,
    name: str | None = None,
    rerun_of: str | None = None,
    started: str = "2025-01-01T00:00:00+00:00",
) -> Path:
    """A run with an evaluation every `every_steps` agent steps, of which each took 2 environment steps and 10 ms."""
    total_steps = every_steps * len(returns) * (1 if finished else 2)
    experiment = {"algo": {"_target_": f"rlrun.agents.{algo}.X", "gamma": 0.99, **(keys or {})}, "env": dict(env)}
    made = Provenance(
        argv=["rlrun", f"algo={algo}"],
        overrides=[f"algo={algo}"],
        labels={"algo": algo, "env": "atari" if "game" in env else "cartpole"},
        evaluation={"protocol": env["protocol"]} if "protocol" in env else {},
        experiment=experiment,
        settings={"evaluation": {"episodes": episodes, "max_episode_frames": None, "epsilon": epsilon}},
        seed=seed,
        total_steps=total_steps,
        machine=describe_machine("cpu", None, 1, "AVX2"),
        rerun_of=rerun_of,
    )
    manifest = make_manifest(made, Code("c" * 40, None, code))
    manifest["versions"] |= versions or {}
    seconds = every_steps * len(returns) / 100
    manifest["sessions"] = [{"started": started, "ended": started, "wall_seconds": seconds, "differs": {}}]
    suffix = "-".join(f"{key}={value}" for key, value in (keys or {}).items())
    directory = folder / (name or f"{env.get('game', 'cartpole')}-{algo}{suffix}/seed{seed}")
    directory.mkdir(parents=True)
    write_manifest(directory, manifest)
    steps = [every_steps * number for number in range(1, len(returns) + 1)]
    rows: list[dict[str, float]] = [
        {"step": step, "env_steps": 2 * step, "eval/episode_return": float(value)}
        for step, value in zip(steps, returns, strict=True)
    ]
    optional = {"eval/greedy_return": greedy, "eval/discounted_return": discounted}
    more = {key: value for key, value in optional.items() if value is not None}
    rows[-1] |= more
    timings = [{"step": step, "time/eval_seconds": 0.1, "unix_time": STARTED + step / 100} for step in steps]
    for file, lines in (("metrics.jsonl", rows), ("timings.jsonl", timings)):
        (directory / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        result: dict[str, float] = {"step": total_steps, "total_steps": total_steps, "eval/episodes": episodes}
        result |= {"eval/episode_return": float(returns[-1]), "eval/standard_error": 0.0}
        write_result(directory, result | more)
    return directory
