"""`rlrun bench`, shortened, and the measurements that it is made of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from refusals import refusal

from rlrun.cli.bench.ceilings import nature_update_gflop
from rlrun.cli.bench.loop_speed import measure_loop, window_speeds
from rlrun.cli.bench.workloads import ACTOR_CRITIC_CARTPOLE
from rlrun.cli.main import run_command
from rlrun.cli.verb_table import run_verb
from rlrun.cli.verbs import bench
from rlrun.errors import UserError


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_bench_prints_every_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "NUM_SLOTS", 2)  # each costs a fifth of a second before it steps
    assert run_command(["rlrun", "bench", "--seconds", "0.05", "--device", "cpu", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    for line in (
        r"Pong emulator alone, one core +[\d,]+ frames/s",
        r"env=pong stepped at random, 2 environments, every core +[\d,]+ agent steps/s",
        r"matrix product on the CPU, 1 thread +[\d,]+ GFLOP/s",
        r"actor-critic CartPole, 8 environments +[\d,]+ .*\(cpu, 1 thread\)",
        r"actor-critic CartPole, 64 environments +[\d,]+ .*\(cpu, 1 thread\)",
        r"DQN Pong, batch 32, an update every 4 steps +[\d,]+ .*\(cpu, 1 thread\)",
    ):
        assert re.search(line, out), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["--seconds", "0"], ["--seconds", "nan"], ["--device", "gpu"], ["--threads", "x"], ["pong"]]
)
def test_bad_words_are_refused(words: list[str]) -> None:
    with pytest.raises(UserError):
        run_verb(["rlrun", "bench", *words])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--threads", "0"], "device.num_threads"),
        (["--threads", "100000"], "device.num_threads=100000"),
        pytest.param(
            ["--device", "cuda"],
            "GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which is not refused"),
        ),
    ],
)
def test_what_the_trainings_would_refuse_is_refused_before_anything_is_measured(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal(lambda: run_verb(["rlrun", "bench", *words]), named)
    assert capsys.readouterr().out == ""


def test_a_loop_is_timed_after_its_warm_up_and_its_shares_add_up() -> None:
    words = [*ACTOR_CRITIC_CARTPOLE, "env.num_envs=8", "device=cpu"]
    speed = measure_loop(words, warm_up_steps=80, seconds=0.2)
    assert speed.num_steps % 40 == 0
    assert speed.num_steps > 0
    assert speed.env_share + speed.act_share + speed.learn_share == pytest.approx(1.0)
    assert min(speed.env_share, speed.act_share, speed.learn_share) > 0
    assert speed.slowest <= speed.steps_per_second <= speed.fastest
    assert speed.num_steps / speed.steps_per_second == pytest.approx(0.2, rel=0.5)


def test_windows_are_equal_numbers_of_turns() -> None:
    marks = [(0.0, 100), (1.0, 110), (3.0, 120), (4.0, 130), (8.0, 140)]
    assert window_speeds(marks) == [10.0, 5.0, 10.0, 2.5]
    assert window_speeds([(0.0, 0), (2.0, 10)]) == [5.0]


def test_an_update_of_the_nature_network_is_counted_by_its_layers() -> None:
    # Multiply-adds of one observation: 20x20x32 outputs of 256 inputs, 9x9x64 of 512, 7x7x64 of 576, two matrices.
    forward = 3_276_800 + 2_654_208 + 1_806_336 + 1_605_632 + 3_072
    assert nature_update_gflop(1) == pytest.approx(2 * (4 * forward - 3_276_800) / 1e9)
    assert nature_update_gflop(32) == pytest.approx(32 * nature_update_gflop(1))
