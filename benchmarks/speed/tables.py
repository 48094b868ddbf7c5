"""Makes the tables of `docs/speed.md` from the CSVs in `benchmarks/results`.

    .venv/bin/python benchmarks/speed/tables.py

Each table stands between `<!-- table NAME -->` and `<!-- end -->`; what is between them is replaced. A test checks that
the pages are what the CSVs give. What differs between the two sides comes from `peers.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import same_curves
from peers import SB3, TIANSHOU, Peer
from provenance import RESULTS, ROOT, read_rows
from workloads import COMPARISONS, WORKLOADS

PAGE = ROOT / "docs" / "speed.md"
BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = Mapping[str, str]


def main() -> None:
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")


def render(text: str, results: Path) -> str:
    """The page with every table made anew.

    Raises:
        KeyError: if the page asks for a table that nothing makes.
    """
    return BLOCK.sub(lambda match: match[1] + table(match[2], results) + match[3], text)


def table(name: str, results: Path) -> str:
    """One table in Markdown, and where its numbers come from."""
    if name in OTHERS:
        return OTHERS[name](results)
    csv, columns, cells = TABLES[name]
    rows = read_rows(results / csv)
    if not rows:
        return f"Not measured yet: there is no `benchmarks/results/{csv}`.\n"
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in map(cells, ordered(name, rows))]
    return "\n".join([*lines, "", *sources(csv, rows)]) + "\n"


def differences(peer: Peer, results: Path) -> str:
    """What `peers.py` says is not the same on both sides: a list."""
    del results
    lines = [f"- {WORKLOADS[name].title}: {what}." for name, whats in peer.differences.items() for what in whats]
    return "\n".join(lines) + "\n"


def curves(results: Path) -> str:
    """Learning before the fast paths and after, as `same_curves.py` compares them."""
    columns = ("curves", "seeds", "up to step", "the same numbers", "before", "after", "difference", "commits")
    found = same_curves.pairs(results)
    if not found:
        return "Not measured yet: there are no `benchmarks/results/curves_*_before.csv`.\n"
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(same_curves.cells(pair)) + " |" for pair in found)]) + "\n"


def ordered(name: str, rows: Sequence[Row]) -> list[Row]:
    """Workloads in the order in which `workloads.py` has them, everything else as measured."""
    if name not in ("workloads", "workloads_again", "workloads_tianshou", "time", "operations"):
        return list(rows)
    places = {workload: place for place, workload in enumerate(WORKLOADS if name == "operations" else COMPARISONS)}
    return sorted(rows, key=lambda row: places.get(row["work"], len(places)))


def sources(csv: str, rows: Sequence[Row]) -> list[str]:
    """A line for every command, commit and machine that the rows come from."""
    kinds = dict.fromkeys((row["command"], row["commit"], row["machine"]) for row in rows)
    link = f"[`{csv}`](../benchmarks/results/{csv})"
    return [f"{link}: `{command}` at {commit} on {machine}.  " for command, commit, machine in kinds]


def number(text: str) -> str:
    """With commas, and no more digits than it deserves; a dash for nothing."""
    if text == "":
        return "-"
    value = float(text)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(row: Row, value: str, low: str, high: str) -> str:
    """A median, and from where to where it went in several rounds."""
    if row.get(low, "") == "" or row.get("rounds") == "1":
        return number(row[value])
    return f"{number(row[value])} ({number(row[low])} to {number(row[high])})"


def share(row: Row, name: str) -> str:
    """A percentage."""
    return "-" if row.get(name, "") == "" else f"{float(row[name]):.0%}"


def workloads(row: Row) -> list[str]:
    """Rlrun against a peer."""
    return [
        COMPARISONS[row["work"]].title,
        spread(row, "rlrun_steps_per_second", "rlrun_min", "rlrun_max"),
        spread(row, "peer_steps_per_second", "peer_min", "peer_max"),
        f"**{float(row['ratio']):.2f}** ({float(row['ratio_min']):.2f} to {float(row['ratio_max']):.2f})",
        row["rounds"],
    ]


def workloads_with_goals(row: Row) -> list[str]:
    """The same, with the ratio that was asked for and the one that was hoped for."""
    comparison = COMPARISONS[row["work"]]
    return [*workloads(row), f"{comparison.goal:g} / {comparison.aim:g}"]


def time_split(row: Row) -> list[str]:
    """Where rlrun's time goes."""
    shares = [share(row, name) for name in ("env_share", "act_share", "learn_share")]
    return [COMPARISONS[row["work"]].title, number(row["num_parameters"]), row["threads"] or "-", *shares]


