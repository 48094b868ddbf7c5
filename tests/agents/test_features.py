"""Features against numbers worked by hand, and a user's own features by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.agents.linear.features import Flat, OneHot, Paired, TileCoding, count_features
from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.cartpole import CartPole
from rlrun.envs.gridworld import GridWorld
from rlrun.errors import UserError
from rlrun.types import EnvSpec

CPU = torch.device("cpu")


def box(low: list[float], high: list[float], num_actions: int = 2) -> EnvSpec:
    space = spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)
    return EnvSpec("box", space, spaces.Discrete(num_actions), 3)


def numbered(num_states: int, num_actions: int = 2) -> EnvSpec:
    return EnvSpec("numbered", spaces.Discrete(num_states), spaces.Discrete(num_actions), 3)


def coding(spec: EnvSpec, **changes: Any) -> TileCoding:
    numbers: dict[str, Any] = {"num_tilings": 2, "tiles": 4, "low": None, "high": None}
    return TileCoding(spec=spec, device=CPU, **numbers | changes)


def ones_of(features: Tensor) -> list[list[int]]:
    """Where each row is 1; everything else must be 0."""
    assert bool(((features == 0.0) | (features == 1.0)).all())
    return [row.nonzero().flatten().tolist() for row in features]


def test_one_hot_is_1_at_the_number_of_the_state() -> None:
    features = OneHot(spec=numbered(4))
    assert features.num_features == 4
    rows = features(torch.tensor([2, 0, 3]))
    assert rows.dtype == torch.float64
    assert rows.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_flat_is_the_observation_row_by_row() -> None:
    space = spaces.Box(-1.0, 1.0, (2, 3), np.float32)
    features = Flat(spec=EnvSpec("box", space, spaces.Discrete(2), 2))
    assert features.num_features == 6
    obs = torch.arange(12, dtype=torch.float32).reshape(2, 2, 3) / 16
    rows = features(obs)
    assert rows.dtype == torch.float64
    assert rows.tolist() == [[i / 16 for i in range(6)], [i / 16 for i in range(6, 12)]]


def test_flat_gives_pictures_in_units_of_white() -> None:
    space = spaces.Box(0, 255, (1, 2, 2), np.uint8)
    features = Flat(spec=EnvSpec("picture", space, spaces.Discrete(2), 1))
    assert features(torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8)).tolist() == [[0.0, 0.2, 0.4, 1.0]]


def test_tiles_along_one_dimension_worked_by_hand() -> None:
    # Tiles are 2 wide: the first tiling's edges lie at 0, 2, 4 ..., the second's half a tile before, at -1, 1, 3 ...
    features = coding(box([0.0], [8.0]))
    assert features.num_features == 2 * 5
    obs = torch.tensor([[0.5], [1.0], [1.9], [2.0], [4.5], [6.9], [7.0]])
    assert features.tiles_of(obs).tolist() == [[0, 5], [0, 6], [0, 6], [1, 6], [2, 7], [3, 8], [3, 9]]
    assert ones_of(features(obs)) == features.tiles_of(obs).tolist()


def test_tiles_along_two_dimensions_worked_by_hand() -> None:
    # Shifts, in tiles: (0, 0), (1/4, 3/4), (1/2, 6/4 - 1), (3/4, 9/4 - 2). Tile (x, y) of tiling t is x + 3 y + 9 t.
    features = coding(box([0.0, -1.0], [2.0, 1.0]), num_tilings=4, tiles=2)
    assert features.num_features == 4 * 9
    obs = torch.tensor([[0.3, -0.4], [1.3, 0.6]])  # the second is one tile further along both
    expected = [
        [0, 0 + 3 * 1 + 9, 0 + 3 * 1 + 18, 1 + 3 * 0 + 27],
        [1 + 3 * 1, 1 + 3 * 2 + 9, 1 + 3 * 2 + 18, 2 + 3 * 1 + 27],
    ]
    assert ones_of(features(obs)) == expected


@pytest.mark.parametrize(("num_tilings", "tiles", "dimensions"), [(1, 1, 1), (8, 8, 2), (5, 3, 3), (16, 2, 4)])
def test_every_tiling_has_one_tile_for_every_point(num_tilings: int, tiles: int, dimensions: int) -> None:
    features = coding(box([-1.0] * dimensions, [3.0] * dimensions), num_tilings=num_tilings, tiles=tiles)
    rng = np.random.default_rng(0)
    obs = torch.from_numpy(rng.uniform(-2.0, 4.0, (2000, dimensions)).astype(np.float32))
    rows = features(obs)
    assert rows.shape == (2000, features.num_features)
    per_tiling = rows.reshape(2000, num_tilings, (tiles + 1) ** dimensions)
    assert bool((per_tiling.sum(dim=2) == 1.0).all())
    assert bool(((rows == 0.0) | (rows == 1.0)).all())


def test_neighbours_share_as_many_tiles_as_the_shifts_imply() -> None:
    # Along one dimension the edges of 8 tilings lie 1/8 of a tile apart: j/8 of a tile further, j tiles have changed.
    features = coding(box([0.0], [4.0]), num_tilings=8)
    start = 1.0 + 1 / 16
    steps = torch.arange(12, dtype=torch.float32)
    rows = features((start + steps / 8)[:, None])
    assert (rows @ rows[0]).tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0]
    # Two dimensions, 4 tilings: edges of x at 0, 1/4, 1/2, 3/4, of y (by tiling) at 0, 3/4, 1/2, 1/4 below a tile's.
    square = coding(box([0.0, 0.0], [4.0, 4.0]), num_tilings=4)
    here = torch.tensor([[1.125, 1.125]])
    moves = torch.tensor([[0.25, 0.0], [0.0, 0.25], [0.25, 0.25], [0.5, -0.25], [-0.25, 0.25], [1.0, 0.0]])
    # From 1/8, 1/4 of a tile further along x only tiling 3 (shift 3/4) changes; along y only tiling 1 (shift 3/4), so
    # along both two do. 1/2 along x: tilings 2 and 3; -1/4 along y: tiling 0. -1/4 along x: tiling 0.
    assert (square(here + moves) @ square(here)[0]).tolist() == [3, 3, 2, 1, 2, 0]


def test_points_outside_count_as_on_the_border() -> None:
    features = coding(box([0.0, 0.0], [8.0, 8.0]), num_tilings=4)
    border = torch.tensor([[0.0, 0.0], [8.0, 8.0], [0.0, 8.0], [3.0, 8.0]])
    outside = torch.tensor([[-5.0, -0.1], [8.1, 1e30], [-1e30, 9.0], [3.0, 100.0]])
    assert features.tiles_of(outside).tolist() == features.tiles_of(border).tolist()
    # The point just inside the end is in the same tile of the tiling that is not shifted.
    assert features.tiles_of(torch.tensor([[7.9, 7.9]]))[0, 0] == features.tiles_of(border)[1, 0] == 3 + 5 * 3


def test_low_and_high_replace_the_spaces_own() -> None:
    spec = box([0.0], [100.0])
    zoomed = coding(spec, low=[0.0], high=[8.0])
    plain = coding(box([0.0], [8.0]))
    obs = torch.tensor([[0.5], [6.9], [50.0]])
    assert zoomed.tiles_of(obs).tolist() == plain.tiles_of(obs).tolist()
    only_high = coding(spec, high=[8.0])
    assert only_high.tiles_of(obs).tolist() == plain.tiles_of(obs).tolist()


def test_paired_puts_the_state_into_the_block_of_the_action() -> None:
    features = Paired(features=Flat(spec=box([0.0, 0.0], [9.0, 9.0], 3)), spec=box([0.0, 0.0], [9.0, 9.0], 3))
    assert features.num_features == 6
    assert features.of_pairs(torch.tensor([[2.0, 3.0], [4.0, 5.0]])).tolist() == [
        [[2, 3, 0, 0, 0, 0], [0, 0, 2, 3, 0, 0], [0, 0, 0, 0, 2, 3]],
        [[4, 5, 0, 0, 0, 0], [0, 0, 4, 5, 0, 0], [0, 0, 0, 0, 4, 5]],
    ]


def test_observations_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"box.*Box.*state numbers.*Flat, TileCoding"):
        OneHot(spec=box([0.0], [1.0]))
    with pytest.raises(UserError, match=r"numbered.*Discrete\(4\).*OneHot"):
        Flat(spec=numbered(4))
    with pytest.raises(UserError, match=r"numbered.*Discrete\(4\)"):
        coding(numbered(4))
    picture = EnvSpec("picture", spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(2), 1)
    with pytest.raises(UserError, match=r"picture.*Box"):
        coding(picture)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": [0.0]}, "low .* 1 .* 2"),
        ({"high": [1.0, 1.0, 1.0]}, "high .* 3 .* 2"),
        ({"low": [0.0, 1.0]}, "low .* high"),
        ({"low": [0.0, 0.0], "high": [1.0, -1.0]}, "low .* high"),
        (
            {"tiles": 2000, "num_tilings": 4},
            r"4 .* 2001\^2 .* 16,016,004 .* 10,000,000",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        coding(box([0.0, 0.0], [1.0, 1.0]), **changes)


def test_boxes_without_ends_need_them_from_the_user() -> None:
    spec = CartPole(num_envs=1, max_episode_steps=500).spec  # velocities have no ends
    with pytest.raises(UserError, match=r"cartpole .* low .* high"):
        coding(spec)
    with pytest.raises(UserError, match=r"cartpole .* low .* high"):
        coding(spec, low=[-2.4, -3.0, -0.2, -3.0])
    assert coding(spec, low=[-2.4, -3.0, -0.2, -3.0], high=[2.4, 3.0, 0.2, 3.0]).num_features == 2 * 5**4


@pytest.mark.parametrize("count", [0, -1, 2.5, True, None])
def test_features_that_do_not_say_how_many_they_are_are_refused(count: object) -> None:
    class Mine:
        num_features = count

        def __call__(self, obs: Tensor) -> Tensor:
            return obs

    mine: Any = Mine()
    with pytest.raises(UserError, match=rf"features: Mine .* num_features .* {count}"):
        count_features(mine)


MINE = '''
"""The row and the column of a cell of a 4x4 grid, and their product; numbers of torch's default type."""
import torch


