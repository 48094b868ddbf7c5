"""Learning bars: every file is one, a tiny one is carried out, interrupted and resumed, and the page has it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import bars as bars_module
import pytest
import yaml
from bars import Anchor, Bar, load_bar, load_bars
from page import counted, draw, page, verdict
from records import CURVE_COLUMNS, evaluation_of, read_records
from run import EvaluationJob

from rlrun.config.compose import load_config
from rlrun.config.files import config_directories
from rlrun.runs.evaluation_log import append_evaluation
from rlrun.runs.manifest import manifest_of_run
from rlrun.runs.policies import BEST, FINAL
from rlrun.sweeps.jobs import RunJob

ROOT = Path(__file__).resolve().parents[2]
TINY = Bar(
    name="tiny",
    title="Q-learning, 4x4 grid",
    overrides=[
        *("algo=q_learning", "env=gridworld", "env.num_envs=1", "evaluation.every_steps=1000"),
        *("evaluation.episodes=4", "logger=none", "device=cpu"),
    ],
    seeds=[0, 1],
    budget_steps=2000,
    evaluation="4 episodes",
    threshold=-8.0,
    needed=2,
    anchors=[Anchor(value=-6.0, source="value iteration", protocol="exact")],
)


@pytest.mark.parametrize("bar", load_bars(), ids=lambda bar: bar.name)
def test_every_bar_is_a_run_that_rlrun_accepts(bar: Bar) -> None:
    config = load_config(bar.arguments, config_directories(None))
    assert config.total_steps == bar.budget_steps
    assert bar.anchors


def test_a_file_that_is_no_bar_is_told(tmp_path: Path) -> None:
    right = yaml.safe_load((ROOT / "benchmarks" / "learning" / "bars" / "dqn_cartpole.yaml").read_text())
    path = tmp_path / "mine.yaml"
    for wrong in ({"tresholds": 3}, {"needed": 6}, {"anchors": [{"value": 3}]}, {"needed": 0}):
        path.write_text(yaml.safe_dump(right | wrong))
        with pytest.raises(SystemExit, match=r"mine\.yaml"):
            load_bar(path)
    with pytest.raises(SystemExit, match="dqn_cartpole"):
        load_bars(["dqn_cartpol"])


def started(folder: Path, bar: Bar) -> subprocess.Popen[str]:
    """The runner on one bar, in a process of its own, with everything that it writes in `folder`."""
    program = (
        f"import sys; sys.path[:0] = {[str(ROOT / 'benchmarks' / 'learning'), str(ROOT / 'benchmarks')]!r}\n"
        "from pathlib import Path\nimport bars, run\nfrom bars import Anchor, Bar\n"
        "from rlrun.runs.interruption import StopRequest\nfrom rlrun.sweeps.display import make_display\n"
        f"bars.RESULTS = Path({str(folder / 'results')!r})\nwith StopRequest() as stop:\n"
        f"    status = run.run_bars([{bar!r}], Path({str(folder / 'runs')!r}), display=make_display(), stop=stop, "
        "num_cores=2)\nsys.exit(status)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit status and what it printed."""
    answer = process.communicate(timeout=200)[0]
    return process.returncode, answer


def numbers(folder: Path) -> list[list[tuple[str, str]]]:
    """What is recorded, without what a clock or a place says."""
    unequal = {"wall_seconds", "command"}
    files = [folder / "results" / f"tiny{ending}.csv" for ending in ("", "_curves")]
    return [
        sorted((key, value) for row in read_records(path) for key, value in row.items() if key not in unequal)
        for path in files
    ]


def metrics(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("runs/tiny/*/*/*/seed*/metrics.jsonl")}


def test_a_bar_that_is_killed_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    longer = replace(
        TINY, budget_steps=4_000, overrides=[*TINY.overrides, "checkpoint.every_seconds=0.2", "log_every_steps=200"]
    )
    assert ended(started(whole, longer))[0] == 0

    process = started(broken, longer)
    end = time.monotonic() + 100
    while not any(metrics(broken).values()):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    assert ended(process)[0] == -9
    status, answer = ended(started(broken, longer))
    assert status == 0, answer
    assert metrics(broken) == metrics(whole)
    assert len(metrics(whole)) == 2
    assert numbers(broken) == numbers(whole)

    monkeypatch.setattr(bars_module, "RESULTS", whole / "results")
    records = read_records(longer.results)
    assert [row["seed"] for row in records] == ["0", "1"]
    assert {row["episodes"] for row in records} == {"100"}  # fresh ones, of the final policy
    assert all(row["best_mean"] and int(row["best_step"]) <= 4000 for row in records)
    text = page([longer, replace(longer, name="other")], "pictures")
    assert len(counted(longer, records)) == 2
    assert verdict(longer, records) in text
    assert "not run yet" in text
    draw(longer, tmp_path / "tiny.svg")
    first = (tmp_path / "tiny.svg").read_bytes()
    draw(longer, tmp_path / "tiny.svg")
    assert (tmp_path / "tiny.svg").read_bytes() == first


def test_a_failed_seed_is_shown_and_the_others_are_recorded(tmp_path: Path) -> None:
    blocked = tmp_path / "runs" / "tiny" / "gridworld" / "q_learning" / "x" / "seed1"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no directory")
    status, answer = ended(started(tmp_path, replace(TINY, overrides=[*TINY.overrides, "name=x"])))
    assert status == 2, answer
    assert answer.count("tiny seed 1: failed: ") == 2  # at once, and at the end
    assert [row["seed"] for row in read_records(tmp_path / "results" / "tiny.csv")] == ["0"]


