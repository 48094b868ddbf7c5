"""`rlrun completion SHELL` prints a script for a shell: `eval "$(rlrun completion bash)"` (docs/completion.md)."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rlrun.cli.arguments import Arguments


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    shells = ("bash", "zsh", "fish")
    parser.add_argument("shell", choices=shells, help="docs/completion.md says where the script goes")


def run(chosen: Namespace) -> int:
    """Prints the script."""
    script = Path(__file__).parents[1] / "completion" / f"rlrun.{chosen.shell}"
    print(script.read_text(encoding="utf-8"), end="")
    return 0
