"""Config files of one's own, as tests want them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rlrun.config.files import config_directory


def with_files(directory: Path, files: Mapping[str, str]) -> list[Path]:
    """`directory` with YAML files (`group/name`: text), before rlrun's own: where config files are searched."""
    for name, text in files.items():
        path = directory / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return [directory, config_directory()]
