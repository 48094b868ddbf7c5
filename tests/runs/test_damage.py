"""Whatever happens to a run's files: it goes on from what is sound and says so, or refuses in one line."""

import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from small_disk import SmallDisk, small_disk_at

from rlrun.api import running
from rlrun.cli.main import run_command
from rlrun.runs.checkpoint import Checkpoints
from rlrun.runs.manifest import Code, read_manifest
from rlrun.testing.agent import same

OVERRIDES = (
    "algo=dqn",
    "env=cartpole",
    "algo.optimizer.learning_rate=5e-4",  # the preset's falls over total_steps
    "device=cpu",
    "device.num_threads=1",
    "logger=none",
    "env.num_envs=2",
    "algo.replay.learning_starts_steps=40",
    "algo.replay.capacity_steps=140",
    "log_every_steps=50",
    "evaluation.every_steps=100",
    "evaluation.episodes=2",
    "name=run",
)
PLACE = Path("cartpole/dqn/run/seed0")


def go(runs_dir: Path, total_steps: int, *more: str) -> int:
    keys = {word.partition("=")[0] for word in more}
    overrides = [word for word in OVERRIDES if word.partition("=")[0] not in keys]
    return run_command(["rlrun", *overrides, f"total_steps={total_steps}", f"runs_dir={runs_dir}", *more])


Left: TypeAlias = tuple[object, tuple[bytes, ...]]  # the newest checkpoint, and the files


def left_by(runs_dir: Path) -> Left:
    state = Checkpoints(runs_dir / PLACE, {}, keep=2).newest_sound(warn=print)
    assert state is not None
    state["run_state"] |= {"written": state["run_state"]["written"]["metrics.jsonl"]}  # bytes of timings differ
    return state, tuple((runs_dir / PLACE / name).read_bytes() for name in ("metrics.jsonl", "result.json"))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 200 steps, with checkpoints of steps 100 and 200."""
    runs_dir = tmp_path_factory.mktemp("half")
    assert go(runs_dir, 100) == 0
    assert go(runs_dir, 200) == 0
    names = [path.name for path in Checkpoints(runs_dir / PLACE, {}, keep=2).paths()]
    assert len(names) == 2
    return runs_dir


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What a run of 300 steps leaves that nothing happened to."""
    runs_dir = tmp_path_factory.mktemp("whole")
    assert go(runs_dir, 300) == 0
    return left_by(runs_dir)


def check(runs_dir: Path, whole: Left, capfd: pytest.CaptureFixture[str], what: str) -> int:
    """Continues to 300 steps: equal to the undisturbed run, or refused in one line and nothing newly written."""
    before = sorted(path.relative_to(runs_dir) for path in runs_dir.rglob("*") if "step-" in path.name)
    capfd.readouterr()
    status = go(runs_dir, 300)
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err, what
    if status == 0:
        resumed = "resuming at step " in said.out
        assert resumed or not before, f"{what}: it must go on from what is sound, not begin again"
        state, files = left_by(runs_dir)
        assert files == whole[1], what
        assert same(state, whole[0]), what
        return 0
    assert status == 2, what
    assert said.err.startswith("rlrun: error: "), what
    assert said.err.count("\n") == 1, what
    after = sorted(path.relative_to(runs_dir) for path in runs_dir.rglob("*") if "step-" in path.name)
    assert before == after, what
    return 2


