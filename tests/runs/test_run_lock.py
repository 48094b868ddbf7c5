"""One process at a time in a run's directory."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from rlrun.errors import UserError
from rlrun.runs.lock import locked, owner, refuse_if_running

HOLD = """
import sys, time
from pathlib import Path
from rlrun.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""
HERE = f"process {os.getpid()} on {socket.gethostname()}"


def test_a_lock_names_its_owner_and_is_free_afterwards(tmp_path: Path) -> None:
    assert owner(tmp_path) is None
    with locked(tmp_path):
        assert owner(tmp_path) == HERE
        with pytest.raises(UserError, match=f"{tmp_path}.*{HERE}.*fresh=true"):
            refuse_if_running(tmp_path)
        with pytest.raises(UserError, match=f"{tmp_path}.*{HERE}.*fresh=true"), locked(tmp_path):
            pass
        assert owner(tmp_path) == HERE, "who was refused leaves the name of the owner"
    assert owner(tmp_path) is None
    refuse_if_running(tmp_path)
    with locked(tmp_path):
        pass


def test_looking_at_it_is_no_reason_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lock").write_text("")
    with (tmp_path / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr("rlrun.runs.lock.sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        with locked(tmp_path):
            pass


def test_kill_9_frees_it(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        assert owner(tmp_path) == f"process {process.pid} on {socket.gethostname()}"
        with pytest.raises(UserError, match=f"process {process.pid} "), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        assert owner(tmp_path) is None
        with locked(tmp_path):
            assert owner(tmp_path) == HERE


def test_a_note_of_another_machine_is_told_and_no_obstacle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".lock").write_text(json.dumps({"host": "elsewhere", "pid": 7}))
    assert owner(tmp_path) is None
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        pass
    assert "process 7 on elsewhere" in caplog.messages[0]


@pytest.fixture
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: IO[str], operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)


@pytest.mark.usefixtures("_no_locks")
def test_where_there_are_no_locks_the_note_must_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        assert owner(tmp_path) == HERE
    assert "Function not implemented" in caplog.messages[0]
    assert owner(tmp_path) is None
    (tmp_path / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": os.getppid()}))
    assert owner(tmp_path) == f"process {os.getppid()} on {socket.gethostname()}"
    with pytest.raises(UserError, match=f"process {os.getppid()} "), locked(tmp_path):
        pass
    (tmp_path / ".lock").write_text(json.dumps({"host": "elsewhere", "pid": 7}))
    assert owner(tmp_path) == "process 7 on elsewhere"
    with pytest.raises(UserError, match=rf"process 7 on elsewhere.*{tmp_path / '.lock'}$"), locked(tmp_path):
        pass
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": ended.pid}))
    assert owner(tmp_path) is None
    with locked(tmp_path):
        pass


def test_a_directory_that_was_removed_and_made_again_is_not_ours_any_more(tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    with locked(place) as still_ours:
        still_ours()
        shutil.rmtree(place)
        with pytest.raises(UserError, match=str(place)):
            still_ours()
        place.mkdir()
        with locked(place) as theirs:
            theirs()
            with pytest.raises(UserError, match=str(place)):
                still_ours()


def test_a_lock_that_was_removed_before_it_was_taken_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def late(file: IO[str], operation: int) -> None:
        (tmp_path / ".lock").unlink()
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", late)
    with pytest.raises(UserError, match=str(tmp_path)), locked(tmp_path):
        pass
