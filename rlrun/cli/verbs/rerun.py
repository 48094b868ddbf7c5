"""`rlrun rerun DIR`: the same run again, from its manifest, and whether every bit is equal."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlrun.cli.arguments import Arguments
from rlrun.errors import UserError
from rlrun.runs.lock import refuse_if_running
from rlrun.runs.manifest import RESULT, in_words, manifest_of_run, read_manifest, result_of_run

if TYPE_CHECKING:
    from rlrun.config.config import Config
    from rlrun.types import State


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", help="of a run", kind="run")
    parser.add_argument(
        "--into", metavar="NEW", help="where the new run is kept (default: next to it, DIR-rerun)", kind="directory"
    )


def run(chosen: Namespace) -> int:
    """Repeats a run and compares; status 0 if all bits are equal, 1 if not.

    A run that is not finished is repeated up to its newest checkpoint.

    Raises:
        UserError: if it is no run, is running, or has nothing yet to compare with.
    """
    original = Path(chosen.directory)
    manifest = manifest_of_run(original)
    refuse_if_running(original)

    from rlrun.api.running import Command, carry_out
    from rlrun.config.saved import config_of_run

    config = config_of_run(original, manifest)
    until, finished = _end(original, config, manifest)
    again = _place(original, chosen.into, until)
    _say_what_changed_on_the_way(manifest)
    carry_out(replace(config, total_steps=until), again, Command(chosen.argv, ()), rerun_of=original)
    differences = list(_differences(original, again, config, None if finished else until))
    for line in differences:
        print(line)
    if differences:
        print(f"{again} is not {original} bit for bit")
        return 1
    print(f"bit for bit equal: {again} and {original}" + ("" if finished else f" up to step {until:,}"))
    return 0


def _end(original: Path, config: Config, manifest: Mapping[str, Any]) -> tuple[int, bool]:
    """How far to repeat, and whether that is the end of a finished run."""
    if result_of_run(original, manifest) is not None:
        return manifest["total_steps"], True
    state = _newest_state(original, config)
    if state is None:
        raise UserError(f"{original} is not finished and has no checkpoint: there is nothing to compare with")
    return state["run_state"]["step"], False


def _place(original: Path, into: str | None, until: int) -> Path:
    """Where to: a repetition that was interrupted is resumed, and nothing that is finished is touched."""
    from rlrun.runs.directory import attempt, finished_result

    first = Path(into) if into is not None else original.with_name(original.name + "-rerun")
    latest = first if into is not None else attempt(first, fresh=False)
    there = read_manifest(latest)
    if there is None and not latest.exists():
        return latest
    is_ours = there is not None and there.get("rerun_of") == str(original.resolve()) and there["total_steps"] <= until
    if is_ours and finished_result(latest, until) is None:
        return latest
    if into is not None:
        raise UserError(f"--into {into} exists already: choose a directory that does not")
    return attempt(first, fresh=True)


def _say_what_changed_on_the_way(manifest: Mapping[str, Any]) -> None:
    for number, session in enumerate(manifest.get("sessions", []), 1):
        if session["differs"]:
            print(
                f"session {number} of the run differed from its first one ({in_words(session['differs'])}): "
                "the repetition cannot follow that"
            )


def _differences(original: Path, again: Path, config: Config, until: int | None) -> Iterator[str]:
    """What is not the same, a line each. Up to step `until`, rows before it; None: everything that a run leaves."""
    from rlrun.runs.rows import METRICS, compare_rows

    rows = compare_rows(original / METRICS, again / METRICS, until)
    if rows.difference is not None:
        yield f"{METRICS}: first difference at {rows.difference}"
    elif rows.longer is not None:
        yield f"{METRICS}: after {rows.equal_rows:,} equal rows, one has more"
    if until is None and (original / RESULT).read_bytes() != (again / RESULT).read_bytes():
        yield f"{RESULT} differs"
    yield from _state_differences(_newest_state(original, config), _newest_state(again, config))


def _state_differences(original: State | None, again: State | None) -> Iterator[str]:
    from rlrun.runs.state_comparison import first_difference

    if original is None or again is None:
        if original is not again:
            yield "only one of them has a checkpoint"
        return
    steps = original["run_state"]["step"], again["run_state"]["step"]
    if steps[0] != steps[1]:
        yield f"the newest checkpoints are of steps {steps[0]:,} and {steps[1]:,}"
        return
    for part in ("agent", "collector"):
        place = first_difference(original[part], again[part], part)
        if place is not None:
            yield f"checkpoint of step {steps[0]:,}: first difference at {place}"


def _newest_state(directory: Path, config: Config) -> State | None:
    from rlrun.build import identity_of
    from rlrun.runs.checkpoint import Checkpoints

    identity = identity_of(config)
    return Checkpoints(directory, identity, config.checkpoint["keep"]).newest_sound(print, move_aside=False)
