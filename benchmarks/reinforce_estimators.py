"""REINFORCE's estimators and baselines against exact gradients, on a mountain trail that can be enumerated.

    .venv/bin/python benchmarks/reinforce_estimators.py [--batches 5000]

plays batches of 16 whole episodes with the real collector, lets the real agent compute its gradient from each under
every estimator, baseline and gamma, and compares mean and variance with sums over all 603 episodes that can happen.
Writes `benchmarks/results/reinforce_estimators.csv` and `docs/images/reinforce_estimators.png` and prints the table of
docs/algorithms/reinforce.md. With `--from-csv` it draws and prints what the CSV says and measures nothing.
"""

from __future__ import annotations

import argparse
import csv
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from cartpole_speed import provenance
from exact_policy_gradient import (
    Enumeration,
    batch_mean_gradient,
    enumerate_episodes,
    exact_gradient,
    gradient_by_theorem,
)
from reinforce_on_trail import (
    BASELINES,
    ESTIMATORS,
    HORIZON,
    LOGITS,
    TRAIL,
    BaselineName,
    as_parameters,
    frozen_reinforce,
    sample_rollouts,
)
from torch import Tensor

from rlrun.agents.reinforce import Estimator, estimate
from rlrun.types import Rollout

HERE = Path(__file__).resolve().parent
DATA = HERE / "results" / "reinforce_estimators.csv"
PICTURE = HERE.parent / "docs" / "images" / "reinforce_estimators.png"
EPISODES_PER_BATCH = 16  # as in conf/algo/reinforce.yaml
GAMMAS = (1.0, 0.9, 0.7, 0.5)
SHOWN = (1.0, 0.5)  # in the table
WARM_UP = 200  # batches from which baselines learn before anything is counted

GREY = "#555555"
BASELINE_COLOURS = {"none": "#9aa5b1", "moving_average": "#5b8db8", "batch_mean": "#e0a43a", "value": "#2a9d74"}
COLOURS = {"whole_return": "#7b5ea7", "reward_to_go": "#1d3557", "discounted_reward_to_go": "#d1495b"}
TITLE: dict[str, Any] = {"loc": "left", "weight": "bold"}

Row = dict[str, Any]


def expectation(
    episodes: Enumeration, estimator: Estimator, baseline: BaselineName, gamma: float, num_episodes: int
) -> Tensor:
    """What the gradient of a batch is on average, [A * S + A], for all baselines but one without the agent's code.

    Of the baselines, the mean of the batch alone depends on the actions it is compared with.
    """
    if baseline == "batch_mean":
        weight = weights(episodes, estimator, gamma)
        return as_parameters(batch_mean_gradient(episodes, LOGITS, weight, num_episodes))
    discount_states = estimator != "discounted_reward_to_go"
    return as_parameters(gradient_by_theorem(TRAIL, LOGITS, gamma, HORIZON, discount_states=discount_states))


def variance_without_baseline(episodes: Enumeration, estimator: Estimator, gamma: float, num_episodes: int) -> float:
    """Trace of the covariance of one batch's gradient, by the same sum; its episodes are independent."""
    gradients = as_parameters(episodes.gradients(LOGITS, weights(episodes, estimator, gamma)))
    probability = episodes.probability(LOGITS)
    spread = (gradients - probability @ gradients).square().sum(dim=1)
    return float(probability @ spread) / num_episodes


def weights(episodes: Enumeration, estimator: Estimator, gamma: float) -> Tensor:
    """[T, M], by the agent's own function."""
    discount = 1.0 - episodes.last.to(episodes.reward.dtype)
    return estimate(episodes.reward, discount, episodes.last, episodes.mask, gamma, estimator)


def cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()))


