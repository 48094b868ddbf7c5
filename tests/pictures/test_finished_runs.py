"""What a finished run with tables leaves behind, and `rlrun show`, against values that are known exactly."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlrun import UserError, train
from rlrun.agents.tables.policies import load_policy
from rlrun.cli.main import run_command
from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.pictures.as_text import as_text
from rlrun.pictures.figures import cell_size
from rlrun.pictures.grid import grid_place
from rlrun.pictures.sheet import new_figure, pixels
from rlrun.pictures.tables_file import load_tables
from rlrun.pictures.value_map import ValueMap
from rlrun.types import EnvSpec

DISTANCE = [[0, 1, 2, 3], [1, 2, 3, 2], [2, 3, 2, 1], [3, 2, 1, 0]]  # to the nearer corner of the lecture's grid
ARROWS = [["", "←", "←", "↓←"], ["↑", "↑←", "↑→↓←", "↓"], ["↑", "↑→↓←", "→↓", "↓"], ["↑→", "→", "→", ""]]


def finished(directory: Path, *overrides: str) -> Path:
    """The directory of a run of these arguments, trained to its end."""
    short = ("device=cpu", "evaluation.episodes=2", "evaluation.num_envs=2", f"runs_dir={directory / 'runs'}")
    return train([*overrides, *short]).directory


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run of value iteration, undiscounted, on the lecture's grid."""
    return finished(tmp_path_factory.mktemp("planned"), "algo=value_iteration", "env=gridworld", "algo.gamma=1")


def read(source: Path | io.BytesIO) -> NDArray[np.uint8]:
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
    image = read(planned / "values.png")
    height, width, _ = image.shape
    assert 300 <= height <= 800
    assert 700 <= width <= 1400  # three pictures beside one another
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    events = EventAccumulator(str(planned))
    events.Reload()
    (event,) = events.Images("tables")
    assert event.step == 4
    assert (event.width, event.height) == (width, height)
    np.testing.assert_array_equal(read(io.BytesIO(event.encoded_image_string)), image)


