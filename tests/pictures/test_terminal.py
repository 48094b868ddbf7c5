"""Pictures in half blocks, and the view of `rlrun watch` at several sizes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from rlrun.cli.live_view import LiveView
from rlrun.pictures.action_scores import Q, Scores
from rlrun.pictures.playing import Shot
from rlrun.pictures.terminal import fitted, in_cells


def test_a_cell_shows_two_pixels_one_above_the_other() -> None:
    picture = np.array([[[1, 2, 3], [1, 2, 3]], [[4, 5, 6], [7, 8, 9]]], np.uint8)
    ((first, second),) = in_cells(picture, coloured=True)
    assert (first.text, second.text) == ("▀", "▀")
    for segment, lower in ((first, (4, 5, 6)), (second, (7, 8, 9))):
        assert segment.style is not None
        assert segment.style.color is not None
        assert segment.style.bgcolor is not None
        assert segment.style.color.triplet == (1, 2, 3)
        assert segment.style.bgcolor.triplet == lower


def test_equal_cells_are_one_segment() -> None:
    ((only,),) = in_cells(np.zeros((2, 30, 3), np.uint8), coloured=True)
    assert only.text == "▀" * 30


def test_without_colours_characters_are_light_or_dark() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[:, 1] = 255
    picture[0, 2] = 255
    ((only,),) = in_cells(picture, coloured=False)
    assert only.text[:2] == " @"
    assert only.text[2] not in " @"


@pytest.mark.parametrize(("columns", "rows"), [(46, 23), (200, 60), (3, 40)])
def test_a_picture_keeps_its_proportions(columns: int, rows: int) -> None:
    picture = np.zeros((160, 400, 3), np.uint8)
    height, width = fitted(picture, columns, rows).shape[:2]
    assert width <= columns
    assert height <= 2 * rows
    assert height % 2 == 0
    assert height == pytest.approx(width * 160 / 400, abs=2)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (130, 45), (40, 12), (10, 4)])
def test_a_view_fills_the_terminal_and_no_more(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system="truecolor")
    scores = Scores(Q, np.arange(18.0))
    shot = Shot(np.full((336, 336, 3), 99, np.uint8), 2, 17, -3.0, last=False, action=4, scores=scores)
    view = LiveView(["dqn on pong", "running"], shot, [f"action {i}" for i in range(18)], (0.0, 17.0))
    lines = console.render_lines(view, console.options.update_dimensions(width, height), pad=False)
    assert len(lines) <= height
    texts = ["".join(segment.text for segment in line) for line in lines]
    assert max(map(len, texts)) <= width
    if width >= 80:
        assert any("episode 2, step 17" in text for text in texts)
        assert any("›action 4" in text for text in texts)
    assert texts[-1].startswith("q ends")
