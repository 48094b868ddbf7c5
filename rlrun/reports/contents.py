"""What a report says, from its title to its last table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from rlrun.envs.atari import FRAME_SKIP
from rlrun.reports.cells import count, duration, number, with_interval
from rlrun.reports.comparable import ACTIONS, Difference, code_of, protocol_of
from rlrun.reports.figures import (
    Along,
    Dots,
    Look,
    as_picture,
    curves_figure,
    improvement_figure,
    profiles_figure,
    scores_figure,
)
from rlrun.reports.groups import Group, Task
from rlrun.reports.layout import Heading, Paragraph, Part, Table
from rlrun.reports.scores import Curve, ReportedRun
from rlrun.reports.statistics import iqm
from rlrun.reports.summaries import (
    SAMPLES,
    Improvement,
    Summary,
    estimate,
    improvements,
    median_of_reached,
    profiles,
    summarise,
    to_target,
)
from rlrun.types import Float64Array

ENOUGH_SEEDS = 5
_METHOD = (
    "A score is the mean raw return of an evaluation; how it is evaluated stands with each task. IQM: interquartile "
    "mean, the mean of the middle half of the seeds. In brackets: 95% intervals, stratified percentile bootstrap over "
    f"seeds with {SAMPLES:,} samples (Agarwal et al. 2021). They speak of other seeds of the same experiment; with few "
    "seeds they are too narrow. In pictures lines and large dots are IQMs, thin lines and small dots single seeds."
)
_UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
_AXES = ("agent steps", "environment steps", "wall time")


def opening(tasks: Sequence[Task], notes: Sequence[str], mixed: Difference | None) -> Iterator[Part]:
    """Title, method, and everything that a reader must know before the numbers."""
    yield Heading(title_of(tasks), 1)
    yield Paragraph(_METHOD)
    yield from (Paragraph(text, warning=True) for text in warnings(tasks, mixed))
    yield from (Paragraph(f"{note}.") for note in notes)


def title_of(tasks: Sequence[Task]) -> str:
    """The title of a report."""
    count_of_runs = sum(len(group.runs) + len(group.unfinished) for task in tasks for group in task.groups)
    return f"{count_of_runs} run{'s' * (count_of_runs != 1)}: {', '.join(task.name for task in tasks)}"


def warnings(tasks: Sequence[Task], mixed: Difference | None) -> list[str]:
    """What makes the numbers less than they look."""
    found = []
    few = [f"{group.label} on {task.name} ({len(group.runs)})" for task in tasks for group in task.groups]
    enough = [len(group.runs) >= ENOUGH_SEEDS for task in tasks for group in task.groups]
    few = [name for name, is_enough in zip(few, enough, strict=True) if not is_enough]
    if few:
        found.append(f"Fewer than {ENOUGH_SEEDS} seeds, too few for conclusions: {', '.join(few)}.")
    if mixed is not None:
        found.append(f"The runs were made by different code, which --mixed-code allowed ({mixed}).")
    return found


def task_parts(task: Task, target: float | None, looks: Mapping[str, Look]) -> Iterator[Part]:
    """Everything about one task."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", task.name).strip("-.")
    looks = {group.label: looks[group.label] for group in task.groups}
    yield Heading(task.name)
    yield Paragraph(_protocol(task))
    along = _axes(task)
    caption = f"{task.name}: learning curves over {', '.join(axis.name for axis in along)}"
    yield as_picture(curves_figure(task.groups, along, looks, target), f"{stem}-curves", caption)
    groups = [group for group in task.groups if group.runs]
    finals = _finals(groups)
    if finals:
        yield Heading("Final policy", 3)
        yield final_table({label: summarise(scores, target) for label, scores in finals.items()}, finals, target)
        if any(run.scores.greedy is not None for group in groups for run in group.runs):
            yield _greedy_table(groups)
        figure = scores_figure(_dots(groups), looks, target)
        yield as_picture(figure, f"{stem}-scores", f"{task.name}: scores of every seed, with IQM and interval")
        yield Heading("Along the way", 3)
        yield _along_the_way(groups, along, target)
    if len(finals) > 1:
        yield from comparison(finals, looks, stem, task.name, "mean raw return")
    yield Heading("Every run", 3)
    yield _every_run(task)


def comparison(
    scores: Mapping[str, Float64Array], looks: Mapping[str, Look], stem: str, name: str, unit: str
) -> Iterator[Part]:
    """Performance profiles and probabilities of improvement of final policies, scores [runs, tasks] by label."""
    pairs = improvements(scores)
    yield Heading("Comparison of final policies", 3)
    yield improvement_table(pairs)
    yield as_picture(improvement_figure(pairs), f"{stem}-improvement", f"{name}: probability of improvement")
    yield as_picture(
        profiles_figure(profiles(scores), looks, unit), f"{stem}-profiles", f"{name}: performance profiles"
    )


def final_table(summaries: Mapping[str, Summary], scores: Mapping[str, Float64Array], target: float | None) -> Table:
    """Statistics of final policies."""
    head = ["", "seeds", "IQM", "median", "mean"] + ([f"optimality gap to {target:g}"] if target is not None else [])
    rows = []
    for label, summary in summaries.items():
        statistics = [summary.iqm, summary.median, summary.mean] + ([summary.gap] if summary.gap is not None else [])
        rows.append([label, str(len(scores[label])), *map(with_interval, statistics)])
    return Table(head, rows)


