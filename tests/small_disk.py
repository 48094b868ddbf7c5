"""A small file system to fill up, which is gone when the tests' process is, however that ends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from shutil import which

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """Mounted in the name space of a shell alone, which ends when nobody can write to it any more."""

    shell: subprocess.Popen[str]
    place: Path  # as the shell knows it

    @property
    def path(self) -> Path:
        """Where everybody else finds it."""
        return Path(f"/proc/{self.shell.pid}/root{self.place}")

    def mount(self, options: str) -> bool:
        """Whether `mount` does it."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"mount -t tmpfs -o {options} tmpfs {quote(str(self.place))}; echo $?\n")
        self.shell.stdin.flush()
        return self.shell.stdout.readline() == "0\n"


@contextmanager
def small_disk_at(place: Path, size: str) -> Iterator[SmallDisk]:
    """A file system of `size` bytes at `place`; skips the test where nobody may mount one."""
    place.mkdir()
    pipe = subprocess.PIPE
    seen = f"mount -t tmpfs tmpfs {quote(str(place))} && ls /proc/$$/root{quote(str(place))}"
    if not which("unshare") or subprocess.run(["unshare", "-m", "sh", "-c", seen], capture_output=True).returncode:
        pytest.skip("only root on Linux can mount a small file system to fill it up, and look into it")
    with subprocess.Popen(["unshare", "-m", "sh"], stdin=pipe, stdout=pipe, text=True) as shell:
        try:
            disk = SmallDisk(shell, place)
            assert disk.mount(f"size={size}")
            yield disk
        finally:
            shell.kill()