class Places:
    def __init__(self, *, scale: float, spec, device) -> None:
        self.num_features = 3
        self._scale = scale
        self._spec = spec
        self._device = device

    def __call__(self, obs):
        row, column = obs // 4 * self._scale, obs % 4 * self._scale
        return torch.stack([row, column, row * column], dim=1)


class PlacesOfPairs(Places):
    def __init__(self, *, scale: float, spec, device) -> None:
        super().__init__(scale=scale, spec=spec, device=device)
        self.num_features = 3 * spec.num_actions

    def of_pairs(self, obs):
        blocks = torch.eye(self._spec.num_actions)[None, :, :, None] * self(obs)[:, None, None, :]
        return blocks.flatten(2)


class Neither:
    num_features = 3
'''
OVERRIDES = [
    "algo=linear_q",
    "env=gridworld",
    "env.observation=index",
    "algo.alpha=0.01",
    "logger=none",
    "device=cpu",
    "total_steps=400",
    "evaluation.episodes=2",
    "evaluation.num_envs=2",
]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of the user's, with a name of its own for every test, since modules stay imported."""
    name = f"features_of_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.process
def test_a_users_features_by_the_command_line(module: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = [str(Path(sys.executable).parent / "rlrun"), *OVERRIDES, f"runs_dir={runs}"]
    command += [f"algo.features._target_={module}.Places", "+algo.features.scale=0.25"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # the module is found because it lies in the working directory
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (result,) = runs.rglob("result.json")
    assert json.loads(result.read_text())["step"] == 400
    config = (result.parent / "config.yaml").read_text()
    assert f"_target_: {module}.Places\n    scale: 0.25\n" in config


def test_a_users_features_are_what_q_is_a_function_of(module: str, tmp_path: Path) -> None:
    overrides = [
        *OVERRIDES,
        f"runs_dir={tmp_path}",
        f"algo.features._target_={module}.Places",
        "+algo.features.scale=0.25",
    ]
    built = build(load_config(overrides, [config_directory()]))
    agent: Any = built.run.agent
    weight = torch.arange(16, dtype=torch.float64).reshape(4, 4)  # an action's row: three features and the bias
    agent.load_state_dict(agent.state_dict() | {"weight": weight})
    row, column = 0.5, 0.25  # of cell 9
    expected = [[a * row + b * column + c * row * column + d for a, b, c, d in weight.tolist()]]
    assert agent.q_values(torch.tensor([9])).tolist() == expected
    built.close()


def test_a_users_features_of_pairs_have_one_weight_vector(module: str, tmp_path: Path) -> None:
    overrides = [*OVERRIDES, f"runs_dir={tmp_path}", f"algo.features._target_={module}.PlacesOfPairs"]
    built = build(load_config([*overrides, "+algo.features.scale=0.25"], [config_directory()]))
    agent: Any = built.run.agent
    agent.load_state_dict(agent.state_dict() | {"weight": torch.arange(12, dtype=torch.float64)[None]})
    row, column = 0.5, 0.25  # of cell 9
    blocks = torch.arange(12, dtype=torch.float64).reshape(4, 3).tolist()
    expected = [[a * row + b * column + c * row * column for a, b, c in blocks]]
    assert agent.q_values(torch.tensor([9])).tolist() == expected
    for _ in range(50):
        agent.learn(built.run.collector.collect(agent))
    built.close()


def test_a_users_features_are_checked_like_our_own(module: str, tmp_path: Path) -> None:
    def load(*overrides: str) -> None:
        load_config([*OVERRIDES, f"runs_dir={tmp_path}", *overrides], [config_directory()])

    with pytest.raises(UserError, match=r"algo\.features\.scale"):
        load(f"algo.features._target_={module}.Places")
    with pytest.raises(UserError, match=r"algo\.features\.scal\b"):
        load(f"algo.features._target_={module}.Places", "+algo.features.scal=1")
    with pytest.raises(UserError, match=rf"{module}\.Place\b"):
        load(f"algo.features._target_={module}.Place")
    with pytest.raises(UserError, match=r"Neither .*algo\.features .*Features .*PairFeatures"):
        load(f"algo.features._target_={module}.Neither")


def test_a_grid_of_pictures_has_flat_features() -> None:
    env = GridWorld(
        map="lecture",
        observation="image",
        slip=None,
        step_reward=None,
        goal="map",
        max_episode_steps=9,
        num_envs=2,
    )
    features = Flat(spec=env.spec)
    rows = features(torch.from_numpy(env.reset(0)))
    assert rows.shape == (2, features.num_features) == (2, 3 * 16)
