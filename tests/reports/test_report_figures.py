"""What pictures show: values, not pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_runs import made_run
from matplotlib.axes import Axes
from numpy.testing import assert_allclose

from rlrun.reports.figures import Along, Dots, as_picture, curves_figure, looks_of, profiles_figure, scores_figure
from rlrun.reports.groups import Group, tasks_of
from rlrun.reports.layout import Paragraph, Table, page
from rlrun.reports.selection import select_runs
from rlrun.reports.summaries import Band, Estimate

STEPS = Along("agent steps", lambda curve: curve.steps)
MINUTES = Along("wall time", lambda curve: curve.seconds, "minutes", 60.0)


def groups_in(folder: Path) -> list[Group]:
    (task,) = tasks_of(select_runs([folder], unfinished=True).runs)
    return list(task.groups)


def lines(axes: Axes, width: float) -> list[tuple[list[float], list[float]]]:
    return [
        (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist())
        for line in axes.get_lines()
        if line.get_linewidth() == width
    ]


def test_curves_show_every_seed_and_their_iqm(tmp_path: Path) -> None:
    for seed, curve in enumerate(([0, 2], [4, 8])):
        made_run(tmp_path, curve, seed=seed, every_steps=6000)
    made_run(tmp_path, [1], seed=5, every_steps=6000, finished=False)
    groups = groups_in(tmp_path)
    figure = curves_figure(groups, [STEPS, MINUTES], looks_of(["dqn"]), None)
    steps, minutes = figure.axes
    assert lines(steps, 0.8) == [([6000, 12000], [0, 2]), ([6000, 12000], [4, 8]), ([6000], [1])]
    assert lines(steps, 2.0) == [([6000, 12000], [2, 5])]
    assert_allclose(lines(minutes, 2.0)[0][0], [1, 2], atol=1e-6)
    assert minutes.get_xlabel() == "wall time (minutes)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dqn (2 seeds; 1 unfinished, dotted)"]


def test_final_policy_and_best_checkpoint_have_panels_of_their_own() -> None:
    def dots(value: float) -> dict[str, Dots]:
        return {"dqn": Dots(np.array([value, value + 2]), Estimate(value + 1, value, value + 2))}

    figure = scores_figure({"final policy": dots(1.0), "best checkpoint": dots(5.0)}, looks_of(["dqn"]), 3.0)
    assert [axes.get_title() for axes in figure.axes] == ["final policy", "best checkpoint"]
    for axes, value in zip(figure.axes, (1.0, 5.0), strict=True):
        seeds, interval, middle, target = (np.asarray(line.get_xdata(), float) for line in axes.get_lines())
        assert_allclose(seeds, [value, value + 2])
        assert_allclose(interval, [value, value + 2])
        assert_allclose(middle, [value + 1])
        assert_allclose(target, [3, 3])


def test_more_groups_than_colours_have_other_lines() -> None:
    looks = looks_of([str(number) for number in range(28)])
    assert len(set(looks.values())) == 28


def test_long_labels_fit_in_the_picture() -> None:
    label = "dqn " + " ".join(f"algo.a_rather_long_key_{number}=0.00025" for number in range(6))
    x = np.array([0.0, 1.0])
    figure = profiles_figure({label: Band(x, x, x, x)}, looks_of([label]), "score")
    picture = as_picture(figure, "name", "caption")
    assert picture.png[:4] == b"\x89PNG"
    assert picture.svg.startswith(b"<?xml")
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    panel = figure.axes[0].get_tightbbox()
    assert panel is not None
    assert box.y1 <= panel.y0


def test_text_is_escaped() -> None:
    table = Table(["a<b", "n"], [["x|y & z", "1.00 [0.50, 2.00]"]], "note")
    assert "a&lt;b" in table.as_html()
    assert "<td>1.00<small>[0.50, 2.00]</small></td>" in table.as_html()
    assert "x\\|y & z" in table.as_markdown()
    assert "<title>a &lt; b</title>" in page("a < b", [Paragraph("<script>", warning=True)])
    assert "<script>" not in page("a", [Paragraph("<script>", warning=True)])
