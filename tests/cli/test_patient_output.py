"""A reader that goes away, a terminal that is lost and a full disk under a log file end no run."""

import errno
import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from rlrun.cli.patient_output import PatientOutput

WORDS = (
    "algo=q_learning",
    "env=gridworld",
    "logger=none",
    "name=run",
    "evaluation.episodes=2",
    "evaluation.num_envs=2",
)
PLACE = Path("gridworld/q_learning/run/seed0")


def command(runs_dir: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "rlrun", *WORDS, *more, f"runs_dir={runs_dir}"]


def test_what_nobody_reads_is_lost_and_nothing_is_raised() -> None:
    told: list[str] = []
    reader, writer = os.pipe()
    stream = PatientOutput(open(writer, "w", buffering=1), "standard output", told.append)  # noqa: SIM115 - closed below
    stream.write("read\n")
    assert os.read(reader, 100) == b"read\n"
    os.close(reader)
    for _ in range(3):
        assert stream.write("lost\n") == 5
        stream.flush()
    stream.writelines(["also lost\n"])
    stream.close()
    assert told == [], "`| head` is no trouble"


def test_the_rest_is_the_streams_own() -> None:
    text = io.StringIO()
    stream = PatientOutput(text, "standard output", print)
    stream.write("a")
    stream.writelines(["b", "c"])
    assert text.getvalue() == "abc"
    assert stream.isatty() is False


class Full(io.StringIO):
    """Where nothing can be written."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fileno(self) -> int:
        return self._descriptor


def test_a_full_disk_is_told_once_and_two_streams_do_not_tell_each_other_for_ever() -> None:
    reader, writer = os.pipe()
    told: list[str] = []
    err = PatientOutput(Full(writer), "standard error", told.append)

    def tell(line: str) -> None:
        err.write(line)
        told.append(line)

    out = PatientOutput(Full(writer), "standard output", tell)
    assert out.write("lost\n") == 5
    os.close(reader)
    os.close(writer)
    assert told == [
        "rlrun: standard error cannot be written any more (No space left on device); the command continues\n",
        "rlrun: standard output cannot be written any more (No space left on device); the command continues\n",
    ]


def test_a_run_goes_on_when_its_reader_is_gone(tmp_path: Path) -> None:
    words = command(tmp_path, "total_steps=2000", "evaluation.every_steps=200")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(120) == 0
    assert (tmp_path / PLACE / "result.json").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_log_file_on_a_full_disk_is_told_on_the_other_stream() -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "rlrun", "--version"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.stderr == (
        "rlrun: standard output cannot be written any more (No space left on device); the command continues\n"
    )
    assert done.returncode == 0


def test_output_that_a_shell_closed_goes_nowhere() -> None:
    words = ["sh", "-c", '"$@" >&- 2>&-', "sh", sys.executable, "-m", "rlrun", "--version"]
    assert subprocess.run(words, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("how", ["hangup", "nohup"])
def test_a_lost_terminal_stops_a_run_that_is_saved_or_with_nohup_nothing(
    tmp_path: Path, how: Literal["hangup", "nohup"]
) -> None:
    """In a session of its own, whose terminal it is, as behind ssh. That terminal goes away while it trains."""
    master, slave = pty.openpty()
    stops = how == "hangup"
    steps = 1_000_000 if stops else 2_000
    settings = [f"total_steps={steps}", "log_every_steps=100", "evaluation.every_steps=400"]
    owning = "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    hearing = f"signal.signal(signal.SIGHUP, signal.{'SIG_DFL' if stops else 'SIG_IGN'}); "  # whoever runs this test
    words = [sys.executable, "-c", f"{owning}{hearing}os.execv(sys.argv[1], sys.argv[1:])"]
    process = subprocess.Popen(
        [*words, *command(tmp_path, *settings)], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        said = b""
        while b"step 400: evaluation" not in said:
            said += os.read(master, 4096)
        os.close(master)  # the connection is lost
        metrics = tmp_path / PLACE / "metrics.jsonl"
        rows = metrics.read_text().count("\n")
        assert process.wait(60) == (75 if stops else 0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert metrics.read_text().count("\n") >= rows
    saved = [int(path.stem[5:]) for path in (tmp_path / PLACE / "checkpoints").glob("step-*.state")]
    assert (tmp_path / PLACE / "result.json").is_file() is not stops
    assert 400 <= max(saved) < steps if stops else max(saved) == steps
    manifest = (tmp_path / PLACE / "manifest.json").read_text()
    assert ('"reason": "SIGHUP"' in manifest) is stops
