from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.envs.tabular import random_walk_model
from rlrun.errors import UserError
from rlrun.pictures.as_text import as_text
from rlrun.pictures.tables_file import Shown, load_tables, save_tables
from rlrun.types import Tables, TabularModel


def lecture() -> TabularModel:
    return tabular_model(load_map("lecture"))


def tables_of(model: TabularModel, seed: int = 0) -> Tables:
    rng = np.random.default_rng(seed)
    shape = (model.num_states, model.num_actions)
    policy = model.legal / np.maximum(model.legal.sum(axis=1, keepdims=True), 1.0)
    visits = rng.integers(100, size=shape)
    return Tables(rng.normal(size=shape[0]), rng.normal(size=shape), policy, visits, gamma=0.9)


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut off", "without values"])
def test_tables_that_cannot_be_read_are_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    save_tables(tmp_path, Shown(tables_of(lecture()), lecture()))
    file = tmp_path / "tables.npz"
    whole = file.read_bytes()
    if damage == "without values":
        np.savez(file, legal=np.ones((2, 2), bool))
    else:
        file.write_bytes({"empty": b"", "garbage": b"no tables", "cut off": whole[: len(whole) // 2]}[damage])
    with pytest.raises(UserError) as refused:
        load_tables(tmp_path)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_directory_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        load_tables(tmp_path)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize("with_layout", [True, False])
@pytest.mark.parametrize("with_visits", [True, False])  # and with sample averages
def test_tables_come_back_as_they_were_saved(with_layout: bool, with_visits: bool, tmp_path: Path) -> None:
    model = lecture() if with_layout else random_walk_model(5, 0.0, 1.0)
    tables = replace(tables_of(model), sample_averages=np.linspace(-1.0, 1.0, model.num_states))
    if not with_visits:
        tables = Tables(tables.values, tables.q, tables.policy)
    save_tables(tmp_path, Shown(tables, model))
    again = load_tables(tmp_path)
    for name in ("values", "q", "policy", "visits", "sample_averages"):
        before, after = getattr(tables, name), getattr(again.tables, name)
        assert (before is None and after is None) or np.array_equal(before, after)
    assert (again.model.num_states, again.model.num_actions) == (model.num_states, model.num_actions)
    assert again.model.state_names == model.state_names
    assert again.model.action_names == model.action_names
    assert np.array_equal(again.model.legal, model.legal)
    assert np.array_equal(again.model.initial, model.initial)
    assert (again.model.layout is None) == (model.layout is None)
    if model.layout is not None and again.model.layout is not None:
        assert again.model.layout.marks == model.layout.marks
        assert again.model.layout.moves == model.layout.moves
        assert np.array_equal(again.model.layout.wall, model.layout.wall)
        assert np.array_equal(again.model.layout.terminal, model.layout.terminal)
    assert as_text(again) == as_text(Shown(tables, model))
