"""Curves before and after are compared seed by seed, on files that are worked by hand."""

import csv
from pathlib import Path

import pytest
from curves import RETURN, columns_of
from same_curves import cells, draw, pairs


def write(
    path: Path, commit: str, rows: list[tuple[str, int, int, float]], command: str = "rlrun", waiting: int | None = None
) -> None:
    """A CSV; with `waiting`, so many environment steps more than agent steps were counted."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns_of(RETURN))
        for algo, seed, step, value in rows:
            env_steps = "" if waiting is None else step + waiting
            writer.writerow([algo, seed, step, env_steps, value, command, commit, "a machine"])


def test_a_row_counts_equal_evaluations_and_averages_over_curves(tmp_path: Path) -> None:
    write(
        tmp_path / "curves_cartpole_before.csv",
        "aaa",
        [("dqn", 0, 5, 10.0), ("dqn", 0, 10, 20.0), ("dqn", 1, 5, 30.0), ("dqn", 1, 10, 50.0), ("other", 0, 5, 1.0)],
    )
    write(
        tmp_path / "curves_cartpole_after.csv",
        "bbb",
        [("dqn", 0, 5, 10.0), ("dqn", 0, 10, 24.0), ("dqn", 1, 5, 36.0), ("dqn", 1, 10, 56.0)],
    )
    (pair,) = pairs(tmp_path)  # seeds: 15 and 40 before, 17 and 46 after: 2 and 6 more
    assert cells(pair) == [
        "dqn, cartpole: evaluation return",
        "2",
        "10",
        "1 of 4",
        "27.5",
        "31.5",
        "+4 ± 2",
        "aaa / bbb",
    ]
    draw([pair], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_what_one_side_has_more_is_cut_and_what_it_has_otherwise_is_refused(tmp_path: Path) -> None:
    before, after = (tmp_path / f"curves_pong_{side}.csv" for side in ("before", "after"))
    write(before, "aaa", [("dqn", 0, 5, 10.0), ("dqn", 0, 10, 20.0)])
    write(after, "bbb", [("dqn", 0, 5, 12.0)])
    (pair,) = pairs(tmp_path)
    assert cells(pair)[2:7] == ["5", "0 of 1", "10", "12", "+2"]
    for others, command in (([("dqn", 1, 5, 10.0)], "rlrun"), ([("dqn", 0, 5, 10.0)], "rlrun algo.gamma=0.9")):
        write(after, "bbb", others, command)
        with pytest.raises(ValueError, match=r"^pong, dqn: "):
            pairs(tmp_path)
    write(after, "bbb", [("dqn", 0, 6, 10.0)])
    with pytest.raises(ValueError, match=r"^pong, dqn, seed 0: "):
        pairs(tmp_path)
    write(after, "bbb", [("dqn", 0, 5, 10.0), ("dqn", 0, 5, 11.0)])
    with pytest.raises(ValueError, match="dqn, seed 0: "):
        pairs(tmp_path)
    assert len(pairs(tmp_path / "nowhere")) == 0


def test_curves_are_drawn_by_environment_steps_where_both_sides_have_counted_them(tmp_path: Path) -> None:
    before, after = (tmp_path / f"curves_pong_{side}.csv" for side in ("before", "after"))
    points = [("reinforce", 0, 5, 10.0), ("reinforce", 0, 10, 20.0)]
    for waiting, counted in (((None, None), False), ((3, None), False), ((3, 4), True)):
        write(before, "aaa", points, waiting=waiting[0])
        write(after, "bbb", points, waiting=waiting[1])
        (pair,) = pairs(tmp_path)
        assert pair.counted() == counted
        draw([pair], tmp_path / "picture.png")
    assert pair.env_steps == ({"0": {5: 8, 10: 13}}, {"0": {5: 9, 10: 14}})
