"""The pool, with processes that do nothing but what the test wants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rlrun.runs.interruption import StopRequest
from rlrun.runs.lock import locked
from rlrun.runs.manifest import write_result
from rlrun.sweeps.jobs import Job, Outcome, RunJob
from rlrun.sweeps.pool import carry_out

RESULT = "{'step': 10, 'total_steps': 10, 'eval/episodes': 1, 'eval/episode_return': SCORE, 'eval/standard_error': 0.0}"
FINISHES = f"""
from pathlib import Path
from rlrun.runs.manifest import write_result
directory = Path('DIRECTORY')
directory.mkdir(exist_ok=True)
write_result(directory, {RESULT})
"""
COUNTS_SIGNALS = """
import signal, sys, time
from pathlib import Path
got = []
signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
Path('DIRECTORY').mkdir(exist_ok=True)
Path('DIRECTORY', 'ready').touch()
while not got:
    time.sleep(0.01)
time.sleep(0.3)
Path('DIRECTORY', 'signals').write_text(str(len(got)))
print('saved')
sys.exit(75)
"""
SLEEPS = "import os, time; open('DIRECTORY.pid', 'w').write(str(os.getpid())); time.sleep(60)"


class Shown:
    """A display that remembers what it was told."""

    def __init__(self, ticked: Callable[[], object] = lambda: None) -> None:
        self.running = 0
        self.most = 0
        self.names: list[str] = []
        self.lines: list[str] = []
        self._ticked = ticked

    def begin(self, jobs: Sequence[Job]) -> None:
        pass

    def started(self, job: Job) -> None:
        self.names.append(job.name)
        self.running += 1
        self.most = max(self.most, self.running)

    def ended(self, job: Job) -> None:
        self.running -= job.name in self.names

    def draw(self) -> None:
        self._ticked()

    def say(self, line: str) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


def job(folder: Path, seed: int, program: str = FINISHES, *, memory: int = 0, threads: int = 1) -> RunJob:
    directory = folder / f"seed{seed}"
    code = program.replace("DIRECTORY", str(directory)).replace("SCORE", str(float(seed)))
    return RunJob(
        name=f"seed {seed}",
        command=[sys.executable, "-c", code],
        directory=directory,
        seed=seed,
        experiment={},
        total_steps=10,
        memory_bytes=memory,
        num_threads=threads,
    )


def seed_of(outcome: Outcome) -> int:
    return int(outcome.job.name.removeprefix("seed "))


def done(jobs: Sequence[Job], display: Shown | None = None, *, cores: int = 2, memory: int = 100) -> list[Outcome]:
    with StopRequest() as stop:
        display = display or Shown()
        return list(carry_out(jobs, num_cores=cores, stop=stop, display=display, free_memory=lambda: memory))


def test_what_is_missing_is_run_and_what_is_finished_is_not(tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed) for seed in range(3)]
    jobs[1].directory.mkdir()
    write_result(jobs[1].directory, eval(RESULT, {"SCORE": 0.5}))
    shown = Shown()
    found = done(jobs, shown)
    assert {each.job.name: each.result and each.result["eval/episode_return"] for each in found} == {
        "seed 0": 0.0,
        "seed 1": 0.5,
        "seed 2": 2.0,
    }
    assert found[0].job is jobs[1]
    assert shown.names == ["seed 0", "seed 2"]
    again = Shown()
    assert [each.state for each in done(jobs, again)] == ["finished"] * 3
    assert again.names == []


@pytest.mark.parametrize(
    ("cores", "memory", "threads", "most"),
    [(1, 100, 1, 1), (2, 100, 1, 2), (4, 100, 2, 2), (1, 100, 2, 1), (4, 50, 1, 1)],
)
def test_as_many_at_once_as_cores_and_memory_allow(
    tmp_path: Path, cores: int, memory: int, threads: int, most: int
) -> None:
    jobs = [job(tmp_path, seed, memory=2**60, threads=threads) for seed in range(3)]
    shown = Shown()
    found = done(jobs, shown, cores=cores, memory=2**62 if memory == 100 else 2**60)
    assert [each.state for each in found] == ["finished"] * 3
    assert shown.most == most


def test_a_job_that_fails_is_told_with_its_last_line_and_the_others_go_on(tmp_path: Path) -> None:
    fails = (
        "import sys; print('first'); print('rlrun: error: no such thing\\n  set there', file=sys.stderr); sys.exit(2)"
    )
    crashes = "raise ValueError('not a number')"
    jobs = [job(tmp_path, 0, fails), job(tmp_path, 1, crashes), job(tmp_path, 2), job(tmp_path, 3, "")]
    jobs.append(job(tmp_path, 4, "import os; os.kill(os.getpid(), 9)"))
    found = {seed_of(each): each for each in done(jobs)}
    assert [(found[seed].state, found[seed].status) for seed in range(5)] == [
        ("failed", 2),
        ("failed", 1),
        ("finished", 0),
        ("failed", 0),
        ("failed", -9),
    ]
    assert found[0].line == "no such thing"
    assert found[1].line == "ValueError: not a number"
    assert "SIGKILL" in found[4].line
    assert "Traceback" in jobs[1].log.read_text()


def test_a_job_whose_process_cannot_be_started_fails_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed) for seed in range(3)]
    jobs[1].log.mkdir(parents=True)
    found = {seed_of(each): each for each in done(jobs)}
    assert [found[seed].state for seed in range(3)] == ["finished", "failed", "finished"]
    assert found[1].status is None
    assert str(jobs[1].log) in found[1].line


def test_a_run_of_another_process_is_left_to_it(tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed) for seed in range(2)]
    jobs[0].directory.mkdir()
    shown = Shown()
    with locked(jobs[0].directory):
        found = done(jobs, shown)
    assert [(seed_of(each), each.state) for each in found] == [(1, "finished"), (0, "held")]
    assert shown.names == ["seed 1"]
    assert str(os.getpid()) in found[1].line


def test_a_run_that_another_process_finishes_meanwhile_counts(tmp_path: Path) -> None:
    jobs = [job(tmp_path, 0), job(tmp_path, 1, "import time; time.sleep(0.6)\n" + FINISHES)]
    jobs[0].directory.mkdir()
    with locked(jobs[0].directory):
        shown = Shown(lambda: write_result(jobs[0].directory, eval(RESULT, {"SCORE": 0.5})))
        found = done(jobs, shown)
    assert {seed_of(each): each.state for each in found} == {0: "finished", 1: "finished"}


def test_a_signal_is_forwarded_once_and_nothing_more_is_begun(tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed, COUNTS_SIGNALS) for seed in range(3)]

    def stop_when_ready() -> None:
        if all((each.directory / "ready").exists() for each in jobs[:2]):
            os.kill(os.getpid(), signal.SIGTERM)

    shown = Shown(stop_when_ready)
    found = done(jobs, shown)
    assert {seed_of(each): (each.state, each.status) for each in found} == {
        0: ("stopped", 75),
        1: ("stopped", 75),
        2: ("stopped", None),
    }
    assert [(each.directory / "signals").read_text() for each in jobs[:2]] == ["1", "1"]
    assert shown.names == ["seed 0", "seed 1"]


def gone(process: int) -> bool:
    """Whether it has ended, also if nobody has asked for its status yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_whoever_stops_listening_leaves_no_process_behind(tmp_path: Path) -> None:
    jobs = [job(tmp_path, 0, SLEEPS), job(tmp_path, 1)]
    with StopRequest() as stop:
        outcomes = carry_out(jobs, num_cores=2, stop=stop, display=Shown())
        assert next(outcomes).job is jobs[1]
        wait_for(lambda: bool((tmp_path / "seed0.pid").exists() and (tmp_path / "seed0.pid").read_text()))
        outcomes.close()
    assert gone(int((tmp_path / "seed0.pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels tell nobody that a parent has ended")
def test_processes_end_with_a_pool_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_pool import SLEEPS, done, job
done([job(Path({str(tmp_path)!r}), seed, SLEEPS) for seed in range(2)])
"""
    pids = [tmp_path / "seed0.pid", tmp_path / "seed1.pid"]
    pool = subprocess.Popen([sys.executable, "-c", program])
    wait_for(lambda: all(path.exists() and path.read_text() for path in pids))
    children = [int(path.read_text()) for path in pids]
    assert not any(map(gone, children))
    pool.kill()
    pool.wait()
    wait_for(lambda: all(map(gone, children)), 5.0)
