import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlrun.loggers import JsonLines, Logger, Several, Silent, TensorBoard, read_rows


def test_metrics_and_timings_go_into_files_of_their_own(tmp_path: Path) -> None:
    logger = JsonLines(tmp_path, resume_step=0)
    logger.write(10, {"train/episode_return": 2.5, "time/steps_per_second": 99.0})
    logger.write(20, {"loss/td": 0.25})
    logger.close()
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"step": 10, "train/episode_return": 2.5},
        {"step": 20, "loss/td": 0.25},
    ]
    assert read_rows(tmp_path / "timings.jsonl") == [{"step": 10, "time/steps_per_second": 99.0}]


def test_resuming_drops_the_rows_that_will_be_written_again(tmp_path: Path) -> None:
    logger = JsonLines(tmp_path, resume_step=0)
    for step in (10, 20, 30):
        logger.write(step, {"x": step / 2})
    logger.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "x"')  # a crash in the middle of a row
    logger = JsonLines(tmp_path, resume_step=20)
    logger.write(30, {"x": 1.0})
    logger.close()
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"step": 10, "x": 5.0},
        {"step": 20, "x": 10.0},
        {"step": 30, "x": 1.0},
    ]


def test_starting_afresh_keeps_no_rows(tmp_path: Path) -> None:
    for _ in range(2):
        logger = JsonLines(tmp_path, resume_step=0)
        logger.write(1, {"x": 1.0})
        logger.close()
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 1


def test_tensorboard_reads_back_what_was_written(tmp_path: Path) -> None:
    logger = Several([JsonLines(tmp_path, 0), TensorBoard(tmp_path, 0)])
    logger.write(10, {"eval/episode_return": 1.5})
    logger.write(20, {"eval/episode_return": 2.5})
    logger.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("eval/episode_return")] == [(10, 1.5), (20, 2.5)]
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 2


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(20, 30, 3), dtype=np.uint8)


def test_pictures_come_back_from_tensorboard_pixel_for_pixel(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path, 0)
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
    loggers: list[Logger] = [JsonLines(tmp_path, 0), Silent(tmp_path, 0)]
    for logger in loggers:
        logger.image(10, "tables", picture(1))
        logger.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "timings.jsonl"]
    assert read_rows(tmp_path / "metrics.jsonl") == []
    assert read_rows(tmp_path / "timings.jsonl") == []


class Noted:
    """Remembers what it was handed."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.calls.append((step, dict(values)))

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        self.calls.append((step, name, image.shape))

    def close(self) -> None:
        self.calls.append("closed")


def test_several_loggers_are_all_handed_everything() -> None:
    noted = [Noted(), Noted()]
    several = Several([*noted])
    several.write(1, {"x": 2.0})
    several.image(3, "tables", picture(1))
    several.close()
    assert [each.calls for each in noted] == [[(1, {"x": 2.0}), (3, "tables", (20, 30, 3)), "closed"]] * 2
