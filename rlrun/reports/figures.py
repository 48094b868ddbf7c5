"""Pictures of a report: learning curves, scores with every seed, performance profiles, probabilities of improvement.

Lines and large dots are interquartile means (IQM) over runs, shaded areas and bars their 95% intervals, thin lines and
small dots single seeds.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rlrun.pictures.sheet import new_figure
from rlrun.reports.groups import Group
from rlrun.reports.layout import Picture
from rlrun.reports.summaries import Axis, Band, Estimate, Improvement, learning_curve
from rlrun.types import Float64Array

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")  # Okabe and Ito 2008
_Dashes = Literal["-", "--", ":", "-."]
_DASHES: tuple[_Dashes, ...] = ("-", "--", ":", "-.")  # from the eighth group on colours repeat, with other lines
_LABEL_CHARACTERS, _LEGEND_CHARACTERS = 44, 76  # of a line of a label beside a picture, and beneath it
_DPI = 150
_TARGET, _TARGET_DASHES = "#777777", (0, (4, 3))


class Look(NamedTuple):
    """How a group is drawn, everywhere."""

    colour: str
    dashes: _Dashes


class Along(NamedTuple):
    """An axis of learning curves."""

    name: str
    values: Axis
    unit: str = ""  # of pictures, where it is not that of `values`
    per_unit: float = 1.0  # how many of `values` it is


class Dots(NamedTuple):
    """Scores of a group: every run, and their IQM."""

    runs: Float64Array  # [n]
    estimate: Estimate


def looks_of(labels: Sequence[str]) -> dict[str, Look]:
    """A look for each label."""
    return {
        label: Look(_COLOURS[number % len(_COLOURS)], _DASHES[number // len(_COLOURS) % len(_DASHES)])
        for number, label in enumerate(labels)
    }


def curves_figure(
    groups: Sequence[Group], axes_of: Sequence[Along], looks: Mapping[str, Look], target: float | None
) -> Figure:
    """Learning curves, a panel for each axis; unfinished runs are dotted."""
    legend = _legend_height(groups, target)
    figure = new_figure((3.7 * max(len(axes_of), 2), 3.0 + legend))
    panels = figure.subplots(1, len(axes_of), sharey=True, squeeze=False)[0]
    for axes, along in zip(panels, axes_of, strict=True):
        for group in groups:
            _draw_curves(axes, group, along, looks[group.label])
        if target is not None:
            axes.axhline(target, color=_TARGET, linewidth=0.8, linestyle=_TARGET_DASHES, zorder=0)
        axes.set_xlabel(f"{along.name} ({along.unit})" if along.unit else along.name, fontsize=9)
        _plain(axes)
    panels[0].set_ylabel("return of an evaluation", fontsize=9)
    _add_legend(figure, groups, looks, target, legend)
    return figure


def _draw_curves(axes: Axes, group: Group, along: Along, look: Look) -> None:
    for run in [*group.runs, *group.unfinished]:
        x, y = along.values(run.curve) / along.per_unit, run.curve.returns
        style = look.dashes if run.finished else ":"
        alpha = 0.35 if run.finished else 0.9
        axes.plot(x, y, color=look.colour, alpha=alpha, linewidth=0.8, linestyle=style, marker="." * (len(x) == 1))
    band = learning_curve(group.runs, along.values)
    if band is not None:
        _draw_band(axes, band._replace(x=band.x / along.per_unit), look)


def scores_figure(columns: Mapping[str, Mapping[str, Dots]], looks: Mapping[str, Look], target: float | None) -> Figure:
    """Scores of groups, a panel for each kind of score: `columns[kind][label]`."""
    labels = list(looks)
    wrapped = [_wrapped(label) for label in labels]
    lines = sum(text.count("\n") + 1 for text in wrapped)
    figure = new_figure((3.0 * len(columns) + 2.4, 0.9 + 0.2 * lines + 0.22 * len(labels)))
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    rng = np.random.default_rng(0)
    for axes, (kind, groups) in zip(panels, columns.items(), strict=True):
        for place, label in enumerate(labels):
            if label not in groups:
                continue
            colour, (runs, estimate) = looks[label].colour, groups[label]
            heights = place + (rng.uniform(-0.18, 0.18, len(runs)) if len(runs) > 1 else np.zeros(1))
            axes.plot(runs, heights, ".", color=colour, alpha=0.5, markersize=5)
            axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=2)
            axes.plot(estimate.value, place, "o", color=colour, markersize=6, markeredgecolor="white")
        if target is not None:
            axes.axvline(target, color=_TARGET, linewidth=0.8, linestyle=_TARGET_DASHES, zorder=0)
        axes.set_title(kind, fontsize=9)
        axes.set_yticks(range(len(labels)), wrapped, fontsize=8)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        _plain(axes)
    figure.set_layout_engine("constrained")
    return figure


def profiles_figure(bands: Mapping[str, Band], looks: Mapping[str, Look], unit: str) -> Figure:
    """Performance profiles: the fraction of runs with a higher score than x."""
    legend = _legend_height(bands)
    figure = new_figure((6.4, 3.0 + legend))
    axes = figure.subplots()
    for label, band in bands.items():
        _draw_band(axes, band, looks[label])
    axes.set_xlabel(f"score τ ({unit})", fontsize=9)
    axes.set_ylabel("fraction of runs with score > τ", fontsize=9)
    axes.set_ylim(-0.03, 1.03)
    _plain(axes)
    _add_legend(figure, list(bands), looks, None, legend)
    return figure


def improvement_figure(found: Sequence[Improvement]) -> Figure:
    """The probability of improvement of every pair, with its interval; at 1/2 neither is better."""
    wrapped = [f"{_wrapped(pair.better)}\nover {_wrapped(pair.worse)}" for pair in found]
    lines = sum(text.count("\n") + 1 for text in wrapped)
    figure = new_figure((6.4, 0.8 + 0.18 * lines + 0.14 * len(found)))
    axes = figure.subplots()
    for place, pair in enumerate(found):
        estimate = pair.probability
        axes.plot([estimate.low, estimate.high], [place, place], color=_COLOURS[0], linewidth=2)
        axes.plot(estimate.value, place, "o", color=_COLOURS[0], markersize=6, markeredgecolor="white")
    axes.axvline(0.5, color=_TARGET, linewidth=0.8, linestyle=_TARGET_DASHES, zorder=0)
    axes.set_xlim(-0.02, 1.02)
    axes.set_yticks(range(len(found)), wrapped, fontsize=8)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlabel("probability of improvement", fontsize=9)
    _plain(axes)
    figure.set_layout_engine("constrained")
    return figure


def as_picture(figure: Figure, name: str, caption: str) -> Picture:
    """The figure as PNG and SVG; the same bytes every time."""
    files = {}
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        file = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
            figure.savefig(file, format=kind, dpi=_DPI, metadata=metadata, facecolor="white")
        files[kind] = file.getvalue()
    return Picture(name, caption, files["png"], files["svg"])


def _draw_band(axes: Axes, band: Band, look: Look) -> None:
    axes.plot(band.x, band.y, color=look.colour, linewidth=2, linestyle=look.dashes)
    axes.fill_between(band.x, band.low, band.high, color=look.colour, alpha=0.18, linewidth=0)


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))


def _wrapped(label: str, characters: int = _LABEL_CHARACTERS) -> str:
    return "\n".join(textwrap.wrap(label, characters, break_on_hyphens=False)) or label


def _name_with_count(group: Group | str) -> tuple[str, str]:
    if isinstance(group, str):
        return group, _wrapped(group, _LEGEND_CHARACTERS)
    counts = f"{len(group.runs)} seed{'s' * (len(group.runs) != 1)}"
    if group.unfinished:
        counts += f"; {len(group.unfinished)} unfinished, dotted"
    return group.label, _wrapped(f"{group.label} ({counts})", _LEGEND_CHARACTERS)


def _legend_height(groups: Sequence[Group] | Mapping[str, Band], target: float | None = None) -> float:
    lines = [_name_with_count(group)[1].count("\n") + 1 for group in groups]
    return 0.15 + sum(0.07 + 0.135 * count for count in [*lines, *[1] * (target is not None)])


def _add_legend(
    figure: Figure,
    groups: Sequence[Group] | Sequence[str],
    looks: Mapping[str, Look],
    target: float | None,
    height: float,
) -> None:
    """The legend beneath the panels: labels may be long."""
    handles = []
    for label, text in map(_name_with_count, groups):
        colour, dashes = looks[label]
        handles.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=2, label=text))
    if target is not None:
        text = f"target {target:g}"
        handles.append(Line2D([], [], color=_TARGET, linestyle=_TARGET_DASHES, linewidth=0.8, label=text))
    share = height / figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0, share, 1, 1 - share))
    figure.legend(handles=handles, loc="lower left", frameon=False, fontsize=8, bbox_to_anchor=(0.02, 0.0))
