"""Runs sorted into tasks and groups, and which runs are reported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from made_runs import ATARI, CARTPOLE, made_run

from rlrun.errors import UserError
from rlrun.reports.groups import tasks_of
from rlrun.reports.scores import ReportedRun, read_run
from rlrun.reports.selection import select_runs
from rlrun.reports.targets import targets_of


def read(*directories: Path) -> list[ReportedRun]:
    return [run for directory in directories if (run := read_run(directory)) is not None]


def seeds_by_label(runs: Iterable[ReportedRun]) -> dict[str, dict[str, list[int]]]:
    return {
        task.name: {group.label: [run.seed for run in group.runs] for group in task.groups} for task in tasks_of(runs)
    }


def test_seeds_are_a_group_and_algorithms_are_not(tmp_path: Path) -> None:
    runs = read(*(made_run(tmp_path, [1], seed=seed, algo=algo) for seed in (2, 0, 10) for algo in ("dqn", "td")))
    assert seeds_by_label(runs) == {"cartpole": {"dqn": [0, 2, 10], "td": [0, 2, 10]}}


def test_a_label_is_what_differs_between_groups_of_an_algorithm(tmp_path: Path) -> None:
    runs = read(
        made_run(tmp_path, [1], keys={"n_step": 1, "double": True}),
        made_run(tmp_path, [1], keys={"n_step": 3, "double": True}),
        made_run(tmp_path, [1], algo="reinforce"),
    )
    assert list(seeds_by_label(runs)["cartpole"]) == ["dqn algo.n_step=1", "dqn algo.n_step=3", "reinforce"]


def test_classes_and_lengths_are_named_too(tmp_path: Path) -> None:
    runs = read(
        made_run(tmp_path, [1], keys={"replay": {"_target_": "a.b.Frames", "size": 5}}),
        made_run(tmp_path, [1, 2], keys={"replay": {"_target_": "a.b.Observations"}}, name="other"),
    )
    assert list(seeds_by_label(runs)["cartpole"]) == [
        "dqn algo.replay=Frames algo.replay.size=5 total_steps=100",
        "dqn algo.replay=Observations total_steps=200",
    ]


def test_groups_whose_labels_would_be_equal_have_their_hashes(tmp_path: Path) -> None:
    text = "x" * 500
    runs = read(
        made_run(tmp_path, [1], keys={"rules": text + "1"}, name="a"),
        made_run(tmp_path, [1], keys={"rules": text + "2"}, name="b"),
    )
    assert len(seeds_by_label(runs)["cartpole"]) == 2


def test_tasks_are_games_and_environments_and_their_keys(tmp_path: Path) -> None:
    runs = read(
        made_run(tmp_path, [1]),
        made_run(tmp_path, [1], env={**CARTPOLE, "max_episode_steps": 200}, name="short"),
        made_run(tmp_path, [1], env=ATARI),
        made_run(tmp_path, [1], env={**ATARI, "num_envs": 8, "reseed_every_steps": 5}, algo="a2c"),
    )
    found = seeds_by_label(runs)
    assert list(found) == ["cartpole env.max_episode_steps=200", "cartpole env.max_episode_steps=500", "pong"]
    assert list(found["pong"]) == ["a2c", "dqn"]


def test_unfinished_runs_are_left_out_or_kept_apart(tmp_path: Path) -> None:
    made_run(tmp_path, [1])
    unfinished = made_run(tmp_path, [1, 2], seed=1, finished=False, every_steps=25)
    chosen = select_runs([tmp_path], unfinished=False)
    assert [run.seed for run in chosen.runs] == [0]
    assert len(chosen.notes) == 1
    assert str(unfinished) in chosen.notes[0]
    (task,) = tasks_of(select_runs([tmp_path], unfinished=True).runs)
    (group,) = task.groups
    assert ([run.seed for run in group.runs], [run.seed for run in group.unfinished]) == ([0], [1])


def test_a_seed_counts_once(tmp_path: Path) -> None:
    first = made_run(tmp_path, [1])
    second = made_run(tmp_path, [5], name="x/seed0-2", started="2025-02-01T00:00:00+00:00")
    made_run(tmp_path, [7], name="x/seed0-rerun", rerun_of=str(first))
    chosen = select_runs([tmp_path, first], unfinished=False)
    assert [run.directory for run in chosen.runs] == [second]
    assert len(chosen.notes) == 2


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a directory"):
        select_runs([tmp_path / "nowhere"], unfinished=False)
    (tmp_path / "empty").mkdir()
    made_run(tmp_path / "runs", [1], finished=False)
    with pytest.raises(UserError, match=r"no run in .*empty"):
        select_runs([tmp_path / "runs", tmp_path / "empty"], unfinished=False)
    with pytest.raises(UserError, match=r"no run is left .*unfinished"):
        select_runs([tmp_path / "runs"], unfinished=False)


def test_targets() -> None:
    assert targets_of([], ["cartpole", "other"]) == {"cartpole": 475.0}
    assert targets_of(["5", "other=7"], ["cartpole", "other"]) == {"cartpole": 5.0, "other": 7.0}
    for wrong in ("much", "cartpole=", "cartpole=inf", "cartpol=3"):
        with pytest.raises(UserError, match=wrong):
            targets_of([wrong], ["cartpole"])
