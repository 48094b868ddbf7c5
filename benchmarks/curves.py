"""Learning curves of finished runs: collects `eval/episode_return` into a CSV and draws it.

    for seed in 0 1 2; do scripts/rlrun algo=dqn env=cartpole seed=$seed evaluation.every_steps=5000; done
    .venv/bin/python benchmarks/curves.py runs/cartpole cartpole

writes `benchmarks/results/curves_cartpole.csv` and `docs/images/cartpole.png`. Thin lines are seeds, thick ones means.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from rlrun.loggers import read_rows

HERE = Path(__file__).resolve().parent


def collect(folder: Path, target: Path) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["algo", "seed", "step", "eval_episode_return", "command", "commit"])
        for metrics in sorted(folder.glob("*/*/seed*/metrics.jsonl")):
            algo, seed = metrics.parents[2].name, metrics.parent.name.removeprefix("seed")
            command = f"rlrun algo={algo} env={folder.name} seed={seed} evaluation.every_steps=5000"
            for row in read_rows(metrics):
                if "eval/episode_return" in row:
                    writer.writerow([algo, seed, int(row["step"]), row["eval/episode_return"], command, commit])


def draw(source: Path, target: Path, title: str) -> None:
    curves: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    with source.open() as file:
        for row in csv.DictReader(file):
            curves[row["algo"]][row["seed"]].append((int(row["step"]), float(row["eval_episode_return"])))
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for index, (algo, seeds) in enumerate(sorted(curves.items())):
        colour = f"C{index}"
        for points in seeds.values():
            axes.plot(*np.array(points).T, color=colour, alpha=0.3, linewidth=1)
        longest = min(len(points) for points in seeds.values())
        mean = np.mean([np.array(points[:longest]) for points in seeds.values()], axis=0)
        axes.plot(mean[:, 0], mean[:, 1], color=colour, linewidth=2.5, label=f"{algo} ({len(seeds)} seeds)")
    axes.set_xlabel("agent steps")
    axes.set_ylabel("evaluation return")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=150)


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    data = HERE / "results" / f"curves_{name}.csv"
    collect(folder, data)
    draw(data, HERE.parent / "docs" / "images" / f"{name}.png", f"env={name}: mean return of 20 evaluation episodes")


if __name__ == "__main__":
    main()
