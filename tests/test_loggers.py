from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlrun.loggers import JsonLines, Several, TensorBoard, read_rows


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
