"""`rlrun complete ...`: what the scripts of the shells ask at every Tab."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]


def complete(words: Sequence[str]) -> int:
    """Prints candidates, one a line.

    Args:
        words: `-- WORD ...` up to the cursor, for whole words, each with a tab and its meaning; those with more to
            come end in `=`, `.` or `/`. Or `bash LINE BREAKS`, for what bash is to insert.
    """
    from rlrun.cli.completion.candidates import candidates
    from rlrun.cli.completion.plugin_directories import plugin_directories

    places = (_PACKAGE / "conf", _PACKAGE.parent / "conf")  # installed, or in the repository
    directories = [*plugin_directories(), next(path for path in places if (path / "config.yaml").is_file())]
    if words[:1] == ["bash"] and len(words) == 3:
        from rlrun.cli.completion.bash_line import read_line, replies

        line = read_line(*words[1:3])
        lines = replies(candidates(line.words, directories), line)
    elif words[:1] != ["--"]:
        from rlrun.errors import UserError

        raise UserError("`rlrun complete` is what a shell asks at every Tab; `rlrun completion bash` sets that up")
    else:
        found = candidates(words[1:], directories)
        lines = [f"{each.text}\t{' '.join(each.meaning.split())}".rstrip("\t") for each in found]
    sys.stdout.write("".join(f"{text}\n" for text in lines))
    return 0
