"""Writes `docs/results.md` and its pictures from the bars and what is known of them.

    .venv/bin/python benchmarks/learning/page.py

Everything on the page is made from `bars/*.yaml` and `results/*.csv`, which are committed; nothing is run.
"""

from __future__ import annotations

import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from bars import EPISODES, PROTOCOL, Bar, load_bars
from records import read_records

from rlrun.reports.summaries import mean_of as mean_with_interval

ROOT = Path(__file__).resolve().parents[2]
HEAD = """\
# Results

What agents have learned, beside what others published. Each row is a bar: an experiment, a budget of agent steps, a
threshold for the mean return of the *final* policy over fresh episodes, and how many seeds must reach it. A bar that is
missed is shown as missed. Published numbers were measured by other protocols, which stand below each picture: they say
what is usual, not who is better.

This page is made by [`benchmarks/learning/page.py`](../benchmarks/learning/page.py) from
[the bars](../benchmarks/learning/bars) and the numbers next to them (`results/`).
`.venv/bin/python benchmarks/learning/run.py BAR` carries a bar out again.
"""
Records = Sequence[Mapping[str, str]]


def page(bars: Sequence[Bar], pictures: str) -> str:
    """The whole page; `pictures` is their folder, seen from the page."""
    lines = [HEAD]
    lines += ["| bar | agent steps | seeds | mean of the final policy | must reach | published | |"]
    lines += ["|---|---|---|---|---|---|---|"]
    records = {bar.name: counted(bar, read_records(bar.results)) for bar in bars}
    lines += [_row(bar, records[bar.name]) for bar in bars]
    for bar in bars:
        lines += ["", f"## {bar.title}", "", *_section(bar, records[bar.name], pictures)]
    return "\n".join(lines) + "\n"


def counted(bar: Bar, records: Records) -> Records:
    """The rows of today's bar: of its seeds, its command and its length, evaluated over fresh episodes."""
    of_seeds = {row["seed"]: row for row in records if int(row["seed"]) in bar.seeds}
    return [row for row in of_seeds.values() if _is_of(bar, row)]


def _is_of(bar: Bar, row: Mapping[str, str]) -> bool:
    command = " ".join(["rlrun", *bar.arguments, f"seed={row['seed']}"])
    same = row["command"] == command or row["command"].startswith(f"{command} device.num_threads=")  # set by the pool
    fresh = (row["protocol"], row["episodes"]) == (PROTOCOL, str(EPISODES))
    return same and fresh and int(row["step"]) >= bar.budget_steps  # a last rollout adds a few


def verdict(bar: Bar, records: Records) -> str:
    """Reached, missed, or not known yet; of all `records` those count that `counted` returns."""
    records = counted(bar, records)
    if not records:
        return "not run yet"
    reached = sum(_reaches(bar, row) for row in records)
    line = f"reached by {reached} of {len(records)}"
    if reached >= bar.needed:
        return line
    return f"**missed**: {line}" if len(records) >= len(bar.seeds) else f"{line}, not all seeds run yet"


def _reaches(bar: Bar, row: Mapping[str, str]) -> bool:
    in_time = bar.most_minutes is None or _minutes(row) <= bar.most_minutes
    return in_time and float(row["final_mean"]) >= bar.threshold


def _minutes(row: Mapping[str, str]) -> float:
    return float(row["wall_seconds"]) / 60.0


def mean_of(records: Records) -> str:
    """The mean over seeds, with its interval where there are several."""
    if not records:
        return ""
    mean, low, high = mean_with_interval([float(row["final_mean"]) for row in records])
    return f"{mean:.1f}" if len(records) == 1 else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _row(bar: Bar, records: Records) -> str:
    anchor = f"#{_slug(bar.title)}"
    asked = f"{bar.threshold:g}, {bar.needed} of {len(bar.seeds)}"
    published = ", ".join(f"{each.value:g}" for each in bar.anchors)
    cells = [f"[{bar.title}]({anchor})", f"{bar.budget_steps:,}", str(len(records)), mean_of(records), asked]
    return "| " + " | ".join([*cells, published, verdict(bar, records)]) + " |"


