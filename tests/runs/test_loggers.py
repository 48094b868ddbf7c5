import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time

import numpy as np
import pytest
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.runs.loggers import JsonLines, MultiLogger, Row, kept_id, read_rows, require


def test_metrics_and_timings_go_into_files_of_their_own(tmp_path: Path) -> None:
    logger = JsonLines(tmp_path, None)
    logger.begin()
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
    logger.begin()
    logger.write(10, {"x": 5.0, "time/y": 1.0})
    logger.write(20, {"x": 10.0, "time/y": 1.0})
    written = logger.written()
    logger.write(20, {"x": 11.0, "time/y": 1.0})  # of the same step, but after the checkpoint
    logger.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "x"')  # a crash in the middle of a row
    written.check(tmp_path)
    logger = JsonLines(tmp_path, written)
    logger.begin()
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
    logger.begin()
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


def test_starting_afresh_keeps_no_rows(tmp_path: Path) -> None:
    for _ in range(2):
        logger = JsonLines(tmp_path, None)
        logger.begin()
        logger.write(1, {"x": 1.0})
        logger.close()
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 1


class Noted:
    """Remembers what it was handed, and fails at a step."""

    def __init__(self, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.calls: list[object] = []
        self._fails_at, self._error = fails_at, error or OSError("no server\nat this address")

    def begin(self, rows: Sequence[Row]) -> None:
        self.calls.append(list(rows))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if step == self._fails_at:
            raise self._error
        self.calls.append((step, dict(values)))

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        self.calls.append((step, name, image.shape))

    def video(self, step: int, name: str, path: Path) -> None:
        self.calls.append((step, name, path))

    def finish(self) -> None:
        self.calls.append("finished")

    def close(self) -> None:
        self.calls.append("closed")


IMAGE = np.zeros((20, 30, 3), np.uint8)


def test_several_loggers_are_all_handed_everything(tmp_path: Path) -> None:
    noted = {"a": Noted(), "b": Noted()}
    multi = MultiLogger(noted, tmp_path)
    multi.begin([Row(1, {"x": 1.0}, None)])
    multi.write(2, {"x": 2.0})
    multi.image(3, "tables", IMAGE)
    multi.video(3, "values", tmp_path)
    multi.finish()
    multi.close()
    rest = [(2, {"x": 2.0}), (3, "tables", (20, 30, 3)), (3, "values", tmp_path), "finished", "closed"]
    for each in noted.values():
        assert each.calls == [[Row(1, {"x": 1.0}, None)], *rest]


def test_a_logger_that_fails_is_switched_off_and_the_others_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noted = {"bad": Noted(fails_at=2), "good": Noted()}
    multi = MultiLogger(noted, tmp_path)
    multi.begin([])
    for step in (1, 2, 3):
        multi.write(step, {})
    multi.finish()
    multi.close()
    assert noted["bad"].calls == [[], (1, {}), "closed"]
    assert noted["good"].calls == [[], (1, {}), (2, {}), (3, {}), "finished", "closed"]
    at_once, at_the_end = caplog.messages
    assert "logger=bad failed at step 2" in at_once
    assert "no server;" in at_once
    assert "logger=bad lacks rows from about step 2 on" in at_the_end


def test_a_full_disk_stops_the_run(tmp_path: Path) -> None:
    noted = {"a": Noted(fails_at=1, error=OSError(errno.ENOSPC, "No space left on device"))}
    multi = MultiLogger(noted, tmp_path)
    with pytest.raises(UserError, match="No space left on device"):
        multi.write(1, {})


def test_a_logger_that_cannot_begin_is_one_line(tmp_path: Path) -> None:
    class Broken(Noted):
        def begin(self, rows: Sequence[Row]) -> None:
            raise ConnectionError("refused\nTraceback ...")

    with pytest.raises(UserError, match=r"^logger=mlflow cannot begin: refused$"):
        MultiLogger({"mlflow": Broken()}, tmp_path).begin([])


def test_rows_are_read_back_by_step_with_the_time_of_day(tmp_path: Path) -> None:
    numbers = JsonLines(tmp_path, None)
    numbers.begin()
    assert numbers.rows() == []
    numbers.write(10, {"x": 1.0, "time/y": 3.0})
    numbers.write(20, {"x": 2.0})
    numbers.close()
    first, timed, last = numbers.rows()
    assert (first.step, first.values, timed.values, last) == (
        10,
        {"x": 1.0},
        {"time/y": 3.0},
        Row(20, {"x": 2.0}, None),
    )
    assert first.unix_time == timed.unix_time
    assert abs((first.unix_time or 0.0) - time()) < 60


def test_a_run_keeps_its_id(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made = kept_id(tmp_path)
    assert kept_id(tmp_path) == made == (tmp_path / "run_id").read_text().strip()
    assert kept_id(tmp_path / "other") != made


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(UserError, match=r"pip install 'rlrun\[wandb\]'"):
        require("no_such_package", "wandb")
