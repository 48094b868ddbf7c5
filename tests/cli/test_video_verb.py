"""`rlrun video DIR --episode N`, and the log it rests on after a kill, as a person meets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from refusals import refusal, wrong_key

from rlrun.api.running import Command, carry_out
from rlrun.build import build
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.runs.episode_log import FILE, Block, read_episode_log
from rlrun.runs.manifest import digest, manifest_of_run, write_manifest

ARGUMENTS = ["algo=random", "env=cartpole", "env.num_envs=8", "algo.rollout_steps=10", "total_steps=2000", "device=cpu"]
ARGUMENTS += ["evaluation.episodes=2", "evaluation.num_envs=2", "evaluation.every_steps=null", "logger=none", "name=a"]
ARGUMENTS += ["record_episodes=true"]
PLACE = Path("cartpole", "random", "a", "seed0")
# More actions than a block holds, so that the file has whole blocks before the end.
LONG = ["total_steps=60000", "checkpoint.every_seconds=0.05", "log_every_steps=100000"]


def run_here(runs: Path, *overrides: str) -> Path:
    """A run in this process."""
    overrides = (*replaced(ARGUMENTS, overrides), f"runs_dir={runs}")
    carry_out(load_config(overrides, [config_directory()]), runs / PLACE, Command(["rlrun", *overrides], overrides))
    return runs / PLACE


def replaced(overrides: Sequence[str], others: Sequence[str]) -> list[str]:
    keys = {word.split("=")[0] for word in others}
    return [*(word for word in overrides if word.split("=")[0] not in keys), *others]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_here(tmp_path_factory.mktemp("runs"))


def test_a_longer_run_goes_on_with_the_log(run: Path, tmp_path: Path) -> None:
    run_here(tmp_path, "total_steps=1000")
    assert len(read_episode_log(tmp_path / PLACE / FILE).actions) == 130  # 13 rollouts of 10 rows of 8 slots
    run_here(tmp_path)
    assert (tmp_path / PLACE / FILE).read_bytes() == (run / FILE).read_bytes()


def test_a_log_that_was_changed_is_set_aside_and_the_run_goes_on(run: Path, tmp_path: Path) -> None:
    log = run_here(tmp_path, "total_steps=1000") / FILE
    log.write_bytes(log.read_bytes().replace(b"num_envs", b"sum_envs"))
    assert (run_here(tmp_path) / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    assert not log.exists()
    assert log.with_name(FILE + ".damaged").is_file()
    run_here(tmp_path, "total_steps=2500")
    assert not log.exists()


def test_recording_changes_no_number_and_no_hash(run: Path, tmp_path: Path) -> None:
    other = run_here(tmp_path, "record_episodes=false")
    assert (other / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    assert not (other / FILE).exists()
    here, there = (
        load_config([*overrides], [config_directory()]).experiment() for overrides in (ARGUMENTS, ARGUMENTS[:-1])
    )
    assert here == there


def test_recording_that_was_switched_off_cannot_be_switched_on_again(tmp_path: Path) -> None:
    run_here(tmp_path, "total_steps=1000", "record_episodes=false")
    refusal(lambda: run_here(tmp_path), "record_episodes=true")


def test_what_cannot_be_recorded_is_refused_before_it_starts(tmp_path: Path) -> None:
    seven = replaced(ARGUMENTS, ["record_episodes=7"])
    wrong_key(lambda: load_config(seven, [config_directory()]), "record_episodes", "7")
    (tmp_path / "env").mkdir()
    scripted = "_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 2\n"
    (tmp_path / "env" / "scripted.yaml").write_text(scripted)
    overrides = [*replaced(ARGUMENTS, ["env=scripted", "env.num_envs=2"]), f"runs_dir={tmp_path / 'runs'}"]
    config = load_config(overrides, [tmp_path, config_directory()])
    refusal(lambda: build(config), "begin_streams")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_run_that_was_killed_and_goes_on_has_the_same_log(tmp_path: Path) -> None:
    def command(name: str) -> list[str]:
        return [sys.executable, "-m", "rlrun", *replaced(ARGUMENTS, LONG), f"runs_dir={tmp_path / name}"]

    subprocess.run(command("whole"), env=environment(), stdout=subprocess.DEVNULL, timeout=300, check=True)
    directory = tmp_path / "killed" / PLACE
    with subprocess.Popen(command("killed"), env=environment(), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not checkpoint_beyond(directory, 40_000):
            sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it must not have ended before the kill"
    assert not (directory / "result.json").exists()
    assert 0 < len(read_episode_log(directory / FILE).actions) < 7500
    again = subprocess.run(
        command("killed"), env=environment(), capture_output=True, text=True, timeout=300, check=True
    )
    assert len(manifest_of_run(directory)["sessions"]) == 2
    assert again.stderr == ""
    assert (directory / FILE).read_bytes() == (tmp_path / "whole" / PLACE / FILE).read_bytes()


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}


def checkpoint_beyond(directory: Path, step: int) -> bool:
    names = [path.name for path in directory.glob("checkpoints/step-*.state")]
    return any(int(name.removeprefix("step-").removesuffix(".state")) > step for name in names)


def test_the_film_of_an_episode(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = read_episode_log(run / FILE)
    episode = log.episode(5)
    assert run_command(["rlrun", "video", str(run), "--episode", "5"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"episode 5 of {len(log):,} (slot {episode.slot}, ended at step {episode.step:,}): return ")
    assert f"{run / 'episode-5.gif'} ({episode.length + 1} pictures)" in said
    with Image.open(run / "episode-5.gif") as film:
        assert isinstance(film, GifImageFile)
        assert film.n_frames == episode.length + 1


@pytest.mark.parametrize("which", ["last", "best"])
def test_last_and_best(which: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = read_episode_log(run / FILE)
    returns = log.episodes["episode_return"]
    number = len(log) if which == "last" else int(np.flatnonzero(returns == returns.max())[0]) + 1
    out = str(tmp_path / "film.GIF")
    assert run_command(["rlrun", "video", str(run), "--episode", which, "--out", out, "--every", "7"]) == 0
    assert capsys.readouterr().out.startswith(f"episode {number:,} of ")
    with Image.open(out) as film:
        assert isinstance(film, GifImageFile)
        assert film.n_frames == -(-log.episode(number).length // 7) + 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--checkpoint", "17"], ["no policy 17", "last", "2000"]),
        (["--checkpoint", "best", "--episode", "1"], ["--checkpoint", "--episode"]),
        (["--fps", "0"], ["--fps", "above 0"]),
        (["--max-seconds", "x"], ["--max-seconds", "above 0"]),
        (["--seed", "-1"], ["--seed", "integer from 0"]),
        (["--episode", "0"], ["episode 0", "1 to "]),
        (["--episode", "99999"], ["episode 99999", "1 to "]),
        (["--episode", "first"], ["episode first", "1 to "]),
        (["--episode", "1", "--every", "0"], ["--every", "0", "integer from 1"]),
        (["--episode", "1", "--out", "film.avi"], ["--out film.avi", ".gif or .mp4"]),
        (["--episode", "1", "--out", "nowhere/film.gif"], ["--out nowhere/film.gif", "nowhere is"]),
        (["--fast"], ["--fast", "rlrun video"]),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(
    arguments: list[str], named: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["rlrun", "video", str(run), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rlrun: error: ")
    assert [each for each in named if each not in captured.err] == [], captured.err
    assert captured.err.count("\n") == 1


def test_what_is_no_run_or_was_not_recorded_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["rlrun", "video", str(tmp_path / "nosuch"), "--episode", "1"]) == 2
    assert "nosuch" in capsys.readouterr().err
    for name in ("config.yaml", "manifest.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    assert run_command(["rlrun", "video", str(tmp_path), "--episode", "1"]) == 2
    assert "no episode of" in capsys.readouterr().err
    config = (run / "config.yaml").read_text()
    assert "record_episodes: true" in config
    config = config.replace("record_episodes: true", "record_episodes: false")
    (tmp_path / "config.yaml").write_text(config)
    assert run_command(["rlrun", "video", str(tmp_path), "--episode", "1"]) == 2
    assert "config.yaml" in capsys.readouterr().err
    write_manifest(tmp_path, manifest_of_run(tmp_path) | {"config_digests": [digest(config)]})
    assert run_command(["rlrun", "video", str(tmp_path), "--episode", "1"]) == 2
    assert "record_episodes=true" in capsys.readouterr().err
    (tmp_path / FILE).write_bytes(read_episode_log(run / FILE).header.encoded())
    assert run_command(["rlrun", "video", str(tmp_path), "--episode", "1"]) == 2
    assert "no episode of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"num_envs", b"sum_envs"), (b'"seed": ', b'"seed": -'), (b'"num_actions": ', b'"num_actions": "'), (b"{", b"[")],
)
def test_a_damaged_header_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: bytes, new: bytes
) -> None:
    for name in ("config.yaml", "manifest.json", FILE):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / FILE).write_bytes((run / FILE).read_bytes().replace(old, new, 1))
    assert run_command(["rlrun", "video", str(tmp_path), "--episode", "1"]) == 2
    said = capsys.readouterr().err
    assert "episodes.log is damaged: " in said
    assert said.count("\n") == 1


def test_an_episode_that_does_not_come_out_as_it_was_is_status_1_and_no_film(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.yaml", "manifest.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    log = read_episode_log(run / FILE)
    wrong = Block(1 - log.actions, log.episodes, log.restarts)
    (tmp_path / FILE).write_bytes(log.header.encoded() + wrong.encoded())
    assert run_command(["rlrun", "video", str(tmp_path), "--episode", "1"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("rlrun: episode 1 ")
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.glob("*.gif"))
