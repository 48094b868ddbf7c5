import json
from pathlib import Path

import pytest

from rlrun.errors import UserError
from rlrun.runs import row_tail
from rlrun.runs.row_tail import newest_rows, newest_value, newest_values


@pytest.mark.parametrize("block", [1, 2, 7, 16, 1000])
@pytest.mark.parametrize("end", ["", "\n", '\n{"step": 9'])
def test_rows_come_newest_first_whatever_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, end: str
) -> None:
    monkeypatch.setattr(row_tail, "_BLOCK", block)
    path = tmp_path / "rows.jsonl"
    rows = [{"step": number, "x": "y" * (5 * number)} for number in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    whole = rows if end else rows[:-1]
    assert list(newest_rows(path)) == whole[::-1]


@pytest.mark.parametrize("text", ["", '{"step": 1', "\n"])
def test_without_a_whole_row_there_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    assert list(newest_rows(path)) == []
    path.write_text(text)
    assert list(newest_rows(path)) == []


def test_the_newest_value_is_that_of_the_newest_row_that_has_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1, "a": 5}\n{"step": 2, "a": 6}\n{"step": 3, "b": 7}\n{"step": 4, "a"')
    assert newest_value(path, "a") == 6
    assert newest_value(path, "b") == 7
    assert newest_value(path, "c") is None


def test_values_beside_it_are_those_of_the_same_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1, "a": 5, "b": 1}\n{"step": 2, "a": 6, "c": 7}\n{"step": 3, "c": 8}\n')
    assert newest_values(path, "a", "b", "c") == (6, None, 7)
    assert newest_values(path, "d", "a") == (None, None)
    path.write_text('{"step": 1, "a": 5, "b": "much"}\n')
    with pytest.raises(UserError, match="b is no number in it"):
        newest_values(path, "a", "b")


def test_only_so_far_back_is_looked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"step": {number}}}\n' for number in range(1000)))
    steps = [row["step"] for row in newest_rows(path, most_bytes=30)]
    assert steps == [999, 998]