def test_a_finished_plan_leaves_a_film_of_every_sweep(planned: Path) -> None:
    rows = [json.loads(line) for line in (planned / "metrics.jsonl").read_text().splitlines()]
    sweeps = sum("plan/residual" in row for row in rows)
    assert sweeps == 4  # the farthest cell is 3 steps away, and the fourth sweep changes nothing
    layout = load_tables(planned).model.layout
    assert layout is not None
    with Image.open(planned / "values.gif") as film:
        assert film.format == "GIF"
        assert getattr(film, "n_frames", 1) == sweeps + 1  # and the zeros that it began with
        frames = []
        for number in range(sweeps + 1):
            film.seek(number)
            frames.append(np.asarray(film.convert("RGB"), np.int64))
        assert film.info["duration"] == 2000
    values = np.stack([-np.minimum(np.array(DISTANCE), sweep).reshape(-1).astype(float) for sweep in range(sweeps + 1)])
    cell = cell_size(layout)
    place = grid_place(layout, cell)
    figure = new_figure(place.paper)
    expected = ValueMap(figure, layout, place, "", values)
    box = expected.axes.get_window_extent()
    for number, frame in enumerate(frames):
        expected.show(values[number], np.zeros((16, 4)))
        drawn = pixels(figure)
        assert frame.shape == drawn.shape
        # Cells have the colours of the values after so many sweeps; away from numbers and arrows, one pixel a cell.
        for at in range(16):
            x, y = (at % 4 + 0.2) * box.width / 4 + box.x0, (at // 4 + 0.8) * box.height / 4
            pixel = round(frame.shape[0] - box.y1 + y), round(x)
            assert np.abs(frame[pixel] - drawn[pixel].astype(np.int64)).max() <= 8, (number, at)


def shown_by(capsys: pytest.CaptureFixture[str], *overrides: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = run_command(["rlrun", "show", *overrides])
    out, err = capsys.readouterr()
    return status, out, err


def test_show_prints_the_grid_with_values_and_arrows(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = shown_by(capsys, str(planned))
    assert (status, err) == (0, "")
    *_, one, two, three, four, pictures = out.splitlines()
    assert pictures == f"pictures: {planned / 'values.png'}, {planned / 'values.gif'}"
    overrides = [
        [word for at in range(4) for word in (["·"] if not distance[at] else [f"-{distance[at]}.00", arrows[at]])]
        for distance, arrows in zip(DISTANCE, ARROWS, strict=True)
    ]
    assert [line.split() for line in (one, two, three, four)] == overrides


def test_show_refuses_what_is_no_run_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tables.npz").write_bytes(b"no tables")
    for overrides in ([str(tmp_path)], [str(tmp_path / "nowhere")], [], ["one", "two"], [str(tmp_path / "broken")]):
        status, out, err = shown_by(capsys, *overrides)
        assert (status, out) == (2, "")
        assert re.fullmatch(r"rlrun: error: [^\n]+\n", err)


def test_tables_are_a_policy_for_other_runs(planned: Path) -> None:
    model = tabular_model(load_map("lecture"))
    spec = EnvSpec("lecture", spaces.Discrete(16), spaces.Discrete(4), 1, model=model)
    policy = load_policy(str(planned), "algo.policy", spec, 16)
    assert policy[1].tolist() == [0, 0, 0, 1]
    assert policy[6].tolist() == [1, 0, 0, 0]  # of the four that are equally good it takes one


def test_damaged_tables_are_no_policy(planned: Path, tmp_path: Path) -> None:
    spec = EnvSpec("lecture", spaces.Discrete(16), spaces.Discrete(4), 1, model=tabular_model(load_map("lecture")))
    whole = (planned / "tables.npz").read_bytes()
    for spoiled in (b"", whole[:100], b"x" * 1000):
        (tmp_path / "tables.npz").write_bytes(spoiled)
        with pytest.raises(UserError, match=r"algo\.policy: .*tables\.npz"):
            load_policy(str(tmp_path), "algo.policy", spec, 16)


@pytest.mark.parametrize("algo", ["q_learning", "sarsa", "td", "linear_q", "linear_v"])
def test_learners_leave_tables_and_a_picture_but_no_film(algo: str, tmp_path: Path) -> None:
    directory = finished(tmp_path, f"algo={algo}", "env=gridworld", "total_steps=1000")
    assert sorted(path.name for path in directory.glob("[tv]a*")) == ["tables.npz", "values.png"]
    text = as_text(load_tables(directory))
    assert len(text.splitlines()) == 4
    assert text.count("·") == 2


def test_states_that_are_no_cells_are_shown_as_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = finished(tmp_path, "algo=value_iteration", "env=racing_car", "algo.gamma=0.5")
    status, out, _ = shown_by(capsys, str(directory))
    assert status == 0
    head, *rows, pictures = out.splitlines()[-5:]
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
    directory = finished(tmp_path, "algo=td", "env=gridworld", "total_steps=12800")
    tables = load_tables(directory).tables
    assert tables.sample_averages is not None
    assert tables.visits is not None
    assert tables.visits.shape == (16, 1)
    assert tables.visits.sum() == 12800
    status, out, _ = shown_by(capsys, str(directory), "--q")
    assert status == 0
    _, means, visits, q = re.split(r"\n\n(?:mean of the returns seen|visits|Q):\n", out)
    seen = [float(word) for word in means.split() if word != "·"]
    np.testing.assert_allclose(seen, tables.sample_averages[1:15], atol=0.005)
    counted = [int(word) for word in visits.split() if word != "·"]
    assert counted == tables.visits[1:15, 0].tolist()
    assert not re.search(r"\d", q.partition("\n")[0])  # TD has no Q


@pytest.mark.parametrize("overrides", [["algo=q_learning", "env=short_corridor"], ["algo=random", "env=gridworld"]])
def test_agents_without_tables_of_states_leave_nothing(overrides: list[str], tmp_path: Path) -> None:
    directory = finished(tmp_path, *overrides, "total_steps=200")
    assert not list(directory.glob("[tv]a*"))


def test_taxis_five_hundred_states_leave_tables_and_no_picture(tmp_path: Path) -> None:
    directory = finished(tmp_path, "algo=q_learning", "env=gym", "env.id=Taxi-v4", "total_steps=200")
    assert [path.name for path in directory.glob("[tv]a*")] == ["tables.npz"]
    assert as_text(load_tables(directory)).splitlines()[-1] == "... and 450 more states"
