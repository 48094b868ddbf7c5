import csv
from pathlib import Path

from rlrun.runs.csv_file import CsvFile
from rlrun.runs.loggers import Row


def text(directory: Path) -> str:
    return (directory / "metrics.csv").read_text()


def begun(directory: Path, *rows: Row) -> CsvFile:
    logger = CsvFile(directory)
    logger.begin(rows)
    return logger


def test_a_line_for_each_step_and_a_column_for_each_metric(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    assert text(tmp_path) == "step\n"
    logger.write(10, {"x": 1.5, "y": 2.0})
    assert text(tmp_path) == "step,x,y\n10,1.5,2.0\n"
    logger.write(20, {"y": 3.0})
    assert text(tmp_path) == "step,x,y\n10,1.5,2.0\n20,,3.0\n"
    logger.write(20, {"x": 2.5})  # an evaluation at the same step
    assert text(tmp_path) == "step,x,y\n10,1.5,2.0\n20,2.5,3.0\n"
    logger.write(20, {"z": 0.1})  # a new metric
    assert text(tmp_path) == "step,x,y,z\n10,1.5,2.0,\n20,2.5,3.0,0.1\n"
    logger.write(20, {"x": 7.0})
    logger.write(30, {"x": float("nan"), "new,name": 1})
    logger.close()
    assert text(tmp_path) == 'step,x,y,z,"new,name"\n10,1.5,2.0,,\n20,7.0,3.0,0.1,\n30,nan,,,1\n'


def test_numbers_come_back_exactly(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    logger.write(1, {"x": 0.1 + 0.2, "y": 1e-300})
    logger.close()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert (float(line["x"]), float(line["y"])) == (0.1 + 0.2, 1e-300)


def test_a_resumed_run_writes_the_file_anew(tmp_path: Path) -> None:
    logger = begun(tmp_path)
    for step in (10, 20, 30):
        logger.write(step, {"x": 1.0})
    logger.close()
    logger = begun(tmp_path, Row(10, {"x": 1.0}, None), Row(10, {"time/y": 2.0}, 1e9), Row(20, {"x": 1.0}, None))
    logger.write(20, {"x": 4.0})  # a row may follow another of its step
    logger.write(25, {"x": 5.0})
    logger.close()
    assert text(tmp_path) == "step,x,time/y\n10,1.0,2.0\n20,4.0,\n25,5.0,\n"
