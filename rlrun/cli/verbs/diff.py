"""`rlrun diff A B`: which key, version or first step differs between two runs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlrun.cli.arguments import Arguments
from rlrun.runs.manifest import differing, facts, flat, manifest_of_run
from rlrun.runs.rows import METRICS, RowComparison, compare_rows

_PLACE = ("runs_dir", "name")  # where a run is kept
# What changes neither a number nor which rows there are. Device and threads are compared as they really were.
_NO_MATTER = (
    *_PLACE,
    "checkpoint.",
    "logger.",
    "record_episodes",
    "device.kind",
    "device.num_threads",
    "device._target_",
)
_EXPERIMENT = ("algo", "env")


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("a", help="directory of a run", kind="run")
    parser.add_argument("b", help="directory of another one", kind="run")


def run(chosen: Namespace) -> int:
    """Prints what differs; status 0 if nothing that matters does, 1 if something does.

    Raises:
        UserError: if one is no run, or cannot be read.
    """
    a, b = Path(chosen.a), Path(chosen.b)
    manifests = manifest_of_run(a), manifest_of_run(b)
    keys, other_keys = _keys(_config(a, manifests[0]), _config(b, manifests[1]), *manifests)
    last_facts = differing(facts(manifests[0], -1), facts(manifests[1], -1))
    made = {name: values for name, values in last_facts.items() if name not in keys}
    rows = compare_rows(a / METRICS, b / METRICS)
    print(f"< {a}\n> {b}")
    _print("keys", keys)
    _print("versions, code and machine", made)
    _print("keys that change no result", other_keys)
    print(_in_words(rows))
    if not keys and not made and rows.difference is None:
        print("nothing that matters differs" if rows.longer is None else "nothing else differs")
    return 1 if keys or made or rows.difference is not None or rows.longer is not None else 0


def _config(directory: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    from rlrun.config.saved import read_config

    return flat(read_config(directory, manifest))


def _keys(
    left: Mapping[str, Any], right: Mapping[str, Any], a: Mapping[str, Any], b: Mapping[str, Any]
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Keys that matter and keys that do not. The manifests know what defines an experiment, by the content of files."""
    experiment = differing(flat(a["experiment"]), flat(b["experiment"]))
    mattering, other = dict(experiment), {}
    for key, values in differing(left, right).items():
        if key.split(".")[0] in _EXPERIMENT:
            if key not in experiment:
                other[key] = values  # such as the emulator's threads, or a file that lies elsewhere
        elif key.startswith(_NO_MATTER):
            other[key] = values
        else:
            mattering[key] = values
    return mattering, other


def _print(title: str, differences: Mapping[str, Sequence[Any]]) -> None:
    from rlrun.annotations.type_words import shown

    if differences:
        print(f"{title}:")
    for name, (old, new) in sorted(differences.items()):
        print(f"  {name}: {shown(old)} | {shown(new)}")


def _in_words(rows: RowComparison) -> str:
    if rows.difference is not None:
        return f"{METRICS}: first difference at {rows.difference}; {rows.equal_rows:,} rows before it are equal"
    if rows.longer is not None:
        which = "<" if rows.longer == "left" else ">"
        return (
            f"{METRICS}: the {rows.equal_rows:,} rows that both have are equal, up to step {rows.last_equal_step:,}; "
            f"{which} has more"
        )
    return f"{METRICS}: all {rows.equal_rows:,} rows are equal, byte for byte"
