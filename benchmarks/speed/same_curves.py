"""Learning curves of the same overrides and seeds before the fast paths and after; draws DQN's.

    .venv/bin/python benchmarks/speed/same_curves.py

writes `docs/images/same_curves.png` from `curves_NAME_before.csv` and `curves_NAME_after.csv` in `benchmarks/results`,
which `benchmarks/curves.py FOLDER NAME_before --data-only` writes from runs of an older commit, and likewise those
after. Where a fast path rounds otherwise, one last bit makes another episode in the end: then curves can be equal in
the mean of many seeds only.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provenance import RESULTS, ROOT, read_rows

METRICS = {"cartpole": "eval_episode_return", "pong": "eval_episode_return", "pong_values": "value_q_mean"}
TITLES = {"eval_episode_return": "evaluation return", "value_q_mean": "mean Q of a batch"}
SCALES = {"cartpole": (0, 510), "pong": (-22, 22)}  # of all returns that there can be
TARGET = ROOT / "docs" / "images" / "same_curves.png"
Curve = Mapping[int, float]  # a metric, or environment steps, by agent steps


@dataclass(frozen=True, slots=True)
class Pair:
    """The curves of one algorithm in one environment, by seed, before and after; the same seeds and steps."""

    env: str
    algo: str
    metric: str
    before: Mapping[str, Curve]
    after: Mapping[str, Curve]
    commits: tuple[str, str]
    env_steps: tuple[Mapping[str, Curve], Mapping[str, Curve]]  # of both sides, as far as they were counted

    def counted(self) -> bool:
        """Whether every point of both sides knows its environment steps."""
        sides = zip((self.before, self.after), self.env_steps, strict=True)
        return all(curve.keys() <= known.get(seed, {}).keys() for side, known in sides for seed, curve in side.items())

    def equal(self) -> tuple[int, int]:
        """How many evaluations are the same number on both sides, and how many there are."""
        same = [value == self.after[seed][step] for seed, curve in self.before.items() for step, value in curve.items()]
        return sum(same), len(same)

    def means(self) -> tuple[list[float], list[float]]:
        """The mean of every seed's curve, before and after."""
        sides = (self.before, self.after)
        before, after = ([statistics.fmean(side[seed].values()) for seed in self.before] for side in sides)
        return before, after


def pairs(results: Path) -> list[Pair]:
    """What was measured on both sides, as far as both have come.

    Raises:
        ValueError: if the two sides have other overrides, seeds or steps, or one has two runs of a seed.
    """
    found = []
    for name, metric in METRICS.items():
        before, after = (_curves(results / f"curves_{name}_{side}.csv", metric) for side in ("before", "after"))
        for algo in sorted(before.keys() & after.keys()):
            old, new = before[algo].curves, after[algo].curves
            if before[algo].overrides != after[algo].overrides:
                raise ValueError(f"{name}, {algo}: not the same seeds and overrides before and after")
            for seed in old:
                sides = old[seed], new[seed]
                common = min(map(max, sides))
                one, other = ({step: value for step, value in side.items() if step <= common} for side in sides)
                if one.keys() != other.keys():
                    raise ValueError(f"{name}, {algo}, seed {seed}: not the same steps before and after")
                old[seed], new[seed] = one, other
            found.append(
                Pair(
                    name.partition("_")[0],
                    algo,
                    metric,
                    old,
                    new,
                    (before[algo].commit, after[algo].commit),
                    (before[algo].env_steps, after[algo].env_steps),
                )
            )
    return found


@dataclass(frozen=True, slots=True)
class _Side:
    curves: dict[str, dict[int, float]]  # by seed
    overrides: dict[str, str]  # by seed
    commit: str
    env_steps: dict[str, dict[int, int]]  # by seed; empty in files that are older than this count


def _curves(path: Path, metric: str) -> dict[str, _Side]:
    rows = defaultdict(list)
    for row in read_rows(path):
        rows[row["algo"]].append(row)
    return {algo: _side(each, metric) for algo, each in rows.items()}


def _side(rows: Sequence[Mapping[str, str]], metric: str) -> _Side:
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    overrides: dict[str, str] = {}
    env_steps: dict[str, dict[int, int]] = defaultdict(dict)
    for row in rows:
        seed, step = row["seed"], int(row["step"])
        if step in curves[seed] or overrides.setdefault(seed, row["command"]) != row["command"]:
            raise ValueError(f"{row['algo']}, seed {seed}: more than one run")
        curves[seed][step] = float(row[metric])
        if row.get("env_steps"):
            env_steps[seed][step] = int(row["env_steps"])
    return _Side(dict(curves), overrides, ", ".join(sorted({row["commit"] for row in rows})), dict(env_steps))


def cells(pair: Pair) -> list[str]:
    """A row of the table in the docs."""
    before, after = pair.means()
    differences = [new - old for old, new in zip(before, after, strict=True)]
    same, evaluations = pair.equal()
    ends = [max(curve) for curve in pair.before.values()]
    first, last = min(ends), max(ends)
    return [
        f"{pair.algo}, {pair.env}: {TITLES[pair.metric]}",
        str(len(before)),
        f"{first:,}" if first == last else f"{first:,} to {last:,}",
        f"{same} of {evaluations}",
        *(f"{statistics.fmean(each):.4g}" for each in (before, after)),
        _with_error(differences),
        " / ".join(pair.commits),
    ]


def _with_error(values: Sequence[float]) -> str:
    """Mean and standard error."""
    mean = f"{statistics.fmean(values):+.2g}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values) / len(values) ** 0.5:.2g}"


def draw(found: Sequence[Pair], target: Path) -> None:
    """Means of seeds with the band between the quartiles, a panel for each pair."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, panels = plt.subplots(1, len(found), figsize=(4 * len(found), 3.4), layout="constrained", squeeze=False)
    for axes, pair in zip(panels[0], found, strict=True):
        counted = pair.counted()
        sides = (("before", pair.before, "0.35"), ("after", pair.after, "C1"))
        for (side, curves, colour), env_steps in zip(sides, pair.env_steps, strict=True):
            shortest = min(map(len, curves.values()))  # whole episodes end at other steps for each seed
            places = [[env_steps[seed][step] if counted else step for step in curves[seed]] for seed in curves]
            steps = np.mean([each[:shortest] for each in places], axis=0)
            values = np.array([list(curve.values())[:shortest] for curve in curves.values()])
            low, high = np.quantile(values, [0.25, 0.75], axis=0)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(steps, values.mean(axis=0), color=colour, linewidth=2, label=side)
        seeds = f"{len(pair.before)} seed{'s' if len(pair.before) > 1 else ''}"
        axes.set_title(f"{pair.algo}, {pair.env} ({seeds})")
        axes.set_ylabel(TITLES[pair.metric])
        axes.set_xlabel("environment steps" if counted else "agent steps (environment steps were not counted)")
        axes.locator_params(axis="x", nbins=5)
        if pair.metric == "eval_episode_return":
            axes.set_ylim(*SCALES[pair.env])
        axes.grid(alpha=0.3)
    panels[0, 0].legend(frameon=False)
    figure.savefig(target, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    draw([pair for pair in pairs(RESULTS) if pair.algo == "dqn"], TARGET)  # the others are nearly all the same numbers
