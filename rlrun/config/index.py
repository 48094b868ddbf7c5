"""`catalogue.json`, the generated index of our constructors, as plain data: for those who cannot wait for pydantic."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

VERSION = 1
FILE_NAME = "catalogue.json"

# Sections of a config that name no `_target_`, and the class whose fields they have.
SETTINGS = {
    "evaluation": "rlrun.loop.evaluate.EvaluationSettings",
    "checkpoint": "rlrun.runs.checkpoint.CheckpointSettings",
}


@cache
def index() -> Any:
    """The file's content, which `scripts/write_catalogue.py` documents."""
    content = json.loads(Path(__file__).with_name(FILE_NAME).read_text(encoding="utf-8"))
    assert content["version"] == VERSION
    return content
