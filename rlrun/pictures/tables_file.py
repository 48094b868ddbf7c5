"""`tables.npz`: the tables of an agent at the end of its run, with names and positions of states."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rlrun.agents.tables.policies import TABLES
from rlrun.errors import UserError
from rlrun.files import write_atomically
from rlrun.types import GridLayout, Tables, TabularModel

PICTURE, VIDEO = "values.png", "values.gif"  # next to it


@dataclass(frozen=True, slots=True)
class Shown:
    """Tables, and the model that names their rows and columns."""

    tables: Tables
    model: TabularModel


def save_tables(directory: Path, shown: Shown) -> None:
    """Writes `tables.npz`: the tables, and the names and the layout of the states."""
    tables, model = shown.tables, shown.model
    arrays: dict[str, NDArray[np.generic]] = {
        "values": tables.values,
        "q": tables.q,
        "policy": tables.policy,
        "legal": model.legal,
        "initial": model.initial,
        "state_names": np.array(model.state_names, np.str_),
        "action_names": np.array(model.action_names, np.str_),
    }
    if tables.visits is not None:
        arrays["visits"] = tables.visits
    if tables.sample_averages is not None:
        arrays["sample_averages"] = tables.sample_averages
    if tables.best is not None:
        arrays["best"] = tables.best
    if model.layout is not None:
        layout = model.layout
        arrays |= {"wall": layout.wall, "terminal": layout.terminal, "marks": np.array(layout.marks, np.str_)}
        arrays["moves"] = np.array(layout.moves)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(directory / TABLES, lambda file: file.write(buffer.getvalue()))


def load_tables(directory: Path) -> Shown:
    """Reads what `save_tables` wrote.

    Raises:
        UserError: if there are no tables, or they cannot be read.
    """
    path = directory / TABLES
    if not path.is_file():
        raise UserError(f"{directory} has no {TABLES}: only finished runs of agents with tables have one")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            layout = None
            if "wall" in arrays:
                moves = tuple((int(row), int(column)) for row, column in arrays["moves"])
                layout = GridLayout(arrays["wall"], arrays["terminal"], tuple(map(str, arrays["marks"])), moves)
            none, nothing = np.zeros(0, np.int64), np.zeros(0)
            num_states, num_actions = arrays["legal"].shape
            model = TabularModel(  # names and layout; without its transitions
                num_states,
                num_actions,
                none,
                none,
                none,
                nothing,
                nothing,
                nothing,
                arrays["initial"],
                arrays["legal"],
                tuple(map(str, arrays["state_names"])),
                tuple(map(str, arrays["action_names"])),
                layout,
            )
            further = (arrays.get(name) for name in ("visits", "sample_averages", "best"))
            return Shown(Tables(arrays["values"], arrays["q"], arrays["policy"], *further), model)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
