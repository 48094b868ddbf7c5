"""Learning curves of finished runs: collects `eval/episode_return` into a CSV and draws it.

    for seed in 0 1 2; do scripts/rlrun algo=dqn env=cartpole seed=$seed evaluation.every_steps=5000; done
    .venv/bin/python benchmarks/curves.py runs/cartpole cartpole

writes `benchmarks/results/curves_cartpole.csv` and `docs/images/cartpole.png` (`--data-only`: the CSV alone). Thin
lines are seeds, thick ones means, by environment steps where all runs have counted them. Command, commit and machine
are those of each run's manifest.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from rlrun.runs.loggers import read_rows

HERE = Path(__file__).resolve().parent
RETURN = "eval/episode_return"
PROVENANCE = ("command", "commit", "machine")


def columns_of(metric: str) -> tuple[str, ...]:
    return ("algo", "seed", "step", "env_steps", metric.replace("/", "_"), *PROVENANCE)


def collect(folder: Path, target: Path, metric: str = RETURN) -> None:
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns_of(metric))
        for metrics in sorted(folder.glob("*/*/seed*/metrics.jsonl")):
            if "-" in metrics.parent.name:  # seed0-2, seed0-rerun: other attempts at the same
                continue
            manifest = json.loads((metrics.parent / "manifest.json").read_text())
            about = (command_of(manifest), commit_of(manifest), machine_of(manifest))
            for row in read_rows(metrics):
                if metric in row:
                    algo, seed = metrics.parents[2].name, manifest["seed"]
                    writer.writerow([algo, seed, int(row["step"]), row.get("env_steps", ""), row[metric], *about])


def command_of(manifest: Mapping[str, Any]) -> str:
    """What was typed, less where the run was kept."""
    return " ".join(["rlrun", *(word for word in manifest["argv"][1:] if not word.startswith("runs_dir="))])


def commit_of(manifest: Mapping[str, Any]) -> str:
    """In short, with a + where files differed from it."""
    commit = str(manifest["git_commit"])
    return commit[:7] + "+" * commit.endswith("+")


def machine_of(manifest: Mapping[str, Any]) -> str:
    machine = manifest["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['device']}, {machine['num_threads']} thread(s)"


def axis_of(rows: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """The column by which curves are compared, and what to call it.

    It is that of all interactions with the environment, where every row knows it: some agents let slots play that
    they do not learn from, which agent steps leave out.
    """
    if all(row.get("env_steps") for row in rows):
        return "env_steps", "environment steps"
    return "step", "agent steps (not all runs counted environment steps)"


def draw(source: Path, target: Path, title: str) -> None:
    with source.open() as file:
        rows = list(csv.DictReader(file))
    column, label = axis_of(rows)
    curves: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        curves[row["algo"]][row["seed"]].append((int(row[column]), float(row["eval_episode_return"])))
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for index, (algo, seeds) in enumerate(sorted(curves.items())):
        colour = f"C{index}"
        for points in seeds.values():
            axes.plot(*np.array(points).T, color=colour, alpha=0.3, linewidth=1)
        shortest = min(len(points) for points in seeds.values())
        mean = np.mean([np.array(points[:shortest]) for points in seeds.values()], axis=0)
        axes.plot(mean[:, 0], mean[:, 1], color=colour, linewidth=2.5, label=f"{algo} ({count_of(seeds)})")
    axes.set_xlabel(label)
    axes.set_ylabel("evaluation return")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=150)


def count_of(seeds: Mapping[str, object]) -> str:
    return f"seed {next(iter(seeds))}" if len(seeds) == 1 else f"{len(seeds)} seeds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of runs in one environment")
    parser.add_argument("name", help="of the CSV and the picture")
    parser.add_argument("--data-only", action="store_true", help="no picture")
    parser.add_argument("--metric", default=RETURN, help="another one, with --data-only")
    arguments = parser.parse_args()
    if arguments.metric != RETURN and not arguments.data_only:
        parser.error("--metric needs --data-only: pictures are of returns")
    data = HERE / "results" / f"curves_{arguments.name}.csv"
    collect(arguments.folder, data, arguments.metric)
    if not arguments.data_only:
        target = HERE.parent / "docs" / "images" / f"{arguments.name}.png"
        draw(data, target, f"env={arguments.name}: mean return of an evaluation")


if __name__ == "__main__":
    main()
