"""How fast DQN Pong trains on this GPU, by compile mode, precision and environments; run by `benchmarks/gpu.sh`.

Each row of `results/gpu_speed.csv` is one way of carrying it out: agent steps per second after learning has started
(batch 32, one update per 4 steps, without logging, evaluation and saving), who takes the time, and how long acting and
an update take by themselves. `act` waits for the updates before it, since it needs their weights. Nothing else should
run.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from time import perf_counter

import torch
from parts import Chosen, Clock, Parts, chosen
from provenance import warn_if_busy, write_rows

from rlrun.agents.dqn import DQN
from rlrun.agents.rewards import clip_reward
from rlrun.cli.bench.loop_speed import measure_loop
from rlrun.compute.execution import Compile, Precision
from rlrun.config.arguments import changed
from rlrun.errors import UserError

_Case = tuple[Compile, Precision, int]
_TOGETHER = 16  # updates that are timed at once: as many as 16 environments make in one turn of 4 steps
_LONGEST = 25.0  # seconds of one measurement of the loop
_SHARE = 0.4  # of the time of a case that the loop is measured for; the rest is building, compiling and the parts


def cases(options: Chosen) -> list[_Case]:
    """The ways at 16 environments first, then other numbers of environments."""
    if options.tiny:
        return [("none", "float32", 2), ("none", "bfloat16", 2)]
    ways: list[_Case] = [("graphs", "float32", 16), ("none", "float32", 16), ("graphs", "bfloat16", 16)]
    sizes: list[_Case] = [("graphs", "float32", size) for size in (64, 128, 4, 1)]
    compiled: list[_Case] = [("inductor", "float32", 16), ("inductor", "bfloat16", 16)]
    if options.device == "cpu":
        return [case for case in (*ways, *compiled) if case[0] != "graphs"]
    return [*ways, *sizes, *compiled]


def milliseconds(action: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Of one call, the GPU's part included, over about so many seconds; the first calls do not count."""

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        action()
    finish()
    started, calls = perf_counter(), 0
    while perf_counter() - started < seconds:
        for _ in range(10):
            action()
        finish()
        calls += 10
    return 1000 * (perf_counter() - started) / calls


def measure(options: Chosen, case: _Case, seconds: float) -> dict[str, object]:
    """One row."""
    how, precision, num_envs = case
    overrides = [*options.overrides(num_envs), f"device.compile={how}", f"device.precision={precision}"]
    starts = 64 if options.tiny else 4000
    speed = measure_loop(overrides, starts + 100 * num_envs, seconds)
    parts = Parts(changed(overrides, "device.compile=none"), deterministic=False)
    agent = parts.agent(how, precision)
    collector = parts.collector(agent)
    rollout = collector.collect(agent)
    while len(agent._replay) < starts:
        agent._replay.extend(clip_reward(rollout, agent._reward_clip))
        rollout = collector.collect(agent)
    acting = torch.Generator(parts.device).manual_seed(0)
    agent._steps = 10**9  # past all exploration: epsilon is at its end
    obs = rollout.obs_sequence[-1]
    part_seconds = seconds / 8
    collector.env.close()
    return {
        "compile": how,
        "precision": precision,
        "num_envs": num_envs,
        "steps_per_second": round(speed.steps_per_second, 1),
        "slowest": round(speed.slowest, 1),
        "fastest": round(speed.fastest, 1),
        "env_share": round(speed.env_share, 3),
        "act_share": round(speed.act_share, 3),
        "learn_share": round(speed.learn_share, 3),
        "act_ms": round(milliseconds(lambda: agent.act(obs, (), acting, explore=True), parts.device, part_seconds), 4),
        "update_ms": round(milliseconds(lambda: update(agent), parts.device, part_seconds) / _TOGETHER, 4),
        "updates_together": _TOGETHER,
        "measured_steps": speed.num_steps,
        "threads": speed.num_threads,
        "tiny": options.tiny,
        "gpu": options.machine(),
    }


def update(agent: DQN) -> None:
    """Makes `_TOGETHER` updates."""
    for batch, next_q in agent._batches(_TOGETHER):
        agent._update(batch, next_q)


def rows(options: Chosen) -> Iterator[dict[str, object]]:
    """As many as there is time for."""
    clock, waiting = Clock(options.seconds), cases(options)
    for number, case in enumerate(waiting):
        share = clock.left / (len(waiting) - number)
        if clock.left <= 0:
            print(f"NOT MEASURED, the time is over: {waiting[number:]}", flush=True)
            return
        try:
            yield measure(options, case, 0.2 if options.tiny else min(_LONGEST, _SHARE * share))
        except UserError as problem:  # such as no compiler for inductor
            print(f"NOT MEASURED, {case}: {problem}", flush=True)


def main() -> int:
    options = chosen(__doc__.splitlines()[0] if __doc__ else "")
    if shutil.which("nvidia-smi") is None and options.device == "cuda":
        print("nvidia-smi is not here: whether the GPU is busy with something else cannot be seen", flush=True)
    warn_if_busy()
    found = []
    for each in rows(options):
        found.append(each)
        print(
            f"{each['compile']:>8} {each['precision']:>8} {each['num_envs']:>4} envs: "
            f"{each['steps_per_second']:>10,} steps/s (quarters {each['slowest']:,} to {each['fastest']:,}); "
            f"env {each['env_share']:.0%}, act {each['act_share']:.0%}, learn {each['learn_share']:.0%}; "
            f"act {each['act_ms']} ms, update {each['update_ms']} ms",
            flush=True,
        )
        write_rows(options.results / "gpu_speed.csv", [each], ["compile", "precision", "num_envs", "gpu", "tiny"])
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
