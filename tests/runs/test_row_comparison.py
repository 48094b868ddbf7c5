from pathlib import Path

import pytest

from rlrun.runs.row_comparison import RowComparison, RowDifference, compare_rows

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
    assert str(RowDifference(2, 2000, "a", None, 1.5)) == "step 2,000, a: nothing and 1.5 (row 2)"


def test_the_longer_one_is_named(tmp_path: Path) -> None:
    left, right = write(tmp_path / "a", ROWS), write(tmp_path / "b", ROWS[:2])
    assert compare_rows(left, right) == RowComparison(2, None, "left", 20)
    assert compare_rows(right, left) == RowComparison(2, None, "right", 20)