def improvement_table(pairs: Sequence[Improvement]) -> Table:
    """The probability of improvement of every pair."""
    rows = [[f"{pair.better} over {pair.worse}", with_interval(pair.probability)] for pair in pairs]
    below = "The probability that a run of one has a higher score than a run of the other; a tie counts half."
    return Table(["", "probability of improvement"], rows, below)


def _finals(groups: Sequence[Group]) -> dict[str, Float64Array]:
    return {group.label: _column(group, lambda run: run.scores.final) for group in groups}


def _column(group: Group, score: Callable[[ReportedRun], float | None]) -> Float64Array:
    """[runs, 1]; NaN where there is none."""
    values = [score(run) for run in group.runs]
    return np.array([[np.nan if value is None else value] for value in values])


def _greedy_table(groups: Sequence[Group]) -> Table:
    columns = {group.label: _column(group, lambda run: run.scores.greedy) for group in groups}
    known = {label: values for label, values in columns.items() if not np.isnan(values).any()}
    rows = [[label, str(len(values)), with_interval(estimate(iqm, values))] for label, values in known.items()]
    return Table(["", "seeds", "IQM of greedy episodes"], rows, "The same policies, with greedy actions only.")


def _dots(groups: Sequence[Group]) -> dict[str, dict[str, Dots]]:
    kinds: dict[str, Callable[[ReportedRun], float]] = {
        "final policy": lambda run: run.scores.final,
        "best checkpoint": lambda run: run.scores.best,
        "area under the curve": lambda run: run.scores.area,
    }
    found: dict[str, dict[str, Dots]] = {}
    for kind, score in kinds.items():
        columns = {group.label: _column(group, score) for group in groups}
        known = {label: values for label, values in columns.items() if not np.isnan(values).any()}
        if known:
            found[kind] = {label: Dots(values[:, 0], estimate(iqm, values)) for label, values in known.items()}
    return found


def _along_the_way(groups: Sequence[Group], along: Sequence[Along], target: float | None) -> Table:
    head = ["", "best checkpoint, IQM", "area under the curve, IQM"]
    below = (
        "Best checkpoint: the highest evaluation during training, which chance favours; not comparable with the final "
        "policy. Area under the curve: mean of the evaluations over agent steps, from the first to the last."
    )
    if target is not None:
        head += [f"runs that reached {target:g}", *(f"{axis.name} to {target:g}" for axis in along)]
        below += " Steps to the target: the median over seeds of the first evaluation that reached it."
    rows = []
    for group in groups:
        best, area = (_column(group, score) for score in (lambda run: run.scores.best, lambda run: run.scores.area))
        row = [group.label, with_interval(estimate(iqm, best)), with_interval(estimate(iqm, area))]
        if target is not None:
            reached = np.isfinite(to_target(group.runs, along[0].values, target)).sum()
            row.append(f"{reached} of {len(group.runs)}")
            for axis in along:
                text = duration if axis.name == _AXES[2] else count
                row.append(with_interval(median_of_reached(to_target(group.runs, axis.values, target)), text))
        rows.append(row)
    return Table(head, rows, below)


def _axes(task: Task) -> list[Along]:
    """Agent steps; environment steps if there are any; wall time where it is known."""
    frames = FRAME_SKIP if "game" in task.env else 1
    runs = [run for group in task.groups for run in [*group.runs, *group.unfinished]]
    found = [Along(_AXES[0], lambda curve: curve.steps)]
    if any(run.curve.env_steps.any() for run in runs):
        name = "environment frames" if frames > 1 else _AXES[1]
        found.append(Along(name, lambda curve: frames * curve.env_steps))
    if not all(np.isnan(run.curve.seconds).any() for run in runs):
        longest = max(float(np.nanmax(run.curve.seconds, initial=0.0)) for run in runs)
        unit, per_unit = next((unit, size) for unit, size in _UNITS if longest >= 2 * size or size == 1.0)
        found.append(Along(_AXES[2], lambda curve: curve.seconds, unit, per_unit))
    return found


def _protocol(task: Task) -> str:
    runs = [run for group in task.groups for run in [*group.runs, *group.unfinished]]
    facts = [f"{name}={value}" for name, value in protocol_of(runs[0]).items() if name != ACTIONS]
    actions = dict.fromkeys(f"{run.label.get('algo', '-')}: {protocol_of(run)[ACTIONS]}" for run in runs)
    return f"Evaluation: {', '.join(facts)}; {ACTIONS}, {', '.join(actions)}. Wall time includes evaluation and saving."


def _every_run(task: Task) -> Table:
    runs = [run for group in task.groups for run in [*group.runs, *group.unfinished]]
    discounts = any(run.scores.discounted is not None for run in runs)
    head = ["run", "group", "seed", "agent steps", "final", *["discounted"] * discounts]
    head += ["best", "area", "wall time", "code"]
    below = "discounted: the final policy's mean return with its agent's gamma." if discounts else ""
    rows = []
    for group in task.groups:
        for run in [*group.runs, *group.unfinished]:
            scores, curve = run.scores, run.curve
            steps = count(float(curve.steps[-1]))
            final = number(scores.final) if run.finished else f"unfinished: {number(scores.final)}"
            row = [str(run.directory), group.label, str(run.seed), steps, final]
            if discounts:
                row.append("" if scores.discounted is None else number(scores.discounted))
            rows.append([*row, number(scores.best), number(scores.area), duration(_last(curve)), code_of(run)])
    return Table(head, rows, below, left=2)


def _last(curve: Curve) -> float:
    return float(curve.seconds[-1])
