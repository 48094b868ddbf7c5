import io
import math
import resource
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import (
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
    parse_session_end_info_plugin_data,
    parse_session_start_info_plugin_data,
)

from rlrun.runs.bounded_pictures import bounded_gif, bounded_png
from rlrun.runs.loggers import Hyperparameter, Row
from rlrun.runs.tensorboard import TensorBoard

CHOSEN: dict[str, Hyperparameter] = {"algo": "dqn", "algo.gamma": 0.9, "seed": 3, "algo.double": True}


def begun(directory: Path, *rows: Row) -> TensorBoard:
    logger = TensorBoard(directory, CHOSEN)
    logger.begin(rows)
    return logger


def read(directory: Path) -> EventAccumulator:
    events = EventAccumulator(str(directory))
    events.Reload()
    return events


def test_a_resumed_run_has_no_step_twice(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    logger.write(10, {"x": 1.0, "time/y": 3.0})
    logger.write(20, {"x": 2.0})
    logger.close()
    logger = begun(tmp_path, Row(10, {"x": 1.0}, 1e9), Row(10, {"time/y": 3.0}, 1e9))
    logger.write(15, {"x": 1.5})
    logger.close()
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    events = read(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("x")] == [(10, 1.0), (15, 1.5)]
    assert [(event.step, event.value, event.wall_time) for event in events.Scalars("time/y")] == [(10, 3.0, 1e9)]


def test_a_run_is_one_row_of_the_hparams_table(tmp_path: Path) -> None:
    directory = tmp_path / "cartpole/dqn/abc/seed3"
    directory.mkdir(parents=True)
    for finishes in (False, True):
        logger = begun(directory)
        if finishes:
            logger.finish()
        logger.close()
        found = read(directory).PluginTagToContent("hparams")
        start = parse_session_start_info_plugin_data(found[SESSION_START_INFO_TAG])
        assert start.group_name == "cartpole/dqn/abc/seed3 in " + str(tmp_path)  # equal groups would share a row
        values = {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in start.hparams.items()}
        assert values == CHOSEN
        assert (SESSION_END_INFO_TAG in found) == finishes
    assert parse_session_end_info_plugin_data(found[SESSION_END_INFO_TAG]).status == 1  # STATUS_SUCCESS


def test_videos_are_shown_as_they_are_if_they_are_small(tmp_path: Path) -> None:
    path = gif(tmp_path / "a.gif", 3)
    logger = begun(tmp_path)
    logger.video(5, "values", path)
    logger.close()
    (event,) = read(tmp_path).Images("values")
    assert event.encoded_image_string == path.read_bytes()
    assert (event.step, event.width, event.height) == (5, 40, 20)


def gif(path: Path, frames: int) -> Path:
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(256, size=(20, 40, 3), dtype=np.uint8)) for _ in range(frames)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, loop=0)
    return path


def test_large_videos_lose_pixels_and_frames_but_not_their_duration(tmp_path: Path) -> None:
    path = gif(tmp_path / "a.gif", 30)
    most = path.stat().st_size // 3
    data, width, height = bounded_gif(path, most)
    assert len(data) <= most
    with Image.open(io.BytesIO(data)) as small:
        assert small.size == (width, height)
        assert 20 <= width < 40
        assert width == 2 * height
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(small)]
    assert 10 < len(durations) < 30
    assert sum(durations) == 3000


def test_a_video_that_cannot_be_small_enough_is_one_pixel(tmp_path: Path) -> None:
    assert bounded_gif(gif(tmp_path / "a.gif", 4), 1)[1:] == (1, 1)


def test_large_pictures_lose_pixels() -> None:
    image = np.random.default_rng(0).integers(256, size=(40, 100, 3), dtype=np.uint8)
    data, width, height = bounded_png(image, 50)
    assert (width, height) == (50, 20)
    with Image.open(io.BytesIO(data)) as small:
        assert small.size == (50, 20)


def test_scalars_are_read_back(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    logger.write(10, {"eval/episode_return": 1.5})
    logger.write(20, {"eval/episode_return": 2.5})
    logger.close()
    events = read(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("eval/episode_return")] == [(10, 1.5), (20, 2.5)]


def test_the_file_has_every_row_before_it_is_closed(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    logger.write(10, {"x": 1.0, "y": float("nan")})
    events = read(tmp_path)
    assert [event.value for event in events.Scalars("x")] == [1.0]
    assert math.isnan(events.Scalars("y")[0].value)
    logger.close()


def test_tensorboard_on_a_full_disk_is_an_error_of_the_thread_that_wrote(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    events = next(tmp_path.glob("events.out.tfevents.*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (events.stat().st_size + 10, resource.RLIM_INFINITY))
    try:
        with pytest.raises(OSError, match="File too large"):
            logger.write(10, {"x": 1.0})
        with pytest.raises(OSError, match="File too large"):
            logger.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(20, 30, 3), dtype=np.uint8)


def test_pictures_come_back_from_tensorboard_pixel_for_pixel(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    logger.image(10, "tables", picture(1))
    logger.image(20, "tables", picture(2))
    logger.image(20, "other", picture(3))
    logger.close()
    events = read(tmp_path)
    assert sorted(events.Tags()["images"]) == ["other", "tables"]
    found = events.Images("tables")
    assert [(event.step, event.width, event.height) for event in found] == [(10, 30, 20), (20, 30, 20)]
    for event, seed in zip([*found, *events.Images("other")], (1, 2, 3), strict=True):
        with Image.open(io.BytesIO(event.encoded_image_string)) as image:
            np.testing.assert_array_equal(np.asarray(image), picture(seed))
