"""Curves of runs are collected with both counts of steps, and drawn by that of the environment where all have it."""

import json
from pathlib import Path

import pytest
from curves import axis_of, collect, draw

MACHINE = {"cpu": "Z80", "cores": 1, "device": "cpu", "num_threads": 1}


def run(folder: Path, algo: str, rows: list[dict[str, float]]) -> None:
    directory = folder / algo / "run" / "seed0"
    directory.mkdir(parents=True)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = {"seed": 0, "argv": ["rlrun", f"algo={algo}"], "git_commit": "0123456789", "machine": MACHINE}
    (directory / "manifest.json").write_text(json.dumps(manifest))


def lines(path: Path) -> list[list[str]]:
    return [line.split(",")[:5] for line in path.read_text().splitlines()]


def test_both_counts_are_collected(tmp_path: Path) -> None:
    run(tmp_path, "reinforce", [{"step": 5, "env_steps": 9, "eval/episode_return": 1.5}, {"step": 6, "env_steps": 11}])
    run(tmp_path, "dqn", [{"step": 4, "eval/episode_return": 2.5}])  # by a version that did not count
    collect(tmp_path, tmp_path / "curves.csv")
    assert lines(tmp_path / "curves.csv") == [
        ["algo", "seed", "step", "env_steps", "eval_episode_return"],
        ["dqn", "0", "4", "", "2.5"],
        ["reinforce", "0", "5", "9", "1.5"],
    ]
    draw(tmp_path / "curves.csv", tmp_path / "picture.png", "a title")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("rows", "column", "told"),
    [
        ([{"step": "5", "env_steps": "9"}, {"step": "5", "env_steps": "5"}], "env_steps", False),
        ([{"step": "5", "env_steps": "9"}, {"step": "5", "env_steps": ""}], "step", True),
        ([{"step": "5"}], "step", True),  # a file that is older than the count
    ],
)
def test_an_axis_that_leaves_interactions_out_says_so(rows: list[dict[str, str]], column: str, told: bool) -> None:
    chosen, label = axis_of(rows)
    assert chosen == column
    assert ("not all runs counted" in label) == told
