"""What a command would be made of, as far as completion needs it: the files that it chooses, read as text.

Importing Hydra and composing takes half a second; a Tab may take 0.4. References are not followed, and of files of
one's own only what `rlrun.config.files.contents` reads counts: a run is composed by Hydra, and checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlrun.config.files import Tree, as_mapping, contents, put, text_of

_PARTS, _WHOLE = ("algo", "env", "device"), ("preset", "experiment", "debug")
_LISTED = re.compile(r"[\w-]+")
_NETWORK = "network@algo.network"  # what `network=` means; the key `network` of other files suggests an option


def composed(directories: Sequence[Path], given: Mapping[str, str]) -> Tree:
    """What a run would be made of; every value is the text that stands in a file.

    Args:
        directories: with configs; the last one has `config.yaml`.
        given: the command's overrides, by key.
    """
    pair = {"preset": f"{given.get('algo')}_{given.get('env')}"}
    chosen: dict[str, str] = _chosen_by(directories, "config") | pair | dict(given)
    for group in _WHOLE:
        chosen |= _chosen_by(directories, f"{group}/{chosen.get(group)}") | dict(given)
    whole = [contents(directories, f"{group}/{chosen.get(group)}") for group in _WHOLE]
    env = contents(directories, f"env/{chosen.get('env')}")
    suggested = [given.get("network"), *(part.pop("network", None) for part in (*reversed(whole), env))]
    network = next((name for name in suggested if isinstance(name, str)), None)
    if network is not None:
        chosen.setdefault(_NETWORK, network)
    tree = contents(directories, "config")
    tree.pop("hydra", None)
    for group in _PARTS:
        body = contents(directories, f"{group}/{chosen.get(group)}", chosen)
        put(tree, body if isinstance(body.get(group), dict) else {group: body} if body else {})
    for name in _LISTED.findall(chosen.get("logger", "")):  # one, or several in brackets
        body = contents(directories, f"logger/{name}")
        put(tree, {"logger": {name: body} if "_target_" in body else {}})
    tree.get("env", {}).pop("network", None)
    for body in whole:
        put(tree, body)
    return tree


def _chosen_by(directories: Sequence[Path], path: str) -> dict[str, str]:
    """The options that a file's defaults list chooses, for itself or over others."""
    defaults = as_mapping(text_of(directories, path)).get("defaults")
    lines = [line for line in defaults if isinstance(line, dict)] if isinstance(defaults, list) else []
    return {str(key).removeprefix("override /"): str(option) for line in lines for key, option in line.items()}


def at(tree: Any, key: str) -> Any:
    """What stands at a dotted key; None where nothing does."""
    for name in key.split(".") if key else ():
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree
