"""The pool: carries out a list of jobs in parallel processes, and can be stopped, killed and started again."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from time import monotonic, sleep

import torch

from rlrun.errors import UserError
from rlrun.replay.memory import available_memory
from rlrun.runs.interruption import STOPPED, StopRequest
from rlrun.sweeps.children import Child
from rlrun.sweeps.display import Display
from rlrun.sweeps.jobs import Job, Outcome

_POLL_SECONDS, _DRAW_SECONDS = 0.1, 0.5


def _free_memory() -> int:
    return available_memory(torch.device("cpu"))


def carry_out(
    jobs: Sequence[Job],
    *,
    num_cores: int,
    stop: StopRequest,
    display: Display,
    free_memory: Callable[[], int] = _free_memory,
) -> Generator[Outcome, None, None]:
    """Runs what is missing of `jobs`, resumes what is unfinished, and yields what became of each once it is known.

    What another process is running is left to it, and asked for again at the end. Once `stop` has come, every process
    gets that signal once, saves and ends, and no other is started. Closing the generator kills the processes.

    Args:
        jobs: what to do; the first ones are started first.
        num_cores: how many cores the processes may keep busy; at least one process runs, whatever it takes.
        stop: entered by the caller.
        display: shows how far the jobs are.
        free_memory: bytes that can still be allocated.
    """
    waiting = deque(sorted(jobs, key=lambda job: job.result() is None))  # what is finished is told first
    held, children = list[Job](), list[Child]()
    forwarded = False
    drawn = 0.0
    display.begin(jobs)
    try:
        while waiting or children:
            if stop.came is not None and not forwarded:
                forwarded = True
                for child in children:
                    child.send(signal.Signals[stop.came])
                display.say(f"{stop.came}: waiting until every process has saved")
            while waiting and not forwarded:
                job = waiting[0]
                if (result := job.result()) is not None:
                    display.ended(job)
                    yield Outcome(job, "finished", result)
                elif (owner := job.owner()) is not None:
                    held.append(job)
                    display.say(f"{job.name}: left to {owner}, which is running it")
                elif _has_room(job, children, num_cores, free_memory):
                    try:
                        children.append(Child(job))
                        display.started(job)
                    except UserError as error:  # the others go on
                        display.ended(job)
                        yield Outcome(job, "failed", line=str(error))
                else:
                    break
                waiting.popleft()
            for child in [child for child in children if child.poll() is not None]:
                children.remove(child)
                display.ended(child.job)
                yield _outcome(child, stopping=forwarded)
            if forwarded and not children:
                break
            if monotonic() - drawn >= _DRAW_SECONDS:
                drawn = monotonic()
                display.draw()
            sleep(_POLL_SECONDS)
        yield from (Outcome(job, "stopped") for job in waiting)
        for job in held:
            result, owner = job.result(), job.owner()
            line = f"is being run by {owner}" if owner is not None else "was run by another process, which has ended"
            yield Outcome(job, "held", line=line) if result is None else Outcome(job, "finished", result)
    finally:
        for child in children:
            child.kill()
        display.close()


def _has_room(job: Job, children: Sequence[Child], num_cores: int, free_memory: Callable[[], int]) -> bool:
    """Whether cores and memory are left for a job; what the others will still take counts as taken."""
    if not children:
        return True
    if sum(child.job.num_threads for child in children) + job.num_threads > num_cores:
        return False
    to_come = sum(max(0, child.job.memory_bytes - child.memory_bytes()) for child in children)
    return job.memory_bytes + to_come <= free_memory()


def _outcome(child: Child, *, stopping: bool) -> Outcome:
    """What the directory says; the exit status alone proves nothing.

    A process that was asked to stop before it could listen to signals is ended by them, and has nothing to save.
    """
    status, result = child.poll(), child.job.result()
    assert status is not None
    if result is not None:
        return Outcome(child.job, "finished", result, status=status)
    line = f"killed by {signal.Signals(-status).name}" if status < 0 else child.last_line()
    is_asked = stopping and (status < 0 or "KeyboardInterrupt" in line)
    return Outcome(child.job, "stopped" if status == STOPPED or is_asked else "failed", line=line, status=status)
