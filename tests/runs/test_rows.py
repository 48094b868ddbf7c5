import json
from pathlib import Path

import pytest

from rlrun.errors import UserError
from rlrun.runs.rows import RowComparison, RowDifference, compare_rows, newest_rows, newest_values


@pytest.mark.parametrize("block", [1, 2, 7, 16, 1000])
@pytest.mark.parametrize("end", ["", "\n", '\n{"step": 9'])
def test_rows_come_newest_first_whatever_is_read_at_once(tmp_path: Path, block: int, end: str) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"step": number, "x": "y" * (5 * number)} for number in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    whole = rows if end else rows[:-1]
    assert list(newest_rows(path, block_bytes=block)) == whole[::-1]


@pytest.mark.parametrize("text", ["", '{"step": 1', "\n"])
def test_without_a_whole_row_there_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    assert list(newest_rows(path)) == []
    path.write_text(text)
    assert list(newest_rows(path)) == []


def test_the_newest_value_is_that_of_the_newest_row_that_has_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1, "a": 5}\n{"step": 2, "a": 6}\n{"step": 3, "b": 7}\n{"step": 4, "a"')
    assert newest_values(path, "a") == (6,)
    assert newest_values(path, "b") == (7,)
    assert newest_values(path, "c") == (None,)


def test_values_beside_it_are_those_of_the_same_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1, "a": 5, "b": 1}\n{"step": 2, "a": 6, "c": 7}\n{"step": 3, "c": 8}\n')
    assert newest_values(path, "a", "b", "c") == (6, None, 7)
    assert newest_values(path, "d", "a") == (None, None)
    path.write_text('{"step": 1, "a": 5, "b": "much"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl.* b "):
        newest_values(path, "a", "b")


def test_only_so_far_back_is_looked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"step": {number}}}\n' for number in range(1000)))
    steps = [row["step"] for row in newest_rows(path, most_bytes=30)]
    assert steps == [999, 998]


ROWS = ['{"step": 10, "a": 1.0, "b": 2.0}', '{"step": 20, "a": 1.5}', '{"step": 30, "b": 0.5}']


def write(path: Path, rows: list[str], cut: str = "") -> Path:
    path.write_text("".join(f"{row}\n" for row in rows) + cut)
    return path


def test_equal_rows_are_equal(tmp_path: Path) -> None:
    left, right = write(tmp_path / "a", ROWS), write(tmp_path / "b", ROWS, '{"st')
    assert compare_rows(left, right) == RowComparison(3, None, None, 30)
    assert compare_rows(left, left, before_step=30) == RowComparison(2, None, None, 20)
    assert compare_rows(tmp_path / "no", tmp_path / "none") == RowComparison(0, None, None, 0)


@pytest.mark.parametrize(
    ("row", "key", "left", "right"),
    [
        ('{"step": 20, "a": 1.25}', "a", 1.5, 1.25),
        ('{"step": 21, "a": 1.5}', "step", 20, 21),
        ('{"step": 20}', "a", 1.5, None),
        ('{"step": 20, "a": 1.5, "c": 3}', "c", None, 3),
        ('{"a": 1.5, "step": 20}', "the order of the values", None, None),
    ],
)
def test_the_first_value_that_differs_is_named(tmp_path: Path, row: str, key: str, left: float, right: float) -> None:
    compared = compare_rows(write(tmp_path / "a", ROWS), write(tmp_path / "b", [ROWS[0], row, "{}"]))
    assert compared == RowComparison(1, RowDifference(2, 20, key, left, right), None, 10)


def test_a_difference_in_words() -> None:
    assert str(RowDifference(2, 2000, "a", None, 1.5)) == "step 2,000, a: null and 1.5 (row 2)"


def test_the_longer_one_is_named(tmp_path: Path) -> None:
    left, right = write(tmp_path / "a", ROWS), write(tmp_path / "b", ROWS[:2])
    assert compare_rows(left, right) == RowComparison(2, None, "left", 20)
    assert compare_rows(right, left) == RowComparison(2, None, "right", 20)
