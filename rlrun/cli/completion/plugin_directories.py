"""Where installed packages keep configs; without `importlib.metadata`, slow to import, where none has any."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_MARK = b"rlrun.configs"  # rlrun.config.plugins.ENTRY_POINTS
_METADATA = (".dist-info", ".egg-info")


def plugin_directories() -> list[Path]:
    """The directories of `rlrun.config.plugins.installed`."""
    if not _any_mentions_us():
        return []
    from rlrun.config.plugins import installed

    return [plugin.directory for plugin in installed().plugins]


def _any_mentions_us() -> bool:
    for place in sys.path:
        try:
            names = [name for name in os.listdir(place or ".") if name.endswith(_METADATA)]
        except OSError:
            continue
        for name in names:
            try:
                with open(os.path.join(place, name, "entry_points.txt"), "rb") as file:
                    if _MARK in file.read():
                        return True
            except OSError:
                continue
    return False
