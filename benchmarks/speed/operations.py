"""What a turn of training spends its time on, by torch operation; writes `operations.csv`.

    .venv/bin/python benchmarks/speed/operations.py [--only WORK ...] [--turns 40]

A turn is one rollout and all updates that it owes, as in training. Its wall time is measured without a profiler; then
torch's profiler gives the time inside each kind of operation, forward and backward. What is in neither, Python and the
way to an operation, is the rest. The profiler costs about a microsecond per operation, which counts as the operation's:
in small networks the rest is larger than shown, and views, of which there are many, are smaller.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from provenance import RESULTS, warn_if_busy, write_rows
from torch.profiler import ProfilerActivity, profile
from works import WORKS, Work

from rlrun import make
from rlrun.notebook import Made

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
    parser.add_argument("--only", nargs="+", choices=list(WORKS), metavar="WORK", help=", ".join(WORKS))
    parser.add_argument("--turns", type=int, default=40, help="that are measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV")
    arguments = parser.parse_args()
    warn_if_busy()
    rows = []
    for name in arguments.only or WORKS:
        seconds, shares = measured(WORKS[name], arguments.turns)
        print(f"{WORKS[name].title}: {1e3 * seconds:.2f} ms a turn")
        for kind, share in shares.items():
            print(f"  {share:6.1%}  {kind}")
            rows.append({"work": name, "what": kind, "share": f"{share:.4f}", "turn_ms": f"{1e3 * seconds:.3f}"})
    write_rows(arguments.results / "operations.csv", rows, key=("work", "what"))


def measured(work: Work, turns: int) -> tuple[float, dict[str, float]]:
    """Seconds a turn, and the share of each kind of operation in it, largest first."""
    words = [*work.all_words(), f"total_steps={work.warm_up_steps + work.measured_steps}", "logger=none"]
    with make(words) as made:
        steps = 0
        while steps < work.warm_up_steps:
            rollout = made.collector.collect(made.agent)
            made.agent.learn(rollout)
            steps += rollout.num_steps
        seconds = min(_played(made, turns // 4) for _ in range(4))
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            for _ in range(turns):
                made.agent.learn(made.collector.collect(made.agent))
    spent = {event.key: event.self_cpu_time_total * 1e-6 / turns for event in profiled.key_averages()}
    return seconds, shares_of(spent, seconds)


def _played(made: Made, turns: int) -> float:
    """Seconds a turn without the profiler."""
    started = perf_counter()
    for _ in range(turns):
        made.agent.learn(made.collector.collect(made.agent))
    return (perf_counter() - started) / turns


def shares_of(spent: Mapping[str, float], seconds: float) -> dict[str, float]:
    """The share of each kind of operation in a turn, largest first.

    Args:
        spent: seconds a turn inside each operation, and not in those that it calls, by name.
        seconds: wall time of a turn without the profiler.

    Returns:
        Shares that add up to 1; where the operations took longer than the turn, the profiler's part is taken off all.
    """
    kinds: dict[str, float] = defaultdict(float)
    for name, each in spent.items():
        kind = next((kind for kind, names in KINDS.items() if re.search(names, name)), None)
        if kind is not None:
            kinds[kind] += each
    whole = max(seconds, sum(kinds.values()))
    kinds[REST] = whole - sum(kinds.values())
    return {kind: each / whole for kind, each in sorted(kinds.items(), key=lambda item: -item[1])}


if __name__ == "__main__":
    main()
