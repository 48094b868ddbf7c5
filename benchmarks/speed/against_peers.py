"""rlrun against another library, alternating, on the same workloads.

    .venv/bin/python benchmarks/speed/against_peers.py --peer PYTHON [--with tianshou] [--rounds 3] [--only NAME ...]

PYTHON is the interpreter of an environment with the library in the version of `peers.py`, Atari, and torch of the
version that rlrun has. Without `--with` it is stable-baselines3, and `speed.csv` and `ceilings.csv` are written; with
Tianshou, `speed_tianshou.csv`. The workloads are in `workloads.py`. Every measurement is a separate process. One round
measures both sides of every workload once, one right after the other, and, with stable-baselines3, the ceilings of the
machine; ratios are formed within a round. Steps per second are counted after learning has started, without start-up,
evaluation and saving. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ceilings
from agreement import disagreements, facts_of_rlrun
from peer_process import measure_peer
from peers import PEERS, SB3, Peer
from provenance import RESULTS, warn_if_busy, write_rows
from rlrun_timings import Timing, measure_rlrun
from workloads import COMPARISONS, Comparison, Workload, shrunk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="python with the other library")
    parser.add_argument("--with", dest="against", choices=list(PEERS), default="sb3", help="the other library")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(COMPARISONS), metavar="WORKLOAD", help=", ".join(COMPARISONS))
    parser.add_argument("--shrink", type=int, default=1, help="so many times fewer steps: a try, not a measurement")
    parser.add_argument("--threads", type=int, help="CPU threads on both sides, instead of those in `workloads.py`")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSVs")
    arguments = parser.parse_args()
    peer = PEERS[arguments.against]
    warn_if_busy()
    comparisons = chosen(arguments.only, arguments.shrink, arguments.threads)
    ours: dict[str, list[Timing]] = defaultdict(list)
    theirs: dict[str, list[float]] = defaultdict(list)
    rounds_of_ceilings = []
    parameters: dict[str, int] = {}
    for number in range(arguments.rounds):
        if peer.with_ceilings:
            rounds_of_ceilings.append(ceilings.measure_apart(2.0 / arguments.shrink))
        for turn in turns(comparisons):
            if turn.is_peer:
                answer = measure_peer(peer.settings(turn.workload), arguments.peer, peer)
                if number == 0:
                    parameters[turn.workload.name] = check_same_workload(turn.workload, answer, peer)
                theirs[turn.workload.name].append(answer["steps_per_second"])
            else:
                ours[turn.workload.name].append(measure_rlrun(turn.workload))
            speed = theirs[turn.workload.name][-1] if turn.is_peer else ours[turn.workload.name][-1].steps_per_second
            side = "peer" if turn.is_peer else "rlrun"
            print(f"round {number + 1}: {side:<5} {turn.workload.name:<26} {speed:>10,.1f} steps/s", flush=True)
    rows = [
        row_of(comparison, ours[comparison.ours.name], theirs[comparison.theirs.name], parameters, peer)
        for comparison in comparisons
    ]
    write_rows(arguments.results / peer.csv, rows, ["work"])
    print()
    for row in rows:
        print(as_text(row))
    if rounds_of_ceilings:
        print()
        ceilings.write(arguments.results, rounds_of_ceilings)


def chosen(only: Sequence[str] | None, factor: int = 1, num_threads: int | None = None) -> list[Comparison]:
    """The comparisons to make, with workloads that are `factor` times shorter, perhaps on other numbers of threads."""

    def changed(workload: Workload) -> Workload:
        shorter = shrunk(workload, factor)
        return shorter if num_threads is None else replace(shorter, num_threads=num_threads)

    found = [comparison for name, comparison in COMPARISONS.items() if only is None or name in only]
    return [replace(each, ours=changed(each.ours), theirs=changed(each.theirs)) for each in found]


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement."""

    workload: Workload
    is_peer: bool


def turns(comparisons: Sequence[Comparison]) -> list[Turn]:
    """Each side of each workload once, ours and theirs next to each other."""
    wanted = [
        turn for each in comparisons for turn in (Turn(each.ours, is_peer=False), Turn(each.theirs, is_peer=True))
    ]
    return list({(turn.workload.name, turn.is_peer): turn for turn in wanted}.values())


def check_same_workload(workload: Workload, answer: Mapping[str, Any], peer: Peer = SB3) -> int:
    """Refuses to compare what is not the same; returns the number of parameters.

    Raises:
        SystemExit: naming every fact that differs.
    """
    facts = facts_of_rlrun(workload.all_overrides())
    wrong = disagreements(facts, answer["facts"])
    if answer["version"] != peer.version:
        wrong.append(f"version: the peer is {answer['version']}, these settings are for {peer.version}")
    updates = workload.measured_steps * facts["updates_per_step"]
    if answer["updates"] != round(updates):
        wrong.append(f"updates: {answer['updates']} made, {updates:g} asked for in {workload.measured_steps} steps")
    if wrong:
        raise SystemExit("\n".join([f"{workload.name} is not the same workload on both sides:", *wrong]))
    return int(facts["num_parameters"])


def row_of(
    comparison: Comparison,
    ours: Sequence[Timing],
    theirs: Sequence[float],
    parameters: Mapping[str, int],
    peer: Peer = SB3,
) -> dict[str, object]:
    """Medians and spread; the ratio is the median of the rounds' ratios."""
    speeds = [timing.steps_per_second for timing in ours]
    ratios = [mine / other for mine, other in zip(speeds, theirs, strict=True)]
    return {
        "work": comparison.name,
        "peer": peer.title,
        "rlrun_envs": envs_of(comparison.ours),
        "peer_envs": envs_of(comparison.theirs),
        "threads": comparison.ours.num_threads,
        "num_parameters": parameters[comparison.theirs.name],
        "rounds": len(ratios),
        "rlrun_steps_per_second": round(statistics.median(speeds), 1),
        "rlrun_min": round(min(speeds), 1),
        "rlrun_max": round(max(speeds), 1),
        "peer_steps_per_second": round(statistics.median(theirs), 1),
        "peer_min": round(min(theirs), 1),
        "peer_max": round(max(theirs), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
        "env_share": round(statistics.median(timing.env_share for timing in ours), 3),
        "act_share": round(statistics.median(timing.act_share for timing in ours), 3),
        "learn_share": round(statistics.median(timing.learn_share for timing in ours), 3),
    }


def envs_of(workload: Workload) -> int:
    """How many environments; `check_same_workload` found it to be so on both sides."""
    return int(workload.peer["num_envs"])


def as_text(row: Mapping[str, Any]) -> str:
    """One line."""
    shares = " ".join(f"{name} {row[f'{name}_share']:.0%}" for name in ("env", "act", "learn"))
    return (
        f"{row['work']:<40} {row['rlrun_steps_per_second']:>10,} to {row['peer_steps_per_second']:>9,} steps/s: "
        f"ratio {row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f}); {shares}"
    )


if __name__ == "__main__":
    main()
