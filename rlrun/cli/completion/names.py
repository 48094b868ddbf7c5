"""Names that come with installed packages: games, Gymnasium ids. Files are read, nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from rlrun.envs.atari_games import UNLOADABLE

_REGISTERED = re.compile(r'^register\(\n    id="([^"]+)",\n    entry_point="gymnasium\.envs\.(\w+)', re.MULTILINE)
_FAMILIES = ("classic_control", "box2d", "toy_text")  # the others have continuous actions throughout
_CONTINUOUS = frozenset(
    {
        "Pendulum-v1",
        "MountainCarContinuous-v0",
        "LunarLanderContinuous-v3",
        "BipedalWalker-v3",
        "BipedalWalkerHardcore-v3",
        "CarRacing-v3",
    }
)
_RETIRED = frozenset({"CartPole-v0"})  # Gymnasium itself warns about it


def games() -> list[str]:
    """Atari games that can be played, as `atari_games.bundled_games`, which imports the emulator."""
    return sorted({path.stem for path in _package("ale_py", "roms").glob("*.bin")} - UNLOADABLE)


def gymnasium_ids() -> list[str]:
    """Ids that Gymnasium registers and that have discrete actions."""
    try:
        text = (_package("gymnasium", "envs") / "__init__.py").read_text(encoding="utf-8")
    except OSError:
        return []
    ids = {name for name, family in _REGISTERED.findall(text) if family in _FAMILIES}
    return sorted(ids - _CONTINUOUS - _RETIRED)


# Which argument takes which names: neither its type nor its choices say so.
BY_ARGUMENT: dict[tuple[str, str], Callable[[], list[str]]] = {
    ("rlrun.envs.atari.Atari", "game"): games,
    ("rlrun.envs.gymnasium.GymnasiumEnv", "id"): gymnasium_ids,
}


def _package(name: str, folder: str) -> Path:
    spec = find_spec(name)  # of a name without dots: nothing is imported
    places = (spec.submodule_search_locations if spec is not None else None) or ["/nonexistent"]
    return Path(next(iter(places))) / folder
