import errno
import os
from pathlib import Path

import pytest

from rlrun import files as atomic_file
from rlrun.errors import UserError
from rlrun.files import disk_errors_as_user_errors, make_directories


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE])
def test_a_write_that_the_disk_refused_is_one_line(tmp_path: Path, code: int) -> None:
    with pytest.raises(UserError, match=rf"\({os.strerror(code)}\)"), disk_errors_as_user_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_a_run_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match=os.strerror(errno.ENOENT)), disk_errors_as_user_errors(run):
        (run / "metrics.jsonl").open("w")


def test_a_file_elsewhere_is_not_the_run_s_trouble(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(FileNotFoundError), disk_errors_as_user_errors(run):
        (tmp_path / "level.txt").read_text()  # such as an environment's own file
    with pytest.raises(ConnectionResetError), disk_errors_as_user_errors(run):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def test_every_directory_that_is_made_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(atomic_file, "sync_directory", synced.append)
    make_directories(tmp_path / "a" / "b" / "c", exist_ok=False)
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    synced.clear()
    make_directories(tmp_path / "a" / "b" / "c", exist_ok=True)
    assert synced == []
    with pytest.raises(FileExistsError):
        make_directories(tmp_path / "a" / "b" / "c", exist_ok=False)
