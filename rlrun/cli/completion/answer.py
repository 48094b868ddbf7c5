"""`rlrun complete ...`: what the scripts of the shells ask at every Tab."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rlrun.cli.completion.bash_line import read_line, replies
from rlrun.cli.completion.candidates import candidates
from rlrun.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[2]
_ENTRY_POINTS = b"rlrun.configs"  # config.plugins.ENTRY_POINTS, whose module takes longer to import than all of this


def complete(arguments: Sequence[str]) -> int:
    """Prints candidates, one a line.

    Args:
        arguments: `-- WORD ...` up to the cursor, for whole words, each with a tab and its meaning; those with more to
            come end in `=`, `.` or `/`. Or `bash LINE BREAKS`, for what bash is to insert.

    Raises:
        UserError: for anything else.
    """
    places = (_PACKAGE / "conf", _PACKAGE.parent / "conf")  # installed, or in the repository
    directories = [*_plugins(), next(path for path in places if (path / "config.yaml").is_file())]
    if arguments[:1] == ["bash"] and len(arguments) == 3:
        line = read_line(*arguments[1:])
        lines = replies(candidates(line.words, directories), line)
    elif arguments[:1] == ["--"]:
        found = candidates(arguments[1:], directories)
        lines = [f"{each.text}\t{' '.join(each.meaning.split())}".rstrip("\t") for each in found]
    else:
        raise UserError("`rlrun complete` is what a shell asks at every Tab; `rlrun completion bash` sets that up")
    sys.stdout.write("".join(f"{text}\n" for text in lines))
    return 0


def _plugins() -> Iterator[Path]:
    """Where installed packages keep configs; what finds them is slow to import, so only where any has some."""
    for place in sys.path:
        for file in Path(place or ".").glob("*-info/entry_points.txt"):
            with suppress(OSError):
                if _ENTRY_POINTS in file.read_bytes():
                    from rlrun.config.plugins import installed

                    yield from (plugin.directory for plugin in installed().plugins)
                    return
