"""What a finished run with tables leaves behind, and `rlrun show`, against values that are known exactly."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlrun.agents.planning.policy_evaluation import PolicyEvaluation
from rlrun.agents.tables.policies import load_policy
from rlrun.build import Built, build
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.envs.tabular import random_walk_model
from rlrun.errors import UserError
from rlrun.loop.collect import empty_rollout
from rlrun.pictures.heat_map import CELL_PIXELS, draw_values
from rlrun.pictures.q_triangles import draw_q
from rlrun.pictures.sheet import PAD
from rlrun.pictures.table_pictures import (
    Shown,
    as_text,
    common_limits,
    frames_to_show,
    load_tables,
    picture,
    random_values,
    save_film,
    save_tables,
)
from rlrun.types import EnvSpec, GridLayout, Metrics, Rollout, Tables, TabularModel

CPU = torch.device("cpu")
DISTANCE = [[0, 1, 2, 3], [1, 2, 3, 2], [2, 3, 2, 1], [3, 2, 1, 0]]  # to the nearer corner of the lecture's grid
ARROWS = [["", "←", "←", "↓←"], ["↑", "↑←", "↑→↓←", "↓"], ["↑", "↑→↓←", "→↓", "↓"], ["↑→", "→", "→", ""]]
SHORT = ["device=cpu", "evaluation.episodes=2", "evaluation.num_envs=2"]


def rlrun(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rlrun", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run of value iteration, undiscounted, on the lecture's grid."""
    here = tmp_path_factory.mktemp("planned")
    words = ["algo=value_iteration", "env=gridworld", "algo.gamma=1", "name=a", *SHORT]
    done = rlrun(*words, f"runs_dir={here / 'runs'}", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    return here / "runs" / "gridworld" / "value_iteration" / "a" / "seed0"


def pixels(source: Path | io.BytesIO) -> NDArray[np.uint8]:
    with Image.open(source) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image, np.uint8)


def test_a_finished_plan_leaves_its_tables(planned: Path) -> None:
    with np.load(planned / "tables.npz", allow_pickle=False) as tables:
        arrays: dict[str, NDArray[Any]] = dict(tables)
    distance = np.array(DISTANCE).reshape(-1)
    np.testing.assert_allclose(arrays["values"], -distance, atol=1e-12)
    assert arrays["q"].shape == arrays["policy"].shape == arrays["legal"].shape == (16, 4)
    signs = {"↑": 0, "→": 1, "↓": 2, "←": 3}
    for state, arrows in enumerate(np.array(ARROWS).reshape(-1).tolist()):
        best = [signs[arrow] for arrow in arrows]
        assert np.flatnonzero(arrays["best"][state]).tolist() == best
        assert arrays["policy"][state].tolist() == [float(action == min(best, default=None)) for action in range(4)]
        if best:
            np.testing.assert_allclose(arrays["q"][state, best], -distance[state], atol=1e-12)
    assert arrays["action_names"].tolist() == ["north", "east", "south", "west"]
    assert arrays["terminal"].reshape(-1).nonzero()[0].tolist() == [0, 15]


def test_a_finished_plan_leaves_a_picture_on_disk_and_in_tensorboard(planned: Path) -> None:
    image = pixels(planned / "values.png")
    height, width, _ = image.shape
    assert 300 <= height <= 800
    assert 700 <= width <= 1400  # three pictures beside one another
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    events = EventAccumulator(str(planned))
    events.Reload()
    (event,) = events.Images("tables")
    assert event.step == 4
    assert (event.width, event.height) == (width, height)
    np.testing.assert_array_equal(pixels(io.BytesIO(event.encoded_image_string)), image)


