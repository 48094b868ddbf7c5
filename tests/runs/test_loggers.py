import errno
import io
import math
import resource
from collections.abc import Mapping
from pathlib import Path
from time import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlrun.errors import UserError
from rlrun.runs.loggers import JsonLines, Logger, MultiLogger, NullLogger, TensorBoard, read_rows


def test_metrics_and_timings_go_into_files_of_their_own(tmp_path: Path) -> None:
    logger = JsonLines(tmp_path, None)
    logger.begin(0)
    logger.write(10, {"train/episode_return": 2.5, "time/steps_per_second": 99.0})
    logger.write(20, {"loss/td": 0.25})
    logger.close()
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"step": 10, "train/episode_return": 2.5},
        {"step": 20, "loss/td": 0.25},
    ]
    (row,) = read_rows(tmp_path / "timings.jsonl")
    assert abs(row.pop("unix_time") - time()) < 60
    assert row == {"step": 10, "time/steps_per_second": 99.0}


def test_resuming_drops_the_rows_that_will_be_written_again(tmp_path: Path) -> None:
    logger = JsonLines(tmp_path, None)
    logger.begin(0)
    logger.write(10, {"x": 5.0, "time/y": 1.0})
    logger.write(20, {"x": 10.0, "time/y": 1.0})
    written = logger.written()
    logger.write(20, {"x": 11.0, "time/y": 1.0})  # of the same step, but after the checkpoint
    logger.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "x"')  # a crash in the middle of a row
    written.check(tmp_path)
    logger = JsonLines(tmp_path, written)
    logger.begin(0)
    logger.write(30, {"x": 1.0})
    again = logger.written()
    logger.close()
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"step": 10, "x": 5.0},
        {"step": 20, "x": 10.0},
        {"step": 30, "x": 1.0},
    ]
    assert [row["step"] for row in read_rows(tmp_path / "timings.jsonl")] == [10, 20]
    again.check(tmp_path)


def test_numbers_that_were_lost_or_changed_are_found_out(tmp_path: Path) -> None:
    logger = JsonLines(tmp_path, None)
    logger.begin(0)
    logger.write(10, {"x": 5.0})
    written = logger.written()
    logger.close()
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    for spoiled in (whole[:-1], whole.replace(b"5", b"6"), b""):
        path.write_bytes(spoiled)
        with pytest.raises(UserError, match=str(path)):
            written.check(tmp_path)
    path.write_bytes(whole + b"more")
    written.check(tmp_path)


def test_tensorboard_starts_over_from_the_rows_of_a_resumed_run(tmp_path: Path) -> None:
    numbers = JsonLines(tmp_path, None)
    logger = MultiLogger([numbers, TensorBoard(tmp_path)])
    logger.begin(0)
    logger.write(10, {"x": 1.0, "time/y": 3.0})
    written = numbers.written()
    logger.write(20, {"x": 2.0})
    logger.close()
    logger = MultiLogger([JsonLines(tmp_path, written), TensorBoard(tmp_path)])
    logger.begin(0)
    logger.write(15, {"x": 1.5})
    logger.close()
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("x")] == [(10, 1.0), (15, 1.5)]
    assert [(event.step, event.value) for event in events.Scalars("time/y")] == [(10, 3.0)]


def test_starting_afresh_keeps_no_rows(tmp_path: Path) -> None:
    for _ in range(2):
        logger = JsonLines(tmp_path, None)
        logger.begin(0)
        logger.write(1, {"x": 1.0})
        logger.close()
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 1


def test_tensorboard_reads_back_what_was_written(tmp_path: Path) -> None:
    logger = MultiLogger([JsonLines(tmp_path, None), TensorBoard(tmp_path)])
    logger.begin(0)
    logger.write(10, {"eval/episode_return": 1.5})
    logger.write(20, {"eval/episode_return": 2.5})
    logger.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("eval/episode_return")] == [(10, 1.5), (20, 2.5)]
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 2


def test_tensorboard_has_every_row_before_the_writer_is_closed(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path)
    logger.begin(0)
    logger.write(10, {"x": 1.0, "y": float("nan")})
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.value for event in events.Scalars("x")] == [1.0]
    assert math.isnan(events.Scalars("y")[0].value)
    logger.close()


def too_large(error: OSError) -> bool:
    return error.errno == errno.EFBIG


def test_tensorboard_on_a_full_disk_is_an_error_of_the_thread_that_wrote(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path)
    logger.begin(0)
    events = next(tmp_path.glob("events.out.tfevents.*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (events.stat().st_size + 10, resource.RLIM_INFINITY))
    try:
        with pytest.raises(OSError, check=too_large):
            logger.write(10, {"x": 1.0})
        with pytest.raises(OSError, check=too_large):
            logger.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(20, 30, 3), dtype=np.uint8)


def test_pictures_come_back_from_tensorboard_pixel_for_pixel(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path)
    logger.begin(0)
    logger.image(10, "tables", picture(1))
    logger.image(20, "tables", picture(2))
    logger.image(20, "other", picture(3))
    logger.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["images"]) == ["other", "tables"]
    found = events.Images("tables")
    assert [(event.step, event.width, event.height) for event in found] == [(10, 30, 20), (20, 30, 20)]
    for event, seed in zip([*found, *events.Images("other")], (1, 2, 3), strict=True):
        with Image.open(io.BytesIO(event.encoded_image_string)) as image:
            np.testing.assert_array_equal(np.asarray(image), picture(seed))


def test_files_of_numbers_keep_no_pictures(tmp_path: Path) -> None:
    loggers: list[Logger] = [JsonLines(tmp_path, None), NullLogger(tmp_path)]
    for logger in loggers:
        logger.begin(0)
        logger.image(10, "tables", picture(1))
        logger.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "timings.jsonl"]
    assert read_rows(tmp_path / "metrics.jsonl") == []
    assert read_rows(tmp_path / "timings.jsonl") == []


class Noted:
    """Remembers what it was handed."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def begin(self, step: int) -> None:
        self.calls.append(("begun", step))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.calls.append((step, dict(values)))

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        self.calls.append((step, name, image.shape))

    def close(self) -> None:
        self.calls.append("closed")


def test_several_loggers_are_all_handed_everything() -> None:
    noted = [Noted(), Noted()]
    multi = MultiLogger([*noted])
    multi.begin(0)
    multi.write(1, {"x": 2.0})
    multi.image(3, "tables", picture(1))
    multi.close()
    assert [each.calls for each in noted] == [[("begun", 0), (1, {"x": 2.0}), (3, "tables", (20, 30, 3)), "closed"]] * 2
