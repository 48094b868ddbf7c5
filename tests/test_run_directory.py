"""Where runs live, and what is written there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlrun.errors import UserError
from rlrun.run_directory import (
    check_same_experiment,
    check_writable,
    experiment_hash,
    finished_result,
    make_receipt,
    opened,
    run_directory,
)


def test_the_hash_depends_on_values_and_not_on_the_order_of_keys() -> None:
    first = experiment_hash({"algo": {"gamma": 0.9, "n": 1}, "env": {}})
    assert first == experiment_hash({"env": {}, "algo": {"n": 1, "gamma": 0.9}})
    assert first != experiment_hash({"env": {}, "algo": {"n": 1, "gamma": 0.91}})
    assert len(first) == 10
    assert int(first, 16) >= 0


def test_the_directory_has_only_plain_characters() -> None:
    path = run_directory(Path("runs"), "gym-ALE/Pong, [v5]=x", "dqn", "abc", 3)
    assert path == Path("runs/gym-ALE-Pong-v5-x/dqn/abc/seed3")
    assert run_directory(Path("runs"), "..", "a", "b", 0) == Path("runs/_/a/b/seed0")


def test_checking_makes_no_directory(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file is not a directory; choose another runs_dir"):
        check_writable(tmp_path / "file" / "b")


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="Not a directory; choose another runs_dir"),
        opened(tmp_path / "file/b", "", {}),
    ):
        pass


def test_a_second_process_is_kept_out_while_the_first_one_runs(tmp_path: Path) -> None:
    with (
        opened(tmp_path, "a: 1\n", {"total_steps": 5}),
        pytest.raises(UserError, match="being run by another process"),
        opened(tmp_path, "a: 2\n", {"total_steps": 6}),
    ):
        pass
    assert (tmp_path / "config.yaml").read_text() == "a: 1\n"
    with opened(tmp_path, "a: 3\n", {"total_steps": 7}):
        assert (tmp_path / "config.yaml").read_text() == "a: 3\n"


def test_a_run_is_finished_up_to_the_steps_it_was_made_for(tmp_path: Path) -> None:
    assert finished_result(tmp_path, 100) is None
    with opened(tmp_path, "", {"total_steps": 100}):
        assert finished_result(tmp_path, 100) is None
        (tmp_path / "result.json").write_text(json.dumps({"step": 60}))  # a planner stops when it has converged
    assert finished_result(tmp_path, 100) == {"step": 60}
    assert finished_result(tmp_path, 50) == {"step": 60}
    assert finished_result(tmp_path, 101) is None


def test_going_on_beyond_the_end_keeps_the_old_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"step": 100}))
    with opened(tmp_path, "", {"total_steps": 200}):
        assert finished_result(tmp_path, 100) is None
    assert json.loads((tmp_path / "result-100.json").read_text()) == {"step": 100}


def test_a_damaged_result_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"result\.json cannot be read"):
        finished_result(tmp_path, 1)


def test_the_receipt_names_command_versions_and_machine() -> None:
    receipt = json.loads(json.dumps(make_receipt(["rlrun", "algo=dqn"], {"algo": 1}, 10, 3, "cpu", 2)))
    assert receipt["argv"] == ["rlrun", "algo=dqn"]
    assert receipt["experiment"] == {"algo": 1}
    assert (receipt["total_steps"], receipt["seed"]) == (10, 3)
    assert receipt["versions"]["torch"].startswith("2.")
    assert receipt["versions"]["python"].startswith("3.")
    assert receipt["machine"]["device"] == "cpu"
    assert receipt["machine"]["num_threads"] == 2
    assert receipt["machine"]["cpu"]


def test_a_directory_belongs_to_one_experiment(tmp_path: Path) -> None:
    check_same_experiment(tmp_path / "new", {"algo": {"gamma": 0.9}})
    receipt = make_receipt([], {"algo": {"gamma": 0.9, "lr": 1}, "env": None}, 10, 0, "cpu", 1)
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    check_same_experiment(tmp_path, {"env": None, "algo": {"lr": 1, "gamma": 0.9}})
    with pytest.raises(UserError, match=r"there algo\.gamma=0\.9, now 0\.5; choose another name="):
        check_same_experiment(tmp_path, {"env": None, "algo": {"lr": 1, "gamma": 0.5}})
    with pytest.raises(UserError, match=r"there algo\.lr=1, now not set"):
        check_same_experiment(tmp_path, {"env": None, "algo": {"gamma": 0.9}})
