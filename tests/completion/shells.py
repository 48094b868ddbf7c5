"""A real shell on a terminal of its own, with rlrun's completion loaded: types, presses Tab, and reads the line."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_PATIENCE = 30.0  # seconds until a shell that does not answer is a failure; far above what it takes

# How each shell starts without anybody's settings, and what makes Ctrl-G write the line as it is.
_STARTS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        'bind -x \'"\\C-g": printf "%s" "$READLINE_LINE" >line.new; mv line.new line\'',
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -u -D; "
        'line() { print -rn -- "$BUFFER" >line.new; mv line.new line }; zle -N line; bindkey "^G" line',
    ),
    "fish": (
        ["fish", "--no-config", "--private", "-i"],
        'function fish_greeting; end; bind \\cg "commandline | string collect >line.new; mv line.new line"',
    ),
}
_LOAD = {
    "bash": 'eval "$(rlrun completion bash)"',
    "zsh": 'eval "$(rlrun completion zsh)"',
    "fish": "rlrun completion fish | source",
}


def program(folder: Path) -> dict[str, str]:
    """An environment in which `rlrun` is this tree's."""
    folder.mkdir(exist_ok=True)
    script = folder / "rlrun"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rlrun "$@"\n')
    script.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TERM": "dumb",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
    }


# Shells want a terminal that they control, so that they can hand it to the programs that they start.
_ON_A_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "os.setsid()\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)


class Shell:
    """One shell.

    Args:
        name: bash, zsh or fish.
        folder: where it works.
    """

    def __init__(self, name: str, folder: Path) -> None:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed here")
        self._folder = folder
        command, bind = _STARTS[name]
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_A_TERMINAL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=program(folder / "bin"),
        )
        os.close(slave)
        self._send(f"{bind}\n{_LOAD[name]}\n: >ready\n")
        self._wait_for(folder / "ready")

    def complete(self, line: str) -> str:
        """The line after `line` and a Tab were typed; it is empty again afterwards."""
        file = self._folder / "line"
        file.unlink(missing_ok=True)
        self._send("\x15" + line + "\t\x07")  # Ctrl-U, the words, Tab, Ctrl-G
        self._wait_for(file)
        return file.read_text()

    def run(self, command: str) -> None:
        """Carries out a command, which is done when this returns."""
        file = self._folder / "ran"
        file.unlink(missing_ok=True)
        self._send(f"\x15{command}\n: >ran\n")
        self._wait_for(file)

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _send(self, text: str) -> None:
        os.write(self._master, text.encode())

    def _wait_for(self, file: Path) -> None:
        seen, end = b"", time.monotonic() + _PATIENCE
        while not file.exists():
            if time.monotonic() > end:
                raise AssertionError(f"no {file.name}; the shell said: {seen.decode(errors='replace')}")
            if select.select([self._master], [], [], 0.02)[0]:
                seen += os.read(self._master, 65536)
