"""`rlrun complete ...`: what the scripts of the shells ask at every Tab."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rlrun.cli.completion.bash_line import read_line, replies
from rlrun.cli.completion.candidates import candidates
from rlrun.config.files import config_directories
from rlrun.errors import UserError


def complete(arguments: Sequence[str]) -> int:
    """Prints candidates, one a line.

    Args:
        arguments: `-- WORD ...` up to the cursor, for whole words, each with a tab and its meaning; those with more to
            come end in `=`, `.` or `/`. Or `bash LINE BREAKS`, for what bash is to insert.

    Raises:
        UserError: for anything else.
    """
    directories = config_directories(None)
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
