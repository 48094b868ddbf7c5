"""Where an iteration of training spends its time, by torch operation; writes `operations.csv`.

    .venv/bin/python benchmarks/speed/operations.py [--only WORKLOAD ...] [--turns 40]

An iteration ("turn") is one rollout and all its updates, as in training. Shares are of the iteration under the
profiler of torch, which
gives the time inside each kind of operation, forward and backward; what is in none of them, Python and the emulator, is
the rest. The profiler costs about a microsecond per operation, so that a turn without it, which is measured beside, is
shorter, and shares of kinds with many small operations are larger than they are without it. Compiled workloads are
left out: compiled code is one operation.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from provenance import RESULTS, warn_if_busy, write_rows
from torch.profiler import ProfilerActivity, profile
from workloads import WORKLOADS, Workload

from rlrun import make
from rlrun.api import Experiment

REST = "Python, NumPy, the emulator, and the way to operations"
KINDS = {  # by the names of operations; the first that fits counts
    "convolutions, forward": r"mkldnn_convolution|_convolution$|conv2d",
    "convolutions, backward": r"convolution_backward",
    "matrix products": r"aten::(addmm|mm|bmm|linear|baddbmm)$",
    "optimizer": r"_fused_adam_|_foreach_|Optimizer",
    "autograd's own": r"autograd::|Backward\d*$",
    "copies and layouts": r"copy_|contiguous|clone|_to_copy|empty|resize|aten::(to|cat|stack|index_select)$",
    "views": r"aten::(view|as_strided|slice|select|unsqueeze|squeeze|expand|t|transpose|permute|reshape|split|unbind)$",
    "other operations": r"aten::",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    workloads = [name for name, workload in WORKLOADS.items() if not workload.is_compiled]
    parser.add_argument("--only", nargs="+", choices=workloads, metavar="WORKLOAD", help=", ".join(workloads))
    parser.add_argument("--turns", type=int, default=40, help="how many are measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV")
    arguments = parser.parse_args()
    warn_if_busy()
    rows = []
    for name in arguments.only or workloads:
        seconds, profiled, spent = measured(WORKLOADS[name], arguments.turns)
        print(f"{WORKLOADS[name].title}: {1e3 * seconds:.2f} ms a turn, {1e3 * profiled:.2f} ms under the profiler")
        for kind, share in shares_of(spent, profiled).items():
            print(f"  {share:6.1%}  {kind}")
            row = {"work": name, "what": kind, "share": f"{share:.4f}", "turn_ms": f"{1e3 * seconds:.3f}"}
            rows.append(row | {"profiled_ms": f"{1e3 * profiled:.3f}"})
    write_rows(arguments.results / "operations.csv", rows, key=("work", "what"))


def measured(workload: Workload, turns: int) -> tuple[float, float, dict[str, float]]:
    """Seconds a turn without and with the profiler, and those inside each operation (and not in those it calls)."""
    overrides = [
        *workload.all_overrides(),
        f"total_steps={workload.warm_up_steps + workload.measured_steps}",
        "logger=none",
    ]
    with make(overrides) as experiment:
        steps = 0
        while steps < workload.warm_up_steps:
            rollout = experiment.collector.collect(experiment.agent)
            experiment.agent.learn(rollout)
            steps += rollout.num_steps
        seconds = statistics.median(_played(experiment, 1) for _ in range(turns))
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            profiled_seconds = _played(experiment, turns)
    spent = {event.key: event.self_cpu_time_total * 1e-6 / turns for event in profiled.key_averages()}
    return seconds, profiled_seconds, spent


def _played(experiment: Experiment, turns: int) -> float:
    """Seconds a turn."""
    started = perf_counter()
    for _ in range(turns):
        experiment.agent.learn(experiment.collector.collect(experiment.agent))
    return (perf_counter() - started) / turns


def shares_of(spent: Mapping[str, float], seconds: float) -> dict[str, float]:
    """The share of each kind of operation in a turn, largest first.

    Args:
        spent: seconds a turn inside each operation, and not in those that it calls, by name.
        seconds: wall time of the same turns.

    Returns:
        Shares that add up to 1.

    Raises:
        ValueError: if the operations took longer than the turn.
    """
    kinds: dict[str, float] = defaultdict(float)
    for name, each in spent.items():
        kind = next((kind for kind, names in KINDS.items() if re.search(names, name)), None)
        if kind is not None:
            kinds[kind] += each
    inside = sum(kinds.values())
    if inside > seconds:
        raise ValueError(f"{inside:.4f} s of operations in a turn of {seconds:.4f} s: more than one thread was counted")
    kinds[REST] = seconds - inside
    return {kind: each / seconds for kind, each in sorted(kinds.items(), key=lambda item: -item[1])}


if __name__ == "__main__":
    main()