def test_a_finished_plan_leaves_a_film_of_every_sweep(planned: Path) -> None:
    rows = [json.loads(line) for line in (planned / "metrics.jsonl").read_text().splitlines()]
    sweeps = sum("plan/residual" in row for row in rows)
    assert sweeps == 4  # the farthest cell is 3 steps away, and the fourth sweep changes nothing
    model = load_tables(planned).model
    assert model.layout is not None
    with Image.open(planned / "values.gif") as film:
        assert film.format == "GIF"
        assert getattr(film, "n_frames", 1) == sweeps + 1  # and the zeros that it began with
        frames = []
        for number in range(sweeps + 1):
            film.seek(number)
            frames.append(np.asarray(film.convert("RGB"), np.int64))
        assert film.info["duration"] == 2000
    values = [-np.minimum(np.array(DISTANCE), sweep).reshape(-1).astype(float) for sweep in range(sweeps + 1)]
    for number, frame in enumerate(frames):
        drawn = draw_values(model.layout, values[number], None, f"value_iteration: sweep {number}", limits=(-3.0, 0.0))
        assert frame.shape == drawn.shape
        # Cells have the colours of the values after so many sweeps; away from numbers and arrows, one pixel a cell.
        for row in range(4):
            for column in range(4):
                at = (_first_cell_top(drawn) + row * CELL_PIXELS + 8, PAD + column * CELL_PIXELS + 40)
                assert np.abs(frame[at] - drawn[at].astype(np.int64)).max() <= 8, (number, row, column)


def _first_cell_top(drawn: NDArray[np.uint8]) -> int:
    """The row at which the grid begins: the first one without paper in the columns of its cells."""
    paper = drawn[0, 0]
    inside = (drawn[:, PAD + 2 : PAD + 4 * CELL_PIXELS - 2] != paper).any(axis=2).mean(axis=1) > 0.95
    return int(inside.argmax())


def test_show_prints_the_grid_with_values_and_arrows(planned: Path) -> None:
    done = rlrun("show", str(planned), cwd=planned)
    assert (done.returncode, done.stderr) == (0, "")
    *_, one, two, three, four, pictures = done.stdout.splitlines()
    grid = [one, two, three, four]
    assert pictures == f"pictures: {planned / 'values.png'}, {planned / 'values.gif'}"
    words = [
        [word for at in range(4) for word in (["·"] if not distance[at] else [f"-{distance[at]}.00", arrows[at]])]
        for distance, arrows in zip(DISTANCE, ARROWS, strict=True)
    ]
    assert [line.split() for line in grid] == words