def relative_distance(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def measure(
    episodes: Enumeration, rollouts: list[Rollout], estimator: Estimator, baseline: BaselineName, gamma: float
) -> Row:
    """One row: the same batches for all."""
    gradients = frozen_reinforce(estimator, baseline, gamma, EPISODES_PER_BATCH).gradients(rollouts)[WARM_UP:]
    mean, variance = gradients.mean(dim=0), float(gradients.var(dim=0).sum())
    exact = as_parameters(exact_gradient(TRAIL, LOGITS, gamma, HORIZON))
    own = expectation(episodes, estimator, baseline, gamma, EPISODES_PER_BATCH)
    known = variance_without_baseline(episodes, estimator, gamma, EPISODES_PER_BATCH) if baseline == "none" else None
    return {
        "estimator": estimator,
        "baseline": baseline,
        "gamma": gamma,
        "batches": len(gradients),
        "episodes_per_batch": EPISODES_PER_BATCH,
        "cosine": round(cosine(mean, exact), 5),
        "cosine_exact": round(cosine(own, exact), 5),
        "relative_bias": round(relative_distance(mean, exact), 4),
        "relative_bias_exact": round(relative_distance(own, exact), 4),
        "relative_distance_to_own_expectation": round(float((mean - own).norm() / exact.norm()), 4),
        "relative_standard_error": round((variance / len(gradients)) ** 0.5 / float(exact.norm()), 4),
        "variance": round(variance, 3),
        "variance_exact": "" if known is None else round(known, 3),
    }


def write(rows: list[Row]) -> None:
    with DATA.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read() -> list[Row]:
    """The CSV's rows, with numbers as numbers."""
    text_columns = {"estimator", "baseline", "command", "commit", "cpu"}
    with DATA.open(encoding="utf-8") as file:
        return [
            {key: value if key in text_columns or value == "" else float(value) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def find(rows: list[Row], estimator: str, baseline: str, gamma: float) -> Row:
    (row,) = (row for row in rows if (row["estimator"], row["baseline"], row["gamma"]) == (estimator, baseline, gamma))
    return row


def markdown(rows: list[Row]) -> str:
    """The table of the documentation."""
    columns = [f"{what}, γ = {gamma:g}" for gamma in SHOWN for what in ("cosine", "bias (exact)", "variance")]
    lines = ["| estimator | baseline | " + " | ".join(columns) + " |", "|---|---|" + "---:|" * len(columns)]
    for estimator in ESTIMATORS:
        for baseline in BASELINES:
            cells = [f"`{estimator}`", f"`{baseline}`"]
            for gamma in SHOWN:
                row = find(rows, estimator, baseline, gamma)
                cells.append(f"{row['cosine']:.4f}")
                cells.append(f"{row['relative_bias']:.1%} ({row['relative_bias_exact']:.1%})")
                cells.append(f"{row['variance']:.2f}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows: list[Row], episodes: Enumeration) -> None:
    """Variances above; below, what is biased and by how much."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False})
    figure, panels = plt.subplot_mosaic(
        [["variance"] * 3, ["cosine", "size", "batch"]],
        figsize=(9.8, 7.0),
        layout="constrained",
        gridspec_kw={"hspace": 0.06, "wspace": 0.04},
    )
    draw_variances(panels["variance"], rows)
    draw_biases(panels["cosine"], panels["size"], rows, episodes)
    draw_batch_mean(panels["batch"], rows, episodes)
    for axes in panels.values():
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def draw_variances(axes: Any, rows: list[Row]) -> None:
    for place, estimator in enumerate(ESTIMATORS):
        for index, baseline in enumerate(BASELINES):
            row = find(rows, estimator, baseline, 1.0)
            left = place + (index - 1.5) * 0.2
            name = baseline if place == 0 else None
            axes.bar(left, row["variance"], 0.18, color=BASELINE_COLOURS[baseline], label=name)
            axes.text(left, row["variance"] + 0.25, f"{row['variance']:.1f}", ha="center", color=GREY, fontsize=8.5)
    axes.set_xticks(range(len(ESTIMATORS)), ESTIMATORS)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("variance of a batch's gradient")
    axes.set_title("Less noise: count only what comes after, and subtract a baseline (γ = 1)", **TITLE)
    axes.legend(frameon=False, title="baseline", alignment="left")
    axes.margins(y=0.08)


def draw_biases(by_cosine: Any, by_size: Any, rows: list[Row], episodes: Enumeration) -> None:
    gammas = torch.linspace(0.3, 1.0, 71).tolist()
    exact = [as_parameters(exact_gradient(TRAIL, LOGITS, gamma, HORIZON)) for gamma in gammas]
    for estimator in ESTIMATORS:
        own = [expectation(episodes, estimator, "none", gamma, EPISODES_PER_BATCH) for gamma in gammas]
        below = estimator == "whole_return"  # the other unbiased one lies upon it
        line = {"color": COLOURS[estimator], "lw": 5 if below else 1.8, "alpha": 0.35 if below else 1.0}
        dots = {"color": COLOURS[estimator], "ms": 8 if below else 4.5, "alpha": 0.5 if below else 1.0}
        found = [find(rows, estimator, "none", gamma) for gamma in GAMMAS]
        by_cosine.plot(gammas, [cosine(*pair) for pair in zip(own, exact, strict=True)], label=estimator, **line)
        by_cosine.plot(GAMMAS, [row["cosine"] for row in found], "o", **dots)
        biases = [relative_distance(*pair) for pair in zip(own, exact, strict=True)]
        by_size.plot(gammas, biases, **line)
        by_size.plot(GAMMAS, [row["relative_bias"] for row in found], "o", **dots)
    by_cosine.set_ylabel("cosine with the exact gradient")
    by_cosine.set_title("Without γᵗ it turns away ...", **TITLE)
    by_cosine.set_ylim(top=1.01)
    by_size.set_ylabel("|bias| / |exact gradient|")
    by_size.set_title("... and grows too long", **TITLE)
    by_cosine.legend(frameon=False, fontsize=8, title="lines exact, dots measured", title_fontsize=8, loc="lower right")
    for axes in (by_cosine, by_size):
        axes.set_xlabel("γ")


def draw_batch_mean(axes: Any, rows: list[Row], episodes: Enumeration) -> None:
    sizes = [2, 4, 8, 16, 32, 64]
    exact = as_parameters(exact_gradient(TRAIL, LOGITS, 1.0, HORIZON))
    for estimator in ESTIMATORS[:2]:  # at gamma 1 the third is the second
        own = [expectation(episodes, estimator, "batch_mean", 1.0, size) for size in sizes]
        axes.loglog(sizes, [relative_distance(each, exact) for each in own], color=COLOURS[estimator], lw=1.8)
        measured = find(rows, estimator, "batch_mean", 1.0)["relative_bias"]
        axes.plot(EPISODES_PER_BATCH, measured, "o", color=COLOURS[estimator], ms=4.5)
    axes.loglog(sizes, [1 / size for size in sizes], color=GREY, ls=":", label="1 / N")
    axes.set_xticks(sizes, map(str, sizes))
    axes.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["2 %", "5 %", "10 %", "20 %", "50 %"])
    axes.minorticks_off()
    axes.set_xlabel("N, episodes in a batch")
    axes.set_ylabel("|bias| / |exact gradient|")
    axes.set_title("The batch mean is biased", **TITLE)
    axes.legend(frameon=False, fontsize=8.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=5000, help="counted, after those in which baselines learn")
    parser.add_argument("--from-csv", action="store_true", help="measure nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    episodes = enumerate_episodes(TRAIL, HORIZON)
    if not options.from_csv:
        rollouts = list(islice(sample_rollouts(0, EPISODES_PER_BATCH), WARM_UP + options.batches))
        rows, source = [], provenance()
        for gamma in GAMMAS:
            for estimator in ESTIMATORS:
                for baseline in BASELINES:
                    row = measure(episodes, rollouts, estimator, baseline, gamma)
                    print(*list(row.values()), flush=True)
                    rows.append(row | source)
        write(rows)
    draw(read(), episodes)
    print(markdown(read()))


if __name__ == "__main__":
    main()