def test_a_longer_run_goes_on_as_if_it_had_never_ended(
    half: Path, whole: Left, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(half, tmp_path / "runs")
    assert check(tmp_path / "runs", whole, capfd, "undamaged") == 0


def test_no_changed_byte_changes_a_run_silently(
    half: Path, whole: Left, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    files = sorted(path.relative_to(half) for path in half.rglob("*") if path.is_file() and path.stat().st_size)
    went_on = 0
    for number in range(24):
        name = files[number % len(files)]
        runs_dir = tmp_path / str(number)
        shutil.copytree(half, runs_dir)
        data = bytearray((runs_dir / name).read_bytes())
        place = rng.randrange(len(data))
        data[place] ^= 1 << rng.randrange(8)
        (runs_dir / name).write_bytes(bytes(data))
        went_on += check(runs_dir, whole, capfd, f"{name}, byte {place}") == 0
        shutil.rmtree(runs_dir)
    assert went_on >= 12, "a single damaged file should rarely stop a run"


@pytest.mark.parametrize("how", ["cut", "empty", "gone"])
def test_no_missing_piece_changes_a_run_silently(
    half: Path, whole: Left, tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    files = sorted(path.relative_to(half) for path in half.rglob("*") if path.is_file() and path.stat().st_size)
    for number, name in enumerate(files):
        runs_dir = tmp_path / str(number)
        shutil.copytree(half, runs_dir)
        path = runs_dir / name
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 if how == "cut" else 0])
        check(runs_dir, whole, capfd, f"{name} {how}")
        shutil.rmtree(runs_dir)


def test_a_result_that_says_more_steps_finishes_no_run(
    half: Path, whole: Left, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(half, tmp_path / "runs")
    path = tmp_path / "runs" / PLACE / "result.json"
    text = re.sub(r'"(step|total_steps)": \d+', r'"\1": 300', path.read_text())
    assert text.count("300") == 2
    path.write_text(text)
    assert check(tmp_path / "runs", whole, capfd, "edited result") == 2
    path.unlink()
    assert check(tmp_path / "runs", whole, capfd, "no result") == 0


def test_without_its_manifest_a_run_is_made_no_shorter(
    half: Path, whole: Left, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs_dir = tmp_path / "runs"
    shutil.copytree(half, runs_dir)
    for path in [runs_dir / PLACE / "manifest.json", *(runs_dir / PLACE).glob("result*.json")]:
        path.unlink()
    capfd.readouterr()
    assert go(runs_dir, 150) == 2
    said = capfd.readouterr()
    assert said.err.count("\n") == 1
    assert [word in said.err for word in ("total_steps=200", "150", "fresh=true")] == [True, True, True]
    assert not (runs_dir / PLACE / "result.json").exists()
    assert "manifest.json" in said.out
    assert check(runs_dir, whole, capfd, "no manifest") == 0


def test_a_checkpoint_of_another_experiment_is_refused(
    half: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(half, tmp_path / "runs")
    shutil.copytree(half / PLACE / "checkpoints", tmp_path / "runs" / "cartpole/dqn/other/seed0/checkpoints")
    assert go(tmp_path / "runs", 300, "algo.gamma=0.5", "name=other") == 2
    assert "experiment" in capfd.readouterr().err
    assert not (tmp_path / "runs" / "cartpole/dqn/other/seed0/result.json").exists()


@pytest.fixture(params=["20k", "500k", "2m"])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SmallDisk]:
    """A small file system of its own: one that is full at the first number, the first checkpoint, or a later one."""
    with small_disk_at(tmp_path / "disk", request.param) as disk:
        yield disk


def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_when_there_is_room(
    small_disk: SmallDisk, whole: Left, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert go(small_disk.path, 300, "logger=tensorboard") == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device" in said
    assert small_disk.mount("remount,size=64m")
    assert check(small_disk.path, whole, capfd, "after a full disk") == 0


@pytest.mark.parametrize("small_disk", ["40k"], indirect=True)
def test_a_disk_that_a_log_of_episodes_fills_ends_in_one_line(
    small_disk: SmallDisk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "code_state", lambda: Code(None, None))  # changes of the code would fill it before
    overrides = [
        "algo=random",
        "env=gridworld",
        "env.num_envs=8",
        "record_episodes=true",
        "checkpoint.every_seconds=1000",
    ]
    overrides += ["total_steps=10000000", "logger=none", "device=cpu", "name=run", f"runs_dir={small_disk.path}"]
    assert run_command(["rlrun", *overrides]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device" in said
    manifest = read_manifest(small_disk.path / "gridworld/random/run/seed0")
    assert manifest is not None
    assert manifest["sessions"][-1]["status"] == "failed"


def test_a_read_only_disk_ends_in_one_line(
    small_disk: SmallDisk, half: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert small_disk.mount("remount,size=64m")
    shutil.copytree(half, small_disk.path / "runs")
    assert small_disk.mount("remount,ro")
    capfd.readouterr()
    assert go(small_disk.path / "runs", 300) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "ead-only file system" in said or "not writable" in said
