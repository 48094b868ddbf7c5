"""A reader that goes away ends no run."""

import io
import os
import subprocess
import sys
from pathlib import Path

from rlrun.patient_output import PatientOutput


def test_what_nobody_reads_is_lost_and_nothing_is_raised() -> None:
    reader, writer = os.pipe()
    stream = PatientOutput(open(writer, "w", buffering=1))  # noqa: SIM115 - closed below
    stream.write("read\n")
    assert os.read(reader, 100) == b"read\n"
    os.close(reader)
    for _ in range(3):
        assert stream.write("lost\n") == 5
        stream.flush()
    stream.writelines(["also lost\n"])
    stream.close()


def test_the_rest_is_the_streams_own() -> None:
    text = io.StringIO()
    stream = PatientOutput(text)
    stream.write("a")
    stream.writelines(["b", "c"])
    assert text.getvalue() == "abc"
    assert stream.isatty() is False


def test_a_run_goes_on_when_its_reader_is_gone(tmp_path: Path) -> None:
    words = ["algo=q_learning", "env=gridworld", "total_steps=2000", "evaluation.every_steps=200", "logger=none"]
    command = [sys.executable, "-m", "rlrun", *words, f"runs_dir={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(120) == 0
    assert len(list(tmp_path.rglob("result.json"))) == 1
