"""Installed packages that bring configs of their own: where these are, and what is wrong with them. Imports none.

A package says so by an entry point, whose value is the package with a directory `conf`:

    [project.entry-points."rlrun.configs"]
    mine = "my_package"

In `conf`, it has groups as rlrun does: `algo/`, `env/`, `network/`, `preset/` ... (docs/plugins.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

ENTRY_POINTS = "rlrun.configs"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Configs of an installed package."""

    distribution: str  # what `pip uninstall` takes
    directory: Path


@dataclass(frozen=True, slots=True)
class Installed:
    """What the entry points name."""

    plugins: tuple[Plugin, ...]
    broken: tuple[str, ...]  # a sentence for each package whose configs cannot be found


def installed() -> Installed:
    """All plug-ins of this Python, by name. A broken one is told about and otherwise left out."""
    plugins: dict[Path, Plugin] = {}  # an entry point that is there twice names one directory
    broken = []
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda each: each.name):
        distribution = entry_point.dist.name if entry_point.dist is not None else entry_point.name
        directory = _directory(entry_point)
        if isinstance(directory, Path):
            plugins.setdefault(directory, Plugin(distribution, directory))
        else:
            broken.append(f"the installed package {distribution} brings configs that cannot be used: {directory}")
    return Installed(tuple(plugins.values()), tuple(broken))


def _directory(entry_point: EntryPoint) -> Path | str:
    """Where its configs are, or why they cannot be found."""
    top, *inner = entry_point.module.split(".")
    try:
        spec = find_spec(top)  # of a name without dots: nothing is imported
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return f"there is no package {top}"
    for place in spec.submodule_search_locations or ():
        directory = Path(place, *inner, "conf")
        if directory.is_dir():
            return directory.resolve()
    return f"{entry_point.module} has no directory conf/"


def own_directories(directories: Sequence[Path]) -> list[Path]:
    """Those that a person added: neither an installed package's, nor rlrun's own, which is the last."""
    added = directories[:-1]
    return [directory for directory in added if directory not in {plugin.directory for plugin in installed().plugins}]


def owner(file: Path) -> str:
    """Whose config file it is, in words."""
    for plugin in installed().plugins:
        if file.is_relative_to(plugin.directory):
            return f"of the installed package {plugin.distribution}"
    return "rlrun's own" if file.is_relative_to(Path(__file__).resolve().parents[2]) else "yours"