def _slug(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def _section(bar: Bar, records: Records, pictures: str) -> Iterator[str]:
    if records and read_records(bar.curves):
        yield from (f"![learning curves]({pictures}/{bar.name}.svg)", "")
    yield from (f"Evaluation: {bar.evaluation}.", "")
    limit = f", in at most {bar.most_minutes:g} minutes" if bar.most_minutes is not None else ""
    asked = f"{bar.threshold:g} for {bar.needed} of {len(bar.seeds)} seeds{limit}"
    yield from (f"Must reach {asked}: {verdict(bar, records)}.", "")
    if records:
        yield from _table(records)
    yield from (f"- Published: {each.value:g}, {each.source} ({each.protocol})" for each in bar.anchors)
    yield from (f"- {note}" for note in bar.notes)
    yield from ("", "```sh", f".venv/bin/python benchmarks/learning/run.py {bar.name}", "```", "", "trains with", "")
    yield from ("```sh", shlex.join(["rlrun", *bar.arguments, f"seeds={_seeds(bar)}"]), "```", "")
    yield "and evaluates the final policies and the best checkpoints afterwards."


def _seeds(bar: Bar) -> str:
    in_order = list(bar.seeds) == list(range(len(bar.seeds)))
    return str(len(bar.seeds)) if in_order else "[" + ",".join(map(str, bar.seeds)) + "]"


def _table(records: Records) -> Iterator[str]:
    yield "| seed | final policy | episodes | greedy | best checkpoint | minutes | commit |"
    yield "|---|---|---|---|---|---|---|"
    for row in records:
        final = f"{float(row['final_mean']):.1f} ± {float(row['final_std']):.1f}"
        greedy = f"{row['greedy_mean']} ({row['greedy_episodes']})" if row["greedy_mean"] else ""
        best = f"{row['best_mean']} at {int(row['best_step']):,}" if row["best_mean"] else ""
        cells = [row["seed"], final, row["episodes"], greedy, best, f"{_minutes(row):.1f}", row["commit"]]
        yield "| " + " | ".join(cells) + " |"
    machines = sorted({row["machine"] for row in records})
    yield from ("", f"± is the standard deviation over episodes. On {'; '.join(machines)}.", "")


def draw(bar: Bar, target: Path) -> None:
    """Thin lines are seeds, the thick one their mean; dashed: what must be reached; dotted: what was published."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    seeds = {row["seed"] for row in counted(bar, read_records(bar.results))}
    for row in read_records(bar.curves):
        if row["seed"] in seeds:
            curves[row["seed"]].append((int(row["step"]), float(row["episode_return"])))
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for points in curves.values():
        axes.plot(*np.array(points).T, color="C0", alpha=0.4, linewidth=1)
    if len(curves) > 1:
        steps = np.unique([step for points in curves.values() for step, _ in points])
        within = [step for step in steps if all(points[0][0] <= step <= points[-1][0] for points in curves.values())]
        mean = np.mean([np.interp(within, *np.array(points).T) for points in curves.values()], axis=0)
        axes.plot(within, mean, color="C0", linewidth=2.5, label=f"mean of {len(curves)} seeds")
    axes.axhline(bar.threshold, color="black", linestyle="--", linewidth=1, label=f"must reach {bar.threshold:g}")
    for index, anchor in enumerate(bar.anchors):
        label = f"{anchor.value:g}: {anchor.source}"
        axes.axhline(anchor.value, color=f"C{index + 1}", linestyle=":", linewidth=1.5, label=label)
    axes.set_xlabel("agent steps")
    axes.set_ylabel("evaluation return")
    axes.set_title(bar.title, fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small", loc="best")
    target.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": bar.name, "svg.fonttype": "none"}):  # the same bytes every time
        figure.savefig(target, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    bars = load_bars()
    for bar in bars:
        if counted(bar, read_records(bar.results)):
            draw(bar, ROOT / "docs" / "images" / "results" / f"{bar.name}.svg")
    (ROOT / "docs" / "results.md").write_text(page(bars, "images/results"), encoding="utf-8")


if __name__ == "__main__":
    main()
