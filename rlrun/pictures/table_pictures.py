"""What a run with tables leaves behind: `tables.npz`, pictures of V, Q and the policy, and a film of planning."""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rlrun.agents.tables.policies import TABLES, uniform_policy
from rlrun.errors import UserError
from rlrun.files import write_atomically
from rlrun.loop.collect import empty_rollout
from rlrun.numerics.bellman import Bellman
from rlrun.pictures.as_text import q_as_text, values_as_text
from rlrun.pictures.film import write_film
from rlrun.pictures.heat_map import draw_values
from rlrun.pictures.q_triangles import draw_q
from rlrun.pictures.sheet import side_by_side
from rlrun.pictures.table import draw_table, table_as_text
from rlrun.protocols import Agent, Tabular
from rlrun.types import Float64Array, GridLayout, Tables, TabularModel

PICTURE, FILM = "values.png", "values.gif"
_MOST_CELLS_WITH_Q = 400  # beyond, triangles are too small to read
_MOST_STATES_IN_TABLE = 50
_MOST_CELLS_IN_FILM = 400
_MOST_FRAMES = 60
_MOST_SWEEPS_IN_FILM = 10_000
_COMPASS = {(-1, 0), (0, 1), (1, 0), (0, -1)}
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Shown:
    """Tables, and the model that says what their rows and columns are."""

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


def as_text(shown: Shown) -> str:
    """The values for a terminal: a grid with arrows, or a row for each state with all that is known of it."""
    tables, model = shown.tables, shown.model
    if model.layout is not None:
        return values_as_text(model.layout, tables.values, tables.arrows)
    visits = None if tables.visits is None else tables.visits.sum(axis=1)
    return table_as_text(model, tables.values, tables.q, sample_averages=tables.sample_averages, visits=visits)


def more_as_text(shown: Shown, *, with_q: bool) -> Iterator[tuple[str, str]]:
    """What is known of a grid besides its values, each with its heading: sample averages, visits, and Q if asked for.

    Yields nothing where states are no cells: there `as_text` says it all.
    """
    tables, model = shown.tables, shown.model
    if model.layout is None:
        return
    if tables.sample_averages is not None:
        yield "mean of the returns seen", values_as_text(model.layout, tables.sample_averages, None)
    if tables.visits is not None:
        visits = tables.visits.sum(axis=1).astype(np.float64)
        yield "visits", values_as_text(model.layout, visits, None, counts=True)
    if with_q:
        known = not np.isnan(tables.q[model.legal]).all()
        q = q_as_text(model.layout, tables.q, model.legal) if known else "nothing is known of it"
        yield "Q", q or f"too large for a terminal; {PICTURE} may have it"


def random_values(model: TabularModel, gamma: float) -> Float64Array | None:
    """What the uniformly random policy is worth, up to sweeps of 1e-6; None where that is not to be had in a moment."""
    if model.num_states > 10_000 or not len(model.state):
        return None
    bellman = Bellman(model, _CPU)
    policy = bellman.legal / bellman.legal.sum(dim=0).clamp(min=1)
    values = torch.zeros(model.num_states, dtype=torch.float64)
    for _ in range(20_000):
        updated = bellman.expected(bellman.q_values(values, gamma), policy)
        residual = float((updated - values).abs().max())
        values = updated
        if residual <= 1e-6:
            return values.numpy()
    return None


def picture(shown: Shown, gamma: float, title: str) -> NDArray[np.uint8] | None:
    """The random policy beside what was found, with Q where cells are large enough; None where nothing fits a picture.

    Args:
        shown: tables and the whole model.
        gamma: discount factor, for the value of the random policy.
        title: of what was found.

    Returns:
        RGB uint8 [h, w, 3].
    """
    tables, model = shown.tables, shown.model
    if model.layout is None:
        small = model.num_states <= _MOST_STATES_IN_TABLE
        return draw_table(model, tables.values, tables.q, title) if small else None
    sheets = []
    by_chance = random_values(model, gamma)
    limits, remark = None, ""
    if by_chance is not None:
        playable = model.legal.any(axis=1)
        limits = common_limits(by_chance[playable], tables.values[playable])
        remark = "" if limits is not None else ", in colours of its own"
        sheets.append(
            draw_values(model.layout, by_chance, uniform_policy(model.legal), "random policy: V", limits=limits)
        )
    sheets.append(draw_values(model.layout, tables.values, tables.arrows, f"{title}: V{remark}", limits=limits))
    has_q = bool(np.isfinite(tables.q[model.legal]).all())
    if has_q and set(model.layout.moves) == _COMPASS and model.num_states <= _MOST_CELLS_WITH_Q:
        sheets.append(draw_q(model.layout, tables.q, model.legal, f"{title}: Q"))
    return side_by_side(sheets)


def common_limits(by_chance: Float64Array, found: Float64Array) -> tuple[float, float] | None:
    """The least and greatest finite value of both, so that one colour means one value in pictures that are compared.

    None where what was found would then be all of one shade, within a tenth of the colours: beside a cliff the random
    policy loses hundreds, and the best one a dozen.
    """
    chance, best = (values[np.isfinite(values)] for values in (by_chance, found))
    both = np.concatenate([chance, best])
    if not both.size:
        return 0.0, 0.0
    low, high = float(both.min()), float(both.max())
    own = float(np.ptp(best)) if best.size else 0.0
    return None if 0.0 < own < 0.1 * (high - low) else (low, high)


def save_picture(directory: Path, image: NDArray[np.uint8]) -> None:
    """Writes `values.png`."""
    write_atomically(directory / PICTURE, lambda file: Image.fromarray(image).save(file, "PNG"))


def save_film(
    directory: Path, make_planner: Callable[[], Agent], layout: GridLayout, title: str, num_sweeps: int
) -> None:
    """Plans again from the beginning, which is quick, and films the values sweep by sweep into `values.gif`.

    Does nothing on grids that are too large for it. Of more than 10,000 sweeps, it films the first 10,000.

    Args:
        directory: of the run.
        make_planner: makes the run's planner as it began.
        layout: of the grid.
        title: of every frame.
        num_sweeps: that the run took.
    """
    if layout.wall.size > _MOST_CELLS_IN_FILM:
        return
    planner = make_planner()
    assert isinstance(planner, Tabular)
    num_sweeps = min(num_sweeps, _MOST_SWEEPS_IN_FILM)
    chosen = frames_to_show(num_sweeps + 1)
    history = {0: planner.tables()}
    with _quiet(logging.getLogger("rlrun.agents")):  # it has said before that its values settled
        for sweep in range(1, num_sweeps + 1):
            planner.learn(empty_rollout(_CPU))
            if sweep in chosen:
                history[sweep] = planner.tables()
    seen = np.concatenate([history[index].values for index in chosen])
    limits = (float(seen.min()), float(seen.max()))
    frames = [
        draw_values(layout, history[index].values, history[index].arrows, f"{title}: sweep {index}", limits=limits)
        for index in chosen
    ]
    write_film(directory / FILM, frames, seconds_per_frame=0.4)


@contextmanager
def _quiet(log: logging.Logger) -> Iterator[None]:
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def frames_to_show(count: int) -> list[int]:
    """At most 60 of the indices 0 ... count - 1: all of the first ones, then ever fewer, and the last."""
    if count <= _MOST_FRAMES:
        return list(range(count))
    dense = _MOST_FRAMES // 2
    later = np.geomspace(dense, count - 1, _MOST_FRAMES - dense).round().astype(int)
    return sorted({*range(dense), *later.tolist()})
