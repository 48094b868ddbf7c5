"""`rlrun show DIR`: what a run is, its progress and its result."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlrun.cli.arguments import Arguments
from rlrun.cli.verbs.ls import in_hours
from rlrun.runs.manifest import MANIFEST, RESULT, in_words, read_result

if TYPE_CHECKING:
    from rlrun.runs.summary import RunSummary

_PICTURES = ("values.png", "values.gif")


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", help="of a run", kind="run")
    parser.add_argument("--q", action="store_true", help="also the value of every action, where states are cells")


def run(chosen: Namespace) -> int:
    """Prints all there is to say about a run; its tables, if it has some, come last.

    Raises:
        UserError: if there is no run, or one that cannot be read.
    """
    from rlrun.runs.summary import summarise

    directory = Path(chosen.directory)
    tables = directory / "tables.npz"
    if (directory / MANIFEST).is_file() or not tables.is_file():
        for name, text in _lines(summarise(directory)):
            print(f"{name:<12} {text}".rstrip())
    if tables.is_file():
        _print_tables(directory, with_q=chosen.q)
    return 0


def _print_tables(directory: Path, *, with_q: bool) -> None:
    from rlrun.pictures.as_text import as_text, more_as_text
    from rlrun.pictures.tables_file import load_tables

    shown = load_tables(directory)
    print(as_text(shown))
    for heading, text in more_as_text(shown, with_q=with_q):
        print(f"\n{heading}:\n{text}")
    kept = [str(directory / name) for name in _PICTURES if (directory / name).is_file()]
    if kept:
        print("pictures: " + ", ".join(kept))


def _lines(run: RunSummary) -> Iterator[tuple[str, str]]:
    manifest, machine = run.manifest, run.manifest["machine"]
    yield "run", str(run.directory)
    by = f" by {run.owner}" if run.state == "running" else ""
    yield "state", f"{run.state}{by}, step {run.step:,} of {manifest['total_steps']:,}, {in_hours(run.wall_seconds)}"
    yield "command", shlex.join(["rlrun", *manifest["argv"][1:]])
    if manifest.get("rerun_of"):
        yield "repeats", manifest["rerun_of"]
    labels = " ".join(f"{name}={value}" for name, value in run.labels.items())
    rules = manifest["evaluation"]
    protocol = f", protocol {rules['protocol']}" if "protocol" in rules else ""
    yield "experiment", f"{run.experiment} ({labels}{protocol}), seed {manifest['seed']}"
    yield "versions", ", ".join(f"{name} {number}" for name, number in manifest["versions"].items() if number)
    yield "commit", _commit(manifest, run.directory)
    threads = f"{machine['num_threads']} thread(s) on {machine['cores']} core(s)"
    parts = [machine.get("host"), machine["cpu"], machine.get("instructions"), machine["system"]]
    parts += [machine["device"], machine.get("gpu"), threads]
    yield "machine", ", ".join(str(part) for part in parts if part)
    for number, session in enumerate(manifest.get("sessions", []), 1):
        yield f"session {number}", _session(session, is_last=number == len(manifest["sessions"]), run=run)
    yield "checkpoint", _newest_checkpoint(run.directory)
    result = read_result(run.directory / RESULT)
    greedy = "" if run.greedy is None else f"; greedy {run.greedy:.2f}"
    if result is not None:
        spread = f" ± {result['eval/standard_error']:.2f}" if result["eval/episodes"] > 1 else ""
        count = f"over {result['eval/episodes']} episodes"
        yield "result", f"evaluation mean {run.score:.2f}{spread} {count}{greedy}"
    else:
        newest = "none yet" if run.score is None else f"mean {run.score:.2f}, the newest so far"
        yield "evaluation", newest + greedy


def _commit(manifest: Mapping[str, Any], directory: Path) -> str:
    if manifest["git_commit"] is None:
        return "unknown: rlrun was installed as a package"
    diff = directory / "code.diff"
    return f"{manifest['git_commit']}" + (f", with the changes in {diff}" if diff.is_file() else "")


def _session(session: Mapping[str, Any], *, is_last: bool, run: RunSummary) -> str:
    start = "" if session["from_step"] is None else f" from step {session['from_step']:,}"
    if session["status"] is not None:
        reason = f" ({session['reason']})" if session["reason"] else ""
        end = f" to {session['to_step']:,}, {session['status']}{reason} after {in_hours(session['wall_seconds'])}"
    else:
        end = ", running" if is_last and run.state == "running" else ", killed"
    other = f"; other: {in_words(session['differs'])}" if session["differs"] else ""
    return f"{session['started']}, {session['host']}{start}{end}{other}"


def _newest_checkpoint(directory: Path) -> str:
    from rlrun.runs.directory import newest_checkpoint

    step = newest_checkpoint(directory)
    if step is None:
        return "none"
    policies = [name for name in ("best", "final") if (directory / "policies" / f"{name}.state").is_file()]
    return f"step {step:,}" + (f"; policies: {', '.join(policies)}" if policies else "")
