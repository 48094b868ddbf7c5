"""`rlrun show DIR`: what a run is, how far it is, and what it came to."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlrun.cli.verbs.listing import in_hours
from rlrun.cli.verbs.words import Words
from rlrun.runs.directory import newest_checkpoint
from rlrun.runs.manifest import RECEIPT, RESULT, in_words, read_result
from rlrun.runs.summary import RunSummary, summarise

_PICTURES = ("values.png", "values.gif")


def show(words: Sequence[str]) -> int:
    """Prints all there is to say about a run; its tables, if it has some, come last."""
    parser = Words("rlrun show", description="What a run is, and what it came to.")
    parser.add_argument("directory", help="of a run")
    parser.add_argument("--q", action="store_true", help="also the value of every action, where states are cells")
    chosen = parser.parse_args(words)
    directory = Path(chosen.directory)
    tables = directory / "tables.npz"
    if (directory / RECEIPT).is_file() or not tables.is_file():
        for name, text in _lines(summarise(directory)):
            print(f"{name:<12} {text}".rstrip())
    if tables.is_file():
        from rlrun.pictures.as_text import as_text, more_as_text
        from rlrun.pictures.tables_file import load_tables

        shown = load_tables(directory)
        print(as_text(shown))
        for heading, text in more_as_text(shown, with_q=chosen.q):
            print(f"\n{heading}:\n{text}")
        kept = [str(directory / name) for name in _PICTURES if (directory / name).is_file()]
        if kept:
            print("pictures: " + ", ".join(kept))
    return 0


def _lines(run: RunSummary) -> Iterator[tuple[str, str]]:
    receipt, machine = run.receipt, run.receipt["machine"]
    yield "run", str(run.directory)
    by = f" by {run.owner}" if run.state == "running" else ""
    yield "state", f"{run.state}{by}, step {run.step:,} of {receipt['total_steps']:,}, {in_hours(run.wall_seconds)}"
    yield "command", shlex.join(["rlrun", *receipt["argv"][1:]])
    if receipt.get("rerun_of"):
        yield "repeats", receipt["rerun_of"]
    labels = " ".join(f"{name}={value}" for name, value in run.labels.items())
    protocol = f", protocol {receipt['protocol']}" if receipt.get("protocol") else ""
    yield "experiment", f"{run.experiment} ({labels}{protocol}), seed {receipt['seed']}"
    yield "versions", ", ".join(f"{name} {number}" for name, number in receipt["versions"].items() if number)
    yield "commit", _commit(receipt, run.directory)
    threads = f"{machine['num_threads']} thread(s) on {machine['cores']} core(s)"
    parts = [machine.get("host"), machine["cpu"], machine.get("instructions"), machine["system"]]
    parts += [machine["device"], machine.get("gpu"), threads]
    yield "machine", ", ".join(str(part) for part in parts if part)
    for number, session in enumerate(receipt.get("sessions", []), 1):
        yield f"session {number}", _session(session, is_last=number == len(receipt["sessions"]), run=run)
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


def _commit(receipt: Mapping[str, Any], directory: Path) -> str:
    if receipt["git_commit"] is None:
        return "unknown: rlrun was installed as a package"
    diff = directory / "code.diff"
    return f"{receipt['git_commit']}" + (f", with the changes in {diff}" if diff.is_file() else "")


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
    step = newest_checkpoint(directory)
    if step is None:
        return "none"
    best = ", and the best so far" if (directory / "checkpoints" / "best.state").is_file() else ""
    return f"step {step:,}{best}"