def test_a_damaged_file_fails_its_own_run_and_no_other(tmp_path: Path) -> None:
    bar = replace(TINY, overrides=[*TINY.overrides, "name=x"])
    assert ended(started(tmp_path, bar))[0] == 0
    runs = tmp_path / "runs" / "tiny" / "gridworld" / "q_learning" / "x"
    (runs / "seed0" / "eval.jsonl").write_text("no evaluation\n")
    (runs / "seed1" / "eval.jsonl").unlink()
    status, answer = ended(started(tmp_path, bar))
    assert status == 2, answer
    assert "Traceback" not in answer
    assert answer.count("seed0/eval.jsonl is damaged") == 2  # at once, and at the end
    assert len((runs / "seed1" / "eval.jsonl").read_text().splitlines()) == 2

    experiment = manifest_of_run(runs / "seed0")["experiment"]
    of_run = RunJob(
        name="x", command=[], directory=runs / "seed0", seed=0, experiment=experiment, total_steps=TINY.budget_steps
    )
    assert of_run.result() is not None
    assert EvaluationJob(of_run, FINAL).result() is None


def row(bar: Bar, seed: int, mean: float, minutes: float = 1.0, **other: str) -> dict[str, str]:
    command = " ".join(["rlrun", *bar.arguments, f"seed={seed}"])
    numbers = {"seed": str(seed), "final_mean": str(mean), "wall_seconds": str(60 * minutes)}
    rules = {"step": str(bar.budget_steps), "protocol": "own", "episodes": "100", "command": command}
    return numbers | rules | other


def test_a_verdict_counts_seeds() -> None:
    bar = replace(TINY, seeds=[0, 1, 2], threshold=10.0, needed=2, most_minutes=5.0)
    assert verdict(bar, []) == "not run yet"
    assert "missed" not in verdict(bar, [row(bar, 0, 9.9)])
    assert verdict(bar, [row(bar, 0, 10.0), row(bar, 1, 11.0)]) == "reached by 2 of 2"
    assert "missed" in verdict(bar, [row(bar, 0, 10.0), row(bar, 1, 9.9), row(bar, 2, 9.0)])
    assert "missed" in verdict(bar, [row(bar, 0, 10.0), row(bar, 1, 12.0, minutes=6.0), row(bar, 2, 9.0)])


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "in training"},
        {"episodes": "4"},
        {"step": "1000"},
        {"seed": "7"},
        {"command": "rlrun algo=q_learning env=gridworld seed=1"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_only_rows_of_the_bar_as_it_is_today_count(other: dict[str, str]) -> None:
    bar = replace(TINY, threshold=10.0, needed=2)
    rows = [row(bar, 0, 11.0), row(bar, 1, 11.0)]
    assert verdict(bar, rows) == "reached by 2 of 2"
    assert verdict(bar, [rows[0], row(bar, 1, 11.0) | other]) == "reached by 1 of 1, not all seeds run yet"
    assert verdict(bar, [row(bar, 1, 11.0) | other]) == "not run yet"
    threads = row(bar, 1, 11.0, command=f"{rows[1]['command']} device.num_threads=1")
    assert verdict(bar, [rows[0], threads]) == "reached by 2 of 2"


def test_the_evaluation_of_a_bar_is_the_first_with_its_seed(tmp_path: Path) -> None:
    def evaluated(number: int, **other: object) -> None:
        of_bar = {"protocol": "own", "changed": [], "seed": 0, "checkpoint": FINAL, "step": 20, "number": number}
        append_evaluation(tmp_path, {**of_bar, **other})

    evaluated(0, seed=1)
    evaluated(1, protocol="other")
    evaluated(2, step=10)
    evaluated(3, changed=["evaluation.episodes=3"])
    assert evaluation_of(tmp_path, FINAL, 20) is None
    evaluated(4)
    evaluated(5)
    evaluated(6, seed=3)
    for number, step in ((7, 5), (8, 15), (9, 15)):
        evaluated(number, checkpoint=BEST, step=step)
    final, best = (evaluation_of(tmp_path, checkpoint, 20) for checkpoint in (FINAL, BEST))
    assert final is not None
    assert best is not None
    assert (final["number"], best["number"]) == (4, 8)


def test_commands_of_the_page_are_words_of_any_shell() -> None:
    bar = replace(TINY, overrides=["algo.x={a: [1, 2]}", "b=*?"], seeds=[3, 5])
    lines = page([bar], "pictures").splitlines()
    assert ".venv/bin/python benchmarks/learning/run.py tiny" in lines
    command = next(line for line in lines if line.startswith("rlrun "))
    assert command == "rlrun 'algo.x={a: [1, 2]}' 'b=*?' total_steps=2000 'seeds=[3,5]'"


def test_a_curve_is_kept_short_with_both_its_ends(tmp_path: Path) -> None:
    from records import curve_of

    lines = [
        f'{{"step": {step}, "env_steps": {2 * step}, "eval/episode_return": {step}.123}}\n' for step in range(1000)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    kept = curve_of(tmp_path, 3)
    assert (kept[0]["step"], kept[-1]["step"]) == (0, 999)
    assert len(kept) <= 61
    assert tuple(kept[-1].values()) == (3, 999, 1998, "999.12")
    assert tuple(kept[-1]) == CURVE_COLUMNS
