from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from rlrun.pictures.gif import write_gif
from rlrun.pictures.grid import grid_place
from rlrun.pictures.sheet import new_figure, pixels
from rlrun.pictures.value_map import ValueMap
from rlrun.types import GridLayout

LAYOUT = GridLayout(np.zeros((2, 2), bool), np.zeros((2, 2), bool))


def frame(value: float) -> NDArray[np.uint8]:
    """Four values, as planning films show them."""
    place = grid_place(LAYOUT, 0.64)
    figure = new_figure(place.paper)
    values = np.array([value, 1.0, -2.0, 3.0])
    ValueMap(figure, LAYOUT, place, f"sweep {value:g}", values, (-5.0, 5.0)).show(values, np.zeros((4, 4)))
    return pixels(figure)


def test_a_film_has_its_frames_durations_and_loop(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    frames = [frame(value) for value in (0.0, 1.0, 2.0, 4.0)]
    write_gif(path, frames, 0.25)
    with Image.open(path) as film:
        assert isinstance(film, GifImageFile)
        assert film.n_frames == 4
        assert film.info["loop"] == 0
        durations = []
        for number, picture in enumerate(frames):
            film.seek(number)
            durations.append(film.info["duration"])
            seen = np.asarray(film.convert("RGB")).astype(int)
            assert seen.shape == picture.shape
            error = np.abs(seen - picture).max(axis=-1)
            assert (error == 0).mean() > 0.9  # paper, cells and lines
            assert error.max() < 32  # the edges of letters
    assert durations == [250, 250, 250, 2000]
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.gif"]


def test_equal_neighbours_become_one_longer_frame(tmp_path: Path) -> None:
    write_gif(tmp_path / "film.gif", [frame(1.0), frame(1.0), frame(2.0)], 0.5)
    with Image.open(tmp_path / "film.gif") as film:
        assert isinstance(film, GifImageFile)
        assert film.n_frames == 2
        assert film.info["duration"] == 1000


def test_a_single_frame_is_a_film(tmp_path: Path) -> None:
    write_gif(tmp_path / "film.gif", [frame(1.0)], 0.5)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.size == frame(1.0).shape[1::-1]


def test_what_is_no_film_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="size"):
        write_gif(path, [frame(1.0), frame(1.0)[1:]], 0.5)
    with pytest.raises(ValueError, match="size"):
        write_gif(path, [], 0.5)
    with pytest.raises(ValueError, match=r"0\.02"):
        write_gif(path, [frame(1.0)], float("nan"))
    assert path.read_bytes() == b"old"