def shown_by(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = run_command(["rlrun", "show", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_show_refuses_what_is_no_run_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: str) -> str:
        status, out, err = shown_by(capsys, *words)
        assert (status, out) == (2, "")
        assert re.fullmatch(r"rlrun: error: [^\n]+\n", err)
        return err

    assert f"{tmp_path} is no run: there is no manifest.json in it" in refused(str(tmp_path))
    assert "nowhere is no run" in refused(str(tmp_path / "nowhere"))
    assert "the following arguments are required: directory" in refused()
    assert "unrecognized arguments: two" in refused("one", "two")


def lecture() -> TabularModel:
    return tabular_model(load_map("lecture"))


def tables_of(model: TabularModel, seed: int = 0) -> Tables:
    rng = np.random.default_rng(seed)
    shape = (model.num_states, model.num_actions)
    policy = model.legal / np.maximum(model.legal.sum(axis=1, keepdims=True), 1.0)
    visits = rng.integers(100, size=shape)
    return Tables(rng.normal(size=shape[0]), rng.normal(size=shape), policy, visits)


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut off", "without values"])
def test_tables_that_cannot_be_read_are_refused_in_one_line(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tables(tmp_path, Shown(tables_of(lecture()), lecture()))
    file = tmp_path / "tables.npz"
    whole = file.read_bytes()
    if damage == "without values":
        np.savez(file, legal=np.ones((2, 2), bool))
    else:
        file.write_bytes({"empty": b"", "garbage": b"no tables", "cut off": whole[: len(whole) // 2]}[damage])
    status, out, err = shown_by(capsys, str(tmp_path))
    assert (status, out) == (2, "")
    assert re.fullmatch(r"rlrun: error: \S+tables\.npz cannot be read: [^\n]+\n", err)


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


def test_tables_are_a_policy_for_other_runs(planned: Path) -> None:
    model = lecture()
    spec = EnvSpec("lecture", _numbers(16), _numbers(4), 1, model=model)
    policy = load_policy(str(planned), "algo.policy", spec, 16)
    assert policy[1].tolist() == [0, 0, 0, 1]
    assert policy[6].tolist() == [1, 0, 0, 0]  # of the four that are equally good it takes one


def test_damaged_tables_are_no_policy(planned: Path, tmp_path: Path) -> None:
    spec = EnvSpec("lecture", _numbers(16), _numbers(4), 1, model=lecture())
    whole = (planned / "tables.npz").read_bytes()
    for spoiled in (b"", whole[:100], b"x" * 1000):
        (tmp_path / "tables.npz").write_bytes(spoiled)
        with pytest.raises(UserError, match=r"algo\.policy: .*tables\.npz cannot be read as a run's tables"):
            load_policy(str(tmp_path), "algo.policy", spec, 16)


def _numbers(count: int) -> Any:
    return spaces.Discrete(count)


def test_the_random_policy_is_worth_what_the_book_says() -> None:
    expected = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]  # figure 4.1
    values = random_values(lecture(), 1.0)
    assert values is not None
    np.testing.assert_allclose(values, expected, atol=1e-4)
    walk = random_values(random_walk_model(19, -1.0, 1.0), 1.0)
    assert walk is not None
    np.testing.assert_allclose(walk[1:-1], np.linspace(-0.9, 0.9, 19), atol=1e-4)


def test_the_random_policy_is_left_out_where_it_has_no_value_in_a_moment() -> None:
    assert random_values(random_walk_model(10_001, 0.0, 1.0), 1.0) is None
    one = np.array([0])
    endless = TabularModel(
        1, 1, one, one, one, np.ones(1), np.ones(1), np.ones(1), np.ones(1), np.ones((1, 1), bool)
    )  # fmt: skip
    assert random_values(endless, 1.0) is None
    half = random_values(endless, 0.5)
    assert half is not None
    np.testing.assert_allclose(half, [2.0], atol=1e-5)


def test_a_grids_picture_is_the_random_policy_the_values_and_q() -> None:
    model = lecture()
    layout, tables = _layout_of(model), tables_of(model)
    image = picture(Shown(tables, model), 0.9, "mine")
    assert image is not None
    chance = random_values(model, 0.9)
    assert chance is not None
    both = np.concatenate([chance, tables.values])[np.tile(model.legal.any(axis=1), 2)]
    limits = (float(both.min()), float(both.max()))  # what is compared has the same colours
    first = draw_values(layout, chance, tables.policy, "random policy: V", limits=limits)
    second = draw_values(layout, tables.values, tables.policy, "mine: V", limits=limits)
    third = draw_q(layout, tables.q, model.legal, "mine: Q")
    assert np.array_equal(image[: first.shape[0], : first.shape[1]], first)
    assert np.array_equal(image[: third.shape[0], -third.shape[1] :], third)
    assert _holds(image, second)


def test_what_would_be_one_shade_beside_the_random_policy_has_colours_of_its_own() -> None:
    chance, close, far = np.array([-1000.0, -500.0]), np.array([-900.0, -800.0]), np.array([-12.0, -1.0])
    assert common_limits(chance, close) == (-1000.0, -500.0)
    assert common_limits(chance, far) is None
    assert common_limits(chance, np.array([0.0, 0.0])) == (-1000.0, 0.0)  # no shades to lose
    assert common_limits(chance, np.array([np.nan, np.inf])) == (-1000.0, -500.0)


def _layout_of(model: TabularModel) -> GridLayout:
    assert model.layout is not None
    return model.layout


def _holds(image: NDArray[np.uint8], part: NDArray[np.uint8]) -> bool:
    """Whether `part` stands somewhere along the top of `image`."""
    height, width, _ = part.shape
    return any(np.array_equal(image[:height, x : x + width], part) for x in range(image.shape[1] - width + 1))


def test_without_q_or_with_other_moves_there_are_no_triangles() -> None:
    model = lecture()
    tables = tables_of(model)
    whole = picture(Shown(tables, model), 0.9, "mine")
    unknown = Tables(tables.values, np.full_like(tables.q, np.nan), tables.policy)
    without = picture(Shown(unknown, model), 0.9, "mine")
    assert whole is not None
    assert without is not None
    assert without.shape[1] < whole.shape[1] - 300
    assert np.array_equal(without, whole[: without.shape[0], : without.shape[1]])


def test_a_few_states_that_are_no_cells_are_a_table_and_many_have_no_picture() -> None:
    few, many = random_walk_model(5, 0.0, 1.0), random_walk_model(60, 0.0, 1.0)
    assert picture(Shown(tables_of(few), few), 1.0, "walk") is not None
    assert picture(Shown(tables_of(many), many), 1.0, "walk") is None


@pytest.mark.parametrize("count", [1, 2, 59, 60, 61, 100, 9999])
def test_films_show_the_first_sweeps_the_last_and_ever_fewer_between(count: int) -> None:
    shown = frames_to_show(count)
    assert shown[0] == 0
    assert shown[-1] == count - 1
    assert len(shown) == min(count, 60) or 50 <= len(shown) <= 60
    assert shown == sorted(set(shown))
    if count <= 60:
        assert shown == list(range(count))
    else:
        assert shown[:30] == list(range(30))
        gaps = np.diff(shown[30:])
        assert (np.diff(gaps) >= -1).all(), "rounding aside, gaps never shrink"


def test_large_grids_are_not_filmed(tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError("it must not plan again")

    save_film(tmp_path, never, GridLayout(np.zeros((21, 20), bool), np.zeros((21, 20), bool)), "large", 3)
    assert list(tmp_path.iterdir()) == []


def test_long_plans_are_filmed_in_sixty_frames(tmp_path: Path) -> None:
    model = lecture()
    spec = EnvSpec("lecture", _numbers(16), _numbers(4), 1, model=model)

    def make() -> PolicyEvaluation:
        return PolicyEvaluation(policy="uniform", gamma=1.0, tolerance=1e-3, spec=spec, device=CPU)

    planner, sweeps = make(), 0
    while not planner.finished:
        planner.learn(empty_rollout(CPU))
        sweeps += 1
    save_film(tmp_path, make, _layout_of(model), "mine", sweeps)
    with Image.open(tmp_path / "values.gif") as film:
        assert sweeps + 1 > 60
        assert getattr(film, "n_frames", 1) == len(frames_to_show(sweeps + 1)) <= 60


def test_a_film_shows_as_many_sweeps_as_the_run_took(tmp_path: Path) -> None:
    model = lecture()
    spec = EnvSpec("lecture", _numbers(16), _numbers(4), 1, model=model)
    save_film(
        tmp_path,
        lambda: PolicyEvaluation(policy="uniform", gamma=1.0, tolerance=1e-3, spec=spec, device=CPU),
        _layout_of(model),
        "mine",
        3,
    )
    with Image.open(tmp_path / "values.gif") as film:
        assert getattr(film, "n_frames", 1) == 4


def test_a_film_that_fails_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    model = lecture()
    spec = EnvSpec("lecture", _numbers(16), _numbers(4), 1, model=model)

    class Failing(PolicyEvaluation):
        def learn(self, rollout: Rollout) -> Metrics:
            raise UserError("no more")

    log = logging.getLogger("rlrun.agents")
    before = log.level
    with pytest.raises(UserError, match="no more"):
        save_film(
            tmp_path,
            lambda: Failing(policy="uniform", gamma=1.0, tolerance=1e-3, spec=spec, device=CPU),
            _layout_of(model),
            "mine",
            3,
        )
    assert log.level == before != logging.WARNING


class Kept:
    """A logger that remembers its pictures."""

    def __init__(self) -> None:
        self.images: list[tuple[int, str, NDArray[np.uint8]]] = []

    def write(self, step: int, values: Mapping[str, float]) -> None:
        raise AssertionError("keeping tables writes no row")

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        self.images.append((step, name, image))

    def close(self) -> None: ...


def built(tmp_path: Path, *words: str) -> Built:
    config = load_config([*words, *SHORT, "logger=none", f"runs_dir={tmp_path / 'runs'}"], [config_directory()])
    return build(config)


def kept(tmp_path: Path, *words: str, turns: int = 50) -> tuple[list[str], Kept, Path]:
    """What is in the directory when an agent that has learned for some turns is asked to leave its tables."""
    made = built(tmp_path, *words)
    run, logger = made.run, Kept()
    for _ in range(turns):
        run.agent.learn(run.collector.collect(run.agent))
    run.directory.mkdir(parents=True)
    run.keep(17, logger)
    made.close()
    return sorted(path.name for path in run.directory.iterdir()), logger, run.directory


@pytest.mark.parametrize("algo", ["q_learning", "sarsa", "td", "linear_q", "linear_v"])
def test_learners_leave_tables_and_a_picture_but_no_film(algo: str, tmp_path: Path) -> None:
    names, logger, directory = kept(tmp_path, f"algo={algo}", "env=gridworld")
    assert names == ["tables.npz", "values.png"]
    ((step, name, image),) = logger.images
    assert (step, name) == (17, "tables")
    np.testing.assert_array_equal(pixels(directory / "values.png"), image)
    text = as_text(load_tables(directory))
    assert len(text.splitlines()) == 4
    assert text.count("·") == 2


def test_states_that_are_no_cells_are_shown_as_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, _, directory = kept(tmp_path, "algo=value_iteration", "env=racing_car", "algo.gamma=0.5", turns=60)
    assert names == ["tables.npz", "values.png"]
    status, out, _ = shown_by(capsys, str(directory))
    assert status == 0
    head, *rows, pictures = out.splitlines()
    assert head.split() == ["state", "V", "slow", "fast"]
    numbers = [[row.split()[0], *(float(text.rstrip("*")) for text in row.split()[1:] if text != "-")] for row in rows]
    # Worked by hand: V(cool) = 2 + (V(cool) + V(warm)) / 4 = 3.5 and V(warm) = 1 + (V(cool) + V(warm)) / 4 = 2.5, so
    # that Q(cool, slow) = 1 + 3.5 / 2 = 2.75.
    assert numbers == [["cool", 3.5, 2.75, 3.5], ["warm", 2.5, 2.5, -10.0], ["overheated", 0.0]]
    assert [row.count("*") for row in rows] == [1, 1, 0]
    assert pictures == f"pictures: {directory / 'values.png'}"


def test_show_prints_q_where_it_is_asked_for(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = shown_by(capsys, str(planned), "--q")
    assert status == 0
    text = out.split("\nQ:\n")[1].splitlines()
    # Beside the corner: west ends the episode for -1; a step north or south, and back, is worth -2 or -3.
    assert text[:4] == [
        "   ·      ↑ -2.00   ↑ -3.00   ↑ -4.00",
        "          → -3.00   → -4.00   → -4.00",
        "          ↓ -3.00   ↓ -4.00   ↓ -3.00*",
        "          ← -1.00*  ← -2.00*  ← -3.00*",
    ]
    assert len(text) == 4 * 4 + 3 + 1  # a line between rows of cells, and the one that names the pictures


def test_show_prints_mean_returns_and_visits_of_td(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, directory = kept(tmp_path, "algo=td", "env=gridworld", turns=200)
    tables = load_tables(directory).tables
    assert tables.sample_averages is not None
    assert tables.visits is not None
    assert tables.visits.shape == (16, 1)
    assert tables.visits.sum() == 200 * 64
    status, out, _ = shown_by(capsys, str(directory), "--q")
    assert status == 0
    _, means, visits, q = re.split(r"\n\n(?:mean of the returns seen|visits|Q):\n", out)
    seen = [float(word) for word in means.split() if word != "·"]
    np.testing.assert_allclose(seen, tables.sample_averages[1:15], atol=0.005)
    counted = [int(word) for word in visits.split() if word != "·"]
    assert counted == tables.visits[1:15, 0].tolist()
    assert q.startswith("nothing is known of it")


@pytest.mark.parametrize("words", [["algo=q_learning", "env=short_corridor"], ["algo=random", "env=gridworld"]])
def test_agents_without_tables_of_states_leave_nothing(words: list[str], tmp_path: Path) -> None:
    names, logger, _ = kept(tmp_path, *words, turns=2)
    assert names == []
    assert logger.images == []


def test_taxis_five_hundred_states_leave_tables_and_no_picture(tmp_path: Path) -> None:
    names, logger, directory = kept(tmp_path, "algo=q_learning", "env=gym", "env.id=Taxi-v4", turns=2)
    assert names == ["tables.npz"]
    assert logger.images == []
    assert as_text(load_tables(directory)).splitlines()[-1] == "... and 450 more states"
