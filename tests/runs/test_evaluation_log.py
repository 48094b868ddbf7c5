"""`eval.jsonl`: a crash in the middle of a line costs that line and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlrun.errors import UserError
from rlrun.runs.evaluation_log import EVALUATIONS, append_evaluation, read_evaluations

ROWS = [{"protocol": "own", "changed": [], "checkpoint": "final", "step": step} for step in range(3)]


@pytest.mark.parametrize("kept_rows", [0, 1])
@pytest.mark.parametrize("cut_bytes", [1, 10])
def test_an_unfinished_line_is_not_read_and_the_next_one_replaces_it(
    tmp_path: Path, kept_rows: int, cut_bytes: int
) -> None:
    for row in ROWS[: kept_rows + 1]:
        append_evaluation(tmp_path, row)
    path = tmp_path / EVALUATIONS
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    assert read_evaluations(tmp_path) == ROWS[:kept_rows]
    append_evaluation(tmp_path, ROWS[2])
    append_evaluation(tmp_path, ROWS[0])
    assert read_evaluations(tmp_path) == [*ROWS[:kept_rows], ROWS[2], ROWS[0]]


@pytest.mark.parametrize("line", [b'{"protocol": "ow', b"", b"3", b"{}", b"\xff"])
def test_a_complete_line_that_is_no_evaluation_is_an_error(tmp_path: Path, line: bytes) -> None:
    (tmp_path / EVALUATIONS).write_bytes(line + b"\n")
    append_evaluation(tmp_path, ROWS[0])
    with pytest.raises(UserError, match="damaged"):
        read_evaluations(tmp_path)


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert read_evaluations(tmp_path) == []
