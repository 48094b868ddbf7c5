"""The files of a report: a directory that is complete or absent."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from rlrun.errors import UserError
from rlrun.reports.layout import GENERATOR, Part, Picture, markdown, page
from rlrun.runs.manifest import MANIFEST

PAGE, TEXT = "report.html", "report.md"
_LINK = re.compile(r"^!\[.*\]\((.+)\.png\)$", re.MULTILINE)  # Picture.as_markdown


def default_directory(directories: Sequence[Path]) -> Path:
    """`report` in the directory that was given, or of several in the deepest one that has all; next to a single run."""
    places = [path.parent if (path / MANIFEST).exists() else path for path in map(Path.absolute, directories)]
    common = Path(os.path.commonpath([str(place) for place in places]))
    return Path(os.path.relpath(common / "report")) if common.is_relative_to(Path.cwd()) else common / "report"


def check_replaceable(directory: Path) -> None:
    """Makes sure that writing to `directory` removes nothing but an earlier report.

    Raises:
        UserError: if there is something else.
    """
    if not os.path.lexists(os.path.realpath(directory)):
        return
    if not directory.is_dir():
        raise UserError(f"{directory} is a file; choose another --out")
    entries = sorted(directory.iterdir())
    if not entries:
        return
    if not _is_file(directory / PAGE) or GENERATOR not in (directory / PAGE).read_text("utf-8", errors="replace"):
        raise UserError(f"{directory} exists and is not a report; choose another --out")
    own = _files_of(directory)
    foreign = [path.name for path in entries if path.name not in own or not _is_file(path)]
    if foreign:
        raise UserError(f"{directory} holds {foreign[0]!r}, which is not part of its report; choose another --out")


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _files_of(directory: Path) -> set[str]:
    """Names of all files that belong to the report in `directory`: its text links to the pictures."""
    text = directory / TEXT
    linked = _LINK.findall(text.read_text("utf-8", errors="replace")) if _is_file(text) else []
    return {PAGE, TEXT, *(f"{name}.{ending}" for name in linked for ending in ("png", "svg"))}


def write_report(directory: Path, title: str, parts: Sequence[Part]) -> None:
    """Writes the page, the text and the pictures to a temporary directory, which then replaces `directory`.

    A link stays, and the directory that it points to is replaced. What cannot be replaced stays as it is.

    Raises:
        UserError: if it cannot be written, or `directory` is something else than an earlier report.
    """
    target = Path(os.path.realpath(directory))
    work = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    new, old = work / "new", work / "old"
    try:
        work.mkdir(parents=True)
        try:
            _write(new, title, parts)
            check_replaceable(directory)
            if target.exists():
                target.rename(old)
            new.rename(target)
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {directory}: {error.strerror}; choose another --out"
        ) from error


def _write(directory: Path, title: str, parts: Sequence[Part]) -> None:
    directory.mkdir()
    for part in parts:
        if isinstance(part, Picture):
            (directory / f"{part.name}.png").write_bytes(part.png)
            (directory / f"{part.name}.svg").write_bytes(part.svg)
    (directory / TEXT).write_text(markdown(parts), encoding="utf-8")
    (directory / PAGE).write_text(page(title, parts), encoding="utf-8")
