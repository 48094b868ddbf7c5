"""Installed packages that bring configs of their own: where these are. Imports none.

A package says so by an entry point, whose value is the package with a directory `conf`:

    [project.entry-points."rlrun.configs"]
    mine = "my_package"

In `conf`, it has groups as rlrun does: `algo/`, `env/`, `network/`, `preset/` ... (docs/plugins.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

ENTRY_POINTS = "rlrun.configs"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Configs of an installed package."""

    distribution: str  # what `pip uninstall` takes
    directory: Path


def installed() -> list[Plugin]:
    """All plug-ins of this Python, by name; one whose directory is not there is left out."""
    plugins: dict[Path, Plugin] = {}  # an entry point that is there twice names one directory
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda each: each.name):
        top, *inner = entry_point.module.split(".")
        try:
            spec = find_spec(top)  # of a name without dots: nothing is imported
        except (ImportError, ValueError):
            spec = None
        for place in (spec.submodule_search_locations if spec is not None else None) or ():
            directory = Path(place, *inner, "conf").resolve()
            if directory.is_dir():
                name = entry_point.dist.name if entry_point.dist is not None else entry_point.name
                plugins.setdefault(directory, Plugin(name, directory))
    return list(plugins.values())


def own_directories(directories: Sequence[Path]) -> list[Path]:
    """Those that a person added: neither an installed package's, nor rlrun's own, which is the last."""
    added = directories[:-1]
    return [directory for directory in added if directory not in {plugin.directory for plugin in installed()}]
