import subprocess
import sys
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_tables_file import lecture, tables_of

from rlrun.envs.tabular import random_walk_model
from rlrun.pictures.figures import common_limits, figure_of, random_values
from rlrun.pictures.glyphs import Glyphs
from rlrun.pictures.numbers import written
from rlrun.pictures.sheet import pixels
from rlrun.pictures.tables_file import Shown
from rlrun.types import GridLayout, TabularModel


def test_the_random_policy_is_worth_what_the_book_says() -> None:
    expected = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]  # figure 4.1
    values = random_values(lecture(), 1.0)
    assert values is not None
    np.testing.assert_allclose(values, expected, atol=1e-4)
    walk = random_values(random_walk_model(19, -1.0, 1.0), 1.0)
    assert walk is not None
    np.testing.assert_allclose(walk[1:-1], np.linspace(-0.9, 0.9, 19), atol=1e-4)


def test_the_random_policy_is_left_out_where_it_has_no_value_in_a_moment() -> None:
    assert random_values(random_walk_model(10_001, 0.0, 1.0), 1.0) is None
    one = np.array([0])
    endless = TabularModel(
        1, 1, one, one, one, np.ones(1), np.ones(1), np.ones(1), np.ones(1), np.ones((1, 1), bool)
    )  # fmt: skip
    assert random_values(endless, 1.0) is None
    half = random_values(endless, 0.5)
    assert half is not None
    np.testing.assert_allclose(half, [2.0], atol=1e-5)


def test_what_would_be_one_shade_beside_the_random_policy_has_colours_of_its_own() -> None:
    chance, close, far = np.array([-1000.0, -500.0]), np.array([-900.0, -800.0]), np.array([-12.0, -1.0])
    assert common_limits(chance, close) == (-1000.0, -500.0)
    assert common_limits(chance, far) is None
    assert common_limits(chance, np.array([0.0, 0.0])) == (-1000.0, 0.0)  # no shades to lose
    assert common_limits(chance, np.array([np.nan, np.inf])) == (-1000.0, -500.0)


def panels(figure: Figure | None) -> dict[str, Axes]:
    assert figure is not None
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def corner(axes: Axes) -> tuple[float, float]:
    """Left and top, as shares of the figure from its upper left corner."""
    box = axes.get_position()
    return box.x0, 1.0 - box.y1


def texts(axes: Axes) -> list[str]:
    return [text for each in axes.collections if isinstance(each, Glyphs) for text in each.texts if text != "T"]


def grid(height: int, width: int) -> Shown:
    size = height * width
    index, number = np.zeros(0, np.int64), np.zeros(0)
    layout = GridLayout(np.zeros((height, width), bool), np.zeros((height, width), bool))
    legal = np.ones((size, 4), bool)
    model = TabularModel(
        size, 4, index, index, index, number, number, number, np.full(size, 1 / size), legal, layout=layout
    )
    return Shown(tables_of(model), model)


def test_a_grids_picture_is_the_random_policy_the_values_and_q() -> None:
    model = lecture()
    tables = tables_of(model)
    figure = figure_of(Shown(tables, model), "mine")
    found = panels(figure)
    assert list(found) == ["random policy: V", "mine: V", "mine: Q"]
    chance = random_values(model, 0.9)
    assert chance is not None
    assert texts(found["random policy: V"]) == [written(value, 2) for value in chance]
    assert texts(found["mine: V"]) == [written(value, 2) for value in tables.values]
    assert sorted(texts(found["mine: Q"])) == sorted(written(value, 2) for value in tables.q[model.legal])
    both = np.concatenate([chance[1:-1], tables.values[1:-1]])
    ends = [f"{both.min():.2f}", f"{both.max():.2f}"]  # what is compared has the same colours
    for name in ("random policy: V", "mine: V"):
        (bar,) = found[name].child_axes
        assert [label.get_text() for label in bar.get_xticklabels()] == ends
    assert figure is not None
    assert max(pixels(figure).shape) <= 1000


def test_square_grids_have_q_beside_their_values_and_wide_ones_beneath() -> None:
    square = {name: corner(axes) for name, axes in panels(figure_of(grid(4, 4), "mine")).items()}
    wide = {name: corner(axes) for name, axes in panels(figure_of(grid(2, 8), "mine")).items()}
    assert square["mine: Q"][0] > square["mine: V"][0]
    assert wide["mine: Q"][1] > wide["mine: V"][1]
    for places in (square, wide):
        assert all(0.0 < part < 1.0 for place in places.values() for part in place)


def test_pictures_do_not_overlap() -> None:
    for shown in (grid(4, 4), grid(1, 1), grid(2, 8), grid(8, 2), grid(20, 20), Shown(tables_of(lecture()), lecture())):
        figure = figure_of(shown, "mine")
        assert figure is not None
        pixels(figure)
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        assert all(
            box is not None and figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max) for box in boxes
        )
        for at, one in enumerate(boxes):
            for other in boxes[at + 1 :]:
                assert one is not None
                assert other is not None
                assert not one.overlaps(other)


def test_without_q_or_with_other_moves_there_are_no_triangles() -> None:
    shown = Shown(tables_of(lecture()), lecture())
    unknown = replace(shown.tables, q=np.full_like(shown.tables.q, np.nan))
    assert list(panels(figure_of(replace(shown, tables=unknown), "mine"))) == ["random policy: V", "mine: V"]
    layout = shown.model.layout
    assert layout is not None
    diagonal = replace(layout, moves=((-1, -1), (0, 1), (1, 0), (0, -1)))
    other = Shown(shown.tables, replace(shown.model, layout=diagonal))
    assert list(panels(figure_of(other, "mine"))) == ["random policy: V", "mine: V"]
    assert "mine: Q" in panels(figure_of(grid(20, 20), "mine"))
    assert "mine: Q" not in panels(figure_of(grid(20, 21), "mine"))  # too small to read


def test_a_few_states_that_are_no_cells_are_a_table_and_many_have_no_picture() -> None:
    few, many = random_walk_model(5, 0.0, 1.0), random_walk_model(60, 0.0, 1.0)
    assert list(panels(figure_of(Shown(tables_of(few), few), "walk"))) == ["walk"]
    assert figure_of(Shown(tables_of(many), many), "walk") is None


def test_matplotlib_is_loaded_when_a_picture_is_drawn_and_never_pyplot() -> None:
    program = """
import sys
import rlrun.build, rlrun.__main__, rlrun.pictures.as_text, rlrun.pictures.tables_file, rlrun.pictures.episode_video
assert "matplotlib" not in sys.modules
import rlrun.pictures.figures, rlrun.pictures.planning_video
assert "matplotlib.figure" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
