"""Files that a config names: looked for before anything is built, and in a sweep before its first run."""

from __future__ import annotations

import os
from pathlib import Path

from rlrun.config.config import Config
from rlrun.errors import WrongKeyError, nearest


def refuse_missing_files(config: Config) -> None:
    """Refuses a name that is neither of a file or directory nor one of those that the constructor says it may be.

    Raises:
        WrongKeyError: naming the key.
    """
    for path, component in config.components():
        for name, named in component.files.items():
            value = component.arguments.get(name)
            if name in component.unused or named is None or not isinstance(value, str) or value in named.names:
                continue
            if not os.path.exists(Path(value).expanduser()):
                several = len(named.names) > 1
                known = ("one of " if several else "") + ", ".join(named.names)
                near = f"; nearest: {nearest(value, named.names, 1)[0]}" if several else ""
                raise WrongKeyError(
                    f"{path}.{name}={value} is neither {known} nor a file or directory that is there{near}",
                    f"{path}.{name}",
                )
