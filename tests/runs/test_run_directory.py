"""Where runs live, and what is written there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rlrun.errors import UserError
from rlrun.runs import directory as run_directory_module
from rlrun.runs.directory import (
    attempt,
    check_resumable,
    check_same_experiment,
    check_writable,
    finished_result,
    last_step,
    opened,
    run_directory,
)
from rlrun.runs.interruption import Interrupted
from rlrun.runs.manifest import Code, digest, read_manifest, read_result, write_manifest, write_result

NO_CODE = Code(None, None)


def result(step: int, total_steps: int | None = None) -> dict[str, Any]:
    length = {"step": step, "total_steps": total_steps or step}
    return length | {"eval/episode_return": 1.5, "eval/standard_error": 0.0, "eval/episodes": 1}


def checkpoint(directory: Path, step: int) -> None:
    """Its file, which nothing here opens."""
    (directory / "checkpoints").mkdir(exist_ok=True)
    (directory / "checkpoints" / f"step-{step}.state").touch()


def made(total_steps: int, **differing: Any) -> dict[str, Any]:
    """A new manifest, as far as a directory cares."""
    manifest = {"experiment": {"algo": {"gamma": 0.9, "lr": 1}, "env": None}, "seed": 0, "argv": ["rlrun"]}
    machine = {"cpu": "Z80", "num_threads": 1}
    return (
        manifest
        | {"total_steps": total_steps, "machine": machine, "versions": {"torch": "2"}}
        | {"config_digests": []}
        | differing
    )


def sessions(directory: Path) -> list[dict[str, Any]]:
    manifest = read_manifest(directory)
    assert manifest is not None
    found: list[dict[str, Any]] = manifest["sessions"]
    return found


def test_the_directory_has_only_plain_characters() -> None:
    path = run_directory(Path("runs"), "gym-ALE/Pong, [v5]=x", "dqn", "abc", 3)
    assert path == Path("runs/gym-ALE-Pong-v5-x/dqn/abc/seed3")
    assert run_directory(Path("runs"), "..", "a", "b", 0) == Path("runs/_/a/b/seed0")


def test_attempts_are_numbered_and_the_latest_one_is_meant(tmp_path: Path) -> None:
    first = tmp_path / "a" / "seed1"
    assert attempt(first, fresh=False) == attempt(first, fresh=True) == first
    first.mkdir(parents=True)
    (first.parent / "seed1-rerun").mkdir()
    (first.parent / "seed10-7").mkdir()
    (first.parent / "seed1-5").write_text("no directory")
    assert attempt(first, fresh=False) == first
    assert attempt(first, fresh=True) == first.with_name("seed1-2")
    for number in (2, 10):
        first.with_name(f"seed1-{number}").mkdir()
    assert attempt(first, fresh=False) == first.with_name("seed1-10")
    assert attempt(first, fresh=True) == first.with_name("seed1-11")


def test_checking_makes_no_directory(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"/file .* runs_dir$"):
        check_writable(tmp_path / "file" / "b")


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=f"{tmp_path}/file/b: {os.strerror(errno.ENOTDIR)}; .* runs_dir$"),
        opened(tmp_path / "file/b", "", made(5), NO_CODE),
    ):
        pass


def test_a_second_process_is_kept_out_while_the_first_one_runs(tmp_path: Path) -> None:
    with opened(tmp_path, "a: 1\n", made(5), NO_CODE) as session:
        session.began(0)
        with pytest.raises(UserError, match=f"process {os.getpid()} "), opened(tmp_path, "a: 2\n", made(6), NO_CODE):
            pass
    assert (tmp_path / "config.yaml").read_text() == "a: 1\n"
    assert len(sessions(tmp_path)) == 1
    with opened(tmp_path, "a: 3\n", made(7), NO_CODE) as session:
        assert (tmp_path / "config.yaml").read_text() == "a: 1\n"
        session.began(0)
        assert (tmp_path / "config.yaml").read_text() == "a: 3\n"


def test_a_new_run_is_not_put_where_another_process_has_just_begun_one(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=str(tmp_path)),
        opened(tmp_path, "", made(5), NO_CODE, new=True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_has_just_finished_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path, "a: 1\n", made(5), NO_CODE) as session:
        session.began(0)
        write_result(tmp_path, result(5))
    with pytest.raises(UserError, match=str(tmp_path)), opened(tmp_path, "a: 2\n", made(5), NO_CODE):
        pass
    assert (tmp_path / "config.yaml").read_text() == "a: 1\n"
    assert (tmp_path / "result.json").exists()


def test_a_run_is_finished_up_to_the_steps_it_was_made_for(tmp_path: Path) -> None:
    assert finished_result(tmp_path, 100) is None
    with opened(tmp_path, "", made(100), NO_CODE) as session:
        session.began(0)
        assert finished_result(tmp_path, 100) is None
        write_result(tmp_path, result(60, 100))  # a planner stops when it has converged
    assert finished_result(tmp_path, 100) == result(60, 100)
    assert finished_result(tmp_path, 50) == result(60, 100)
    assert finished_result(tmp_path, 101) is None


def test_going_on_beyond_the_end_keeps_the_old_result(tmp_path: Path) -> None:
    write_manifest(tmp_path, made(100))
    write_result(tmp_path, result(100))
    checkpoint(tmp_path, 100)
    with opened(tmp_path, "", made(200), NO_CODE) as session:
        session.began(100)
        assert finished_result(tmp_path, 200) is None
        assert finished_result(tmp_path, 100) == result(100), "that far it is finished"
        assert finished_result(tmp_path, 101) is None
    assert read_result(tmp_path / "result-100.json") == result(100)


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != ".lock"}


def test_who_is_refused_before_training_leaves_a_finished_run_as_it_was(tmp_path: Path) -> None:
    with opened(tmp_path, "a: 1\n", made(100), NO_CODE) as session:
        session.began(0)
        write_result(tmp_path, result(100))
        session.ended("finished", 100)
    checkpoint(tmp_path, 100)
    before = contents(tmp_path)
    with pytest.raises(ZeroDivisionError), opened(tmp_path, "a: 2\n", made(200), NO_CODE):
        _ = 1 / 0
    assert contents(tmp_path) == before


@pytest.mark.parametrize("moment", range(5))
def test_killed_between_two_files_of_a_beginning_it_can_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    with opened(tmp_path, "a: 1\n", made(100), NO_CODE) as session:
        session.began(0)
        write_result(tmp_path, result(100))
    checkpoint(tmp_path, 100)
    left = moment

    def counted(real: Callable[..., None], *given: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        real(*given)

    with monkeypatch.context() as patch:
        for name in ("write_manifest", "write_atomically", "_keep_old_result", "_keep_diff"):
            real = getattr(run_directory_module, name)
            patch.setattr(run_directory_module, name, partial(counted, real))
        with pytest.raises(KeyboardInterrupt), opened(tmp_path, "a: 2\n", made(200), NO_CODE) as session:
            session.began(100)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert digest((tmp_path / "config.yaml").read_text()) in manifest["config_digests"]
    assert finished_result(tmp_path, 200) is None, "it never got there"
    assert finished_result(tmp_path, 100) == result(100)
    with opened(tmp_path, "a: 2\n", made(200), NO_CODE) as session:
        session.began(100)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert (manifest["total_steps"], manifest["config_digests"]) == (200, [digest("a: 2\n")])


def test_an_unfinished_run_is_not_made_shorter(tmp_path: Path) -> None:
    with opened(tmp_path, "", made(100), NO_CODE) as session:
        session.began(0)
    with (
        pytest.raises(UserError, match=r"total_steps=100\b.*\b50\b.*fresh=true"),
        opened(tmp_path, "", made(50), NO_CODE),
    ):
        pass


@pytest.mark.parametrize("name", ["result.json", "result-50.json"])
def test_what_is_finished_is_not_begun_again_where_its_checkpoints_are_gone(tmp_path: Path, name: str) -> None:
    with opened(tmp_path, "", made(50), NO_CODE) as session:
        session.began(0)
    check_resumable(tmp_path, 100)  # nothing is finished yet
    write_result(tmp_path, result(50))
    (tmp_path / "result.json").rename(tmp_path / name)
    with (
        pytest.raises(UserError, match=r"checkpoint .*fresh=true"),
        opened(tmp_path, "", made(100), NO_CODE),
    ):
        pass
    checkpoint(tmp_path, 50)
    check_resumable(tmp_path, 100)


def test_under_the_lock_it_is_checked_again_whose_directory_it_is(tmp_path: Path) -> None:
    with opened(tmp_path, "", made(5), NO_CODE) as session:
        session.began(0)
    other = made(5, experiment={"algo": {"gamma": 0.5, "lr": 1}, "env": None})
    with pytest.raises(UserError, match=r"algo\.gamma=0\.9\b.*\b0\.5\b"), opened(tmp_path, "", other, NO_CODE):
        pass


def test_nothing_is_written_into_a_directory_that_was_replaced(tmp_path: Path) -> None:
    place = tmp_path / "run"
    with opened(place, "a: 1\n", made(5), NO_CODE) as session:
        session.began(0)
        shutil.rmtree(place)
        with opened(place, "a: 2\n", made(6), NO_CODE) as other:
            other.began(0)
            before = contents(place)
            with pytest.raises(UserError, match=str(place)):
                session.ended("finished", 5)
            assert contents(place) == before


def test_a_damaged_result_is_refused_by_name(tmp_path: Path) -> None:
    write_manifest(tmp_path, made(1))
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match=str(tmp_path / "result.json")):
        finished_result(tmp_path, 1)


def stop_with(error: BaseException, directory: Path) -> None:
    with opened(directory, "", made(100), NO_CODE) as session:
        session.began(0)
        raise error


def test_a_session_says_how_it_ended(tmp_path: Path) -> None:
    (tmp_path / "timings.jsonl").write_text('{"step": 8}\n')
    with opened(tmp_path, "", made(100), NO_CODE) as session:
        session.began(0)
        session.ended("finished", 100)
    asked = Interrupted("SIGTERM", 7, saved=True, directory=tmp_path)
    for error in (asked, KeyboardInterrupt(), SystemExit(), ZeroDivisionError("a bug")):
        with pytest.raises(type(error)):
            stop_with(error, tmp_path)
    told = [(entry["status"], entry["reason"], entry["to_step"]) for entry in sessions(tmp_path)]
    assert told == [
        ("finished", None, 100),
        ("interrupted", "SIGTERM", 7),
        ("interrupted", "SIGINT, at once", 8),
        ("interrupted", "a launcher ended the process", 8),
        ("failed", "ZeroDivisionError: a bug", 8),
    ]
    assert all(entry["ended"] >= entry["started"] for entry in sessions(tmp_path))


def test_a_session_that_goes_on_is_in_the_manifest_without_an_end(tmp_path: Path) -> None:
    with opened(tmp_path, "", made(100), NO_CODE) as session:
        session.began(40)
        (entry,) = sessions(tmp_path)
        assert (entry["from_step"], entry["ended"], entry["status"]) == (40, None, None)


def test_what_made_a_run_stays_and_a_session_says_what_it_found_otherwise(tmp_path: Path) -> None:
    other = made(200, argv=["rlrun", "b"], versions={"torch": "3"})
    for manifest in (made(100), other):
        with opened(tmp_path, "", manifest, NO_CODE) as session:
            session.began(0)
    kept = read_manifest(tmp_path)
    assert kept is not None
    manifest = kept
    assert (manifest["argv"], manifest["versions"], manifest["total_steps"]) == (["rlrun"], {"torch": "2"}, 200)
    assert [entry["differs"] for entry in manifest["sessions"]] == [{}, {"versions.torch": ["2", "3"]}]
    assert manifest["sessions"][1]["argv"] == ["rlrun", "b"]


def test_changes_of_the_code_are_kept_once(tmp_path: Path) -> None:
    for diff in ("first", "first", None, "second"):
        with opened(tmp_path, "", made(100), Code("abc", diff)) as session:
            session.began(0)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.diff")} == {
        "code.diff": "first",
        "code-4.diff": "second",
    }


def test_a_damaged_diff_is_kept_beside_the_right_one_and_no_result_is_lost(tmp_path: Path) -> None:
    with opened(tmp_path, "", made(100), Code("abc", "first")) as session:
        session.began(0)
        write_result(tmp_path, result(100))
    checkpoint(tmp_path, 100)
    (tmp_path / "code.diff").write_bytes(b"f\xff\xfe")
    with opened(tmp_path, "", made(200), Code("abc", "first")) as session:
        session.began(100)
    assert (tmp_path / "code.diff").read_bytes() == b"f\xff\xfe"
    assert (tmp_path / "code-2.diff").read_text() == "first"
    assert finished_result(tmp_path, 100) == result(100)


def test_whatever_fails_at_the_beginning_leaves_the_result_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, "", made(100), NO_CODE) as session:
        session.began(0)
        write_result(tmp_path, result(100))
    checkpoint(tmp_path, 100)

    def fail(*given: object) -> None:
        raise OSError("no")

    for name in ("write_atomically", "_keep_diff"):
        with monkeypatch.context() as patch:
            patch.setattr(run_directory_module, name, fail)
            with pytest.raises(OSError, match=r"^no$"), opened(tmp_path, "", made(200), NO_CODE) as session:
                session.began(100)
        assert read_result(tmp_path / "result.json") == result(100)
        assert list(tmp_path.glob("result-*.json")) == []


def test_a_result_that_was_edited_renamed_or_brought_from_elsewhere_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, made(900))
    write_result(tmp_path, result(400))
    with pytest.raises(UserError, match=r"result\.json .*total_steps=400\b.*manifest\.json .*900\b"):
        finished_result(tmp_path, 900)
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace("400", "900"))
    with pytest.raises(UserError, match=r"result\.json .*fresh=true"):
        finished_result(tmp_path, 900)
    write_result(tmp_path, result(400))
    path.rename(tmp_path / "result-900.json")
    with pytest.raises(UserError, match=r"result-900\.json .*\b400\b"):
        finished_result(tmp_path, 900)


def test_a_copied_directory_does_not_answer_for_another_seed(tmp_path: Path) -> None:
    write_manifest(tmp_path, made(10))
    with pytest.raises(UserError, match=r"seed=0\b.*\b1\b.*name=$"):
        check_same_experiment(tmp_path, made(10)["experiment"], 1)
    with (
        pytest.raises(UserError, match=r"seed=0\b.*\b1\b"),
        opened(tmp_path, "", made(20, seed=1), NO_CODE),
    ):
        pass


def test_the_last_step_is_that_of_either_file(tmp_path: Path) -> None:
    assert last_step(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 5}\n{"step": 9}\n{"st')
    assert last_step(tmp_path) == 9
    (tmp_path / "timings.jsonl").write_text('{"step": 12}\n')
    assert last_step(tmp_path) == 12


def test_a_directory_belongs_to_one_experiment(tmp_path: Path) -> None:
    check_same_experiment(tmp_path / "new", {"algo": {"gamma": 0.9}}, 0)
    write_manifest(tmp_path, made(10))
    check_same_experiment(tmp_path, {"env": None, "algo": {"lr": 1, "gamma": 0.9}}, 0)
    with pytest.raises(UserError, match=r"algo\.gamma=0\.9\b.*\b0\.5\b.* name="):
        check_same_experiment(tmp_path, {"env": None, "algo": {"lr": 1, "gamma": 0.5}}, 0)
    with pytest.raises(UserError, match=r"algo\.lr=1\b"):
        check_same_experiment(tmp_path, {"env": None, "algo": {"gamma": 0.9}}, 0)
