"""`rlrun explain algo=... env=... [key]`: what every number of a run is, where it comes from and what it means."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from rlrun.cli.arguments import Arguments

if TYPE_CHECKING:
    from rlrun.config.explain import Explanation, Row

_COLUMNS = ("key", "value", "type and range", "unit", "from", "meaning", "source and notes")


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "overrides",
        nargs="+",
        metavar="key=value",
        help="as for a run; a key without a value shows only that",
        kind="keys",
    )
    parser.add_argument("--config-dir", metavar="DIR", help="where to look for options of your own", kind="directory")


def run(chosen: Namespace) -> int:
    """Prints the keys of the run that the overrides describe: a table on a terminal, else tab-separated lines.

    Raises:
        UserError: if there can be no such run.
    """
    from rlrun.config.explain import explanation
    from rlrun.config.files import config_directories

    overrides = [given for given in chosen.overrides if "=" in given or given.startswith("~")]
    prefixes = [given for given in chosen.overrides if given not in overrides]
    found = explanation(overrides, config_directories(chosen.config_dir), prefixes)
    if len(found.rows) == 1:
        print("\n".join(_block(found.rows[0], found)))
    elif sys.stdout.isatty():
        _print_table(found)
    else:
        print("\n".join(_plain(found)))
    return 0


def _cells(row: Row) -> tuple[str, ...]:
    from rlrun.annotations.type_words import shown

    key = row.key
    value = "" if key.value is None and key.kind == "a section" else shown(key.value)
    return key.name, value, key.kind, key.unit or "", row.place, key.meaning.rstrip("."), row.note


def _block(row: Row, found: Explanation) -> list[str]:
    lines = [f"{name:<17} {cell}" for name, cell in zip(_COLUMNS, _cells(row), strict=True) if cell]
    for _, target, about in found.components:
        lines += [f"{'component':<17} {target}: {about.summary}", *(f"{'paper':<17} {text}" for text in about.sources)]
    return lines


def _plain(found: Explanation) -> list[str]:
    lines = ["# " + "\t".join(_COLUMNS)]
    components = {name: (target, about) for name, target, about in found.components}
    for row in found.rows:
        if row.key.name in components:
            target, about = components[row.key.name]
            lines.append(f"# {row.key.name}: {target}: {about.summary}")
            lines += [f"# {row.key.name}: {text}" for text in about.sources]
        lines.append("\t".join(_cells(row)))
    return lines


def _print_table(found: Explanation) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    components = {name: (target, about) for name, target, about in found.components}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("key", "value", "what it is", "from"):
        table.add_column(name, overflow="fold")
    for row in found.rows:
        key, value, kind, unit, place, meaning, note = map(escape, _cells(row))
        if row.key.name in components:
            _, about = components[row.key.name]
            papers = "".join(f"\n[italic]{escape(text)}[/italic]" for text in about.sources)
            meaning = f"{meaning}\n{escape(about.summary)}{papers}"
            table.add_section()
        range_ = f"[dim]{kind}{', ' + unit if unit else ''}[/dim]"
        notes = f"\n[dim]{note}[/dim]" if note else ""
        table.add_row(f"[bold]{key}[/bold]", value, f"{meaning}\n{range_}{notes}", place)
    console.print(table)
