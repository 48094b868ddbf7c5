"""Starts a peer in a process of its own. Imports nothing heavy: a program that measures memory uses it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from peers import SB3, Peer
from rlrun_timings import environment


def peer_command(settings: Mapping[str, Any], python: str, peer: Peer = SB3) -> list[str]:
    """The command that runs `settings` (see `Peer.settings`) with the interpreter `python`."""
    return [python, str(peer.path), json.dumps(settings)]


def peer_environment() -> dict[str, str]:
    """Nothing of this checkout is on the peer's path."""
    return {name: value for name, value in environment().items() if name != "PYTHONPATH"}


def answer_in(output: str) -> dict[str, Any]:
    """The last line of what the peer printed."""
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def measure_peer(settings: Mapping[str, Any], python: str, peer: Peer = SB3) -> dict[str, Any]:
    """Runs it, and returns its answer."""
    command = peer_command(settings, python, peer)
    done = subprocess.run(command, env=peer_environment(), check=True, stdout=subprocess.PIPE, text=True)
    return answer_in(done.stdout)
