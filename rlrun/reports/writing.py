"""The files of a report: a directory that is complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from rlrun.errors import UserError
from rlrun.reports.layout import Part, Picture, markdown, page
from rlrun.runs.manifest import MANIFEST

PAGE, TEXT = "report.html", "report.md"


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
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir():
        raise UserError(f"{directory} is a file; choose another --out")
    if directory.is_symlink():
        raise UserError(f"{directory} is a link; give the directory itself as --out")
    if other := sorted(path.name for path in directory.iterdir() if not _is_ours(path)):
        raise UserError(f"{directory} has something else than a report in it ({other[0]}); choose another --out")


def _is_ours(path: Path) -> bool:
    """Whether it is a file of a report: the page, the text, or a picture that has both formats."""
    twin = {".png": ".svg", ".svg": ".png"}.get(path.suffix)
    return path.name in (PAGE, TEXT) or (twin is not None and path.with_suffix(twin).is_file())


def write_report(directory: Path, title: str, parts: Sequence[Part]) -> None:
    """Writes the page, the text and the pictures to a temporary directory, which then replaces `directory`.

    Raises:
        UserError: if it cannot be written, or `directory` is something else than an earlier report.
    """
    check_replaceable(directory)
    temporary, replaced = (directory.with_name(f"{directory.name}.{kind}-{os.getpid()}") for kind in ("tmp", "old"))
    try:
        temporary.mkdir(parents=True)
        for part in parts:
            if isinstance(part, Picture):
                (temporary / f"{part.name}.png").write_bytes(part.png)
                (temporary / f"{part.name}.svg").write_bytes(part.svg)
        (temporary / TEXT).write_text(markdown(parts), encoding="utf-8")
        (temporary / PAGE).write_text(page(title, parts), encoding="utf-8")
        if directory.exists():
            directory.rename(replaced)
        try:
            temporary.rename(directory)
        except OSError:
            if replaced.exists():
                replaced.rename(directory)
            raise
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {directory}: {error.strerror}; choose another --out"
        ) from error
    finally:
        for path in (temporary, replaced):
            shutil.rmtree(path, ignore_errors=True)