def ceilings(row: Row) -> list[str]:
    """What the machine does."""
    return [row["what"], spread(row, "value", "min", "max"), row["unit"], row["rounds"]]


def operations(row: Row) -> list[str]:
    """Where an iteration's time goes."""
    turns = f"{number(row['turn_ms'])} ms", f"{number(row['profiled_ms'])} ms"
    return [WORKLOADS[row["work"]].title, *turns, row["what"], share(row, "share")]


def memory(row: Row) -> list[str]:
    """Peaks."""
    steps, peak, million = number(row["replay_steps"]), float(row["peak_gib"]), row["million_gib"]
    per_step = number(row["replay_bytes_per_step"]), number(row["measured_bytes_per_step"])
    return [row["what"], steps, f"{peak:.2f} GiB", *per_step, f"{float(million):.1f} GiB" if million else "-"]


def startup(row: Row) -> list[str]:
    """Seconds."""
    return [f"`{row['what']}`", f"{spread(row, 'seconds', 'min', 'max')} s", row["rounds"]]


def scaling(row: Row) -> list[str]:
    """Steps per second."""
    counts = [row[name] for name in ("num_envs", "num_threads", "num_runs")]
    return [row["what"], *counts, spread(row, "steps_per_second", "min", "max"), row["rounds"]]


def ideas(row: Row) -> list[str]:
    """Alternatives, compared with what rlrun does."""
    times = f"{number(row['plain_ms'])} ms", f"{number(row['idea_ms'])} ms"
    return [row["what"], row["threads"], *times, spread(row, "ratio", "min", "max"), row["rounds"]]


def workloads_of(peer: Peer) -> Sequence[str]:
    """Headings of the table that compares with `peer`."""
    return "workload", "rlrun steps/s", f"{peer.name} steps/s", "ratio", "rounds"


GOALS = "asked for / hoped for"

# Name in the page: what makes the text of those that are not one CSV.
OTHERS: dict[str, Callable[[Path], str]] = {
    "curves": curves,
    "differences": partial(differences, SB3),
    "differences_tianshou": partial(differences, TIANSHOU),
}

# Name in the page: CSV, headings, and what makes the cells of a row.
TABLES: dict[str, tuple[str, Sequence[str], Callable[[Row], list[str]]]] = {
    "workloads": (SB3.csv, (*workloads_of(SB3), GOALS), workloads_with_goals),
    "workloads_again": ("speed_again.csv", (*workloads_of(SB3), GOALS), workloads_with_goals),
    "workloads_tianshou": (TIANSHOU.csv, workloads_of(TIANSHOU), workloads),  # no ratios were asked for
    "time": ("speed.csv", ("workload", "parameters", "threads", "environment", "acting", "learning"), time_split),
    "operations": (
        "operations.csv",
        ("workload", "an iteration", "under the profiler", "spent on", "share"),
        operations,
    ),
    "ceilings": ("ceilings.csv", ("what", "median", "unit", "rounds"), ceilings),
    "memory": (
        "memory.csv",
        ("what", "steps in the replay", "peak", "replay bytes a step", "measured bytes a step", "at a million steps"),
        memory,
    ),
    "ideas": ("ideas.csv", ("idea", "threads", "as it is", "so", "times as fast", "rounds"), ideas),
    "startup": ("startup.csv", ("what", "to the first step", "rounds"), startup),
    "scaling": (
        "scaling.csv",
        ("what", "environments", "threads", "runs at once", "steps/s of all", "rounds"),
        scaling,
    ),
}


if __name__ == "__main__":
    main()
