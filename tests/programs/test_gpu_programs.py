"""`benchmarks/gpu.sh` runs where there is no GPU, with stand-ins and tiny sizes, so that it works when it is needed."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from shlex import quote
from typing import Any
from zipfile import ZipFile

import pytest
from torch import Tensor

from rlrun.compute.captured import Captured, Function
from rlrun.compute.execution import Execution
from rlrun.config.arguments import changed
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory

ROOT = Path(__file__).resolve().parents[2]
Touched = Callable[[], Sequence[Tensor]]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def gpu_sh(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WHEELS")}
    return subprocess.run(
        [str(SCRIPT), *arguments],
        env=given | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def tiny(results: Path) -> list[str]:
    return ["--device", "cpu", "--tiny", "--seconds", "60", "--results", str(results)]


def written(results: Path) -> list[dict[str, str]]:
    """The rows of the one CSV that a part has written."""
    (path,) = results.glob("*.csv")
    found = rows(path)
    assert all(row["tiny"] == "True" and row["command"].startswith("benchmarks/gpu/") for row in found)
    assert not any(str(results) in value for row in found for value in row.values())
    return found


def test_parity_is_checked_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import parity

    monkeypatch.setattr(sys, "argv", ["benchmarks/gpu/parity.py", *tiny(tmp_path)])
    assert parity.main() == 0
    found = written(tmp_path)
    assert {row["check"] for row in found} == {
        "newest planes = whole uploads",
        "episodes ended",
        "updates and acting were recorded",
        "recorded = plain",
        "bfloat16 is not float32",
        "plain = CPU",
        "training was recorded",
        "recorded training = plain",
        "recorded before it loads",
        "recorded anew after loading",
        "resumed = not interrupted",
    }
    assert len({row["case"] for row in found}) == 3
    assert {row["precision"] for row in found} == {"float32", "float64", "bfloat16", "-"}
    assert all(row["met"] == "True" for row in found)


def test_parity_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import parity
    import torch

    one, other = [torch.zeros(2)], [torch.tensor([0.0, 1e-3])]
    difference = parity.largest_difference(one, other)
    assert difference == pytest.approx(1e-3)
    assert not parity.row("", "", 1, "", difference, 0.0)["met"]
    assert parity.largest_difference(one, [torch.tensor([0.0, torch.nan])]) > 1e300


@pytest.mark.parametrize("broken", ["records nothing", "no bfloat16", "never anew", "no ends"])
def test_parity_finds_what_would_be_equal_by_doing_nothing(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import cases
    import parity
    import parts

    options = parts.Chosen("cpu", True, 60.0, tmp_path)
    (case, _) = cases.dqn_cases(options)
    if broken == "records nothing":
        wanted = {"updates and acting were recorded", "training was recorded"}
        wanted |= {"recorded before it loads", "recorded anew after loading"}
        monkeypatch.setattr("rlrun.compute.execution.Captured", lambda function, *others: function)
    elif broken == "no bfloat16":
        wanted = {"bfloat16 is not float32"}
        monkeypatch.setattr(Execution, "passing", lambda self, forward: forward)
    elif broken == "never anew":
        wanted = {"recorded anew after loading", "resumed = not interrupted"}

        def captured(function: Function, reads: Touched, changes: Touched, *others: Any) -> Captured:
            return Captured(function, cache(reads), cache(changes), *others)  # replaced tensors are not seen

        monkeypatch.setattr("rlrun.compute.execution.Captured", captured)
    elif broken == "no ends":
        wanted = {"episodes ended"}
        endless = ("env=mountaincar", "env.max_episode_steps=100000")  # chance does not reach the goal
        case = replace(case, overrides=changed(case.overrides, *endless))
    assert {str(row["check"]) for row in parity.dqn_checks(case, options) if not row["met"]} == wanted


def test_the_script_runs_a_part_speed_has_a_row_for_each_way(tmp_path: Path) -> None:
    answer = gpu_sh("speed", *tiny(tmp_path))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = written(tmp_path)
    assert [(row["compile"], row["precision"]) for row in found] == [("none", "float32"), ("none", "bfloat16")]
    assert all(float(row["steps_per_second"]) > 0 and float(row["update_ms"]) > 0 for row in found)


def test_learning_has_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import learning

    monkeypatch.setattr(sys, "argv", ["benchmarks/gpu/learning.py", *tiny(tmp_path)])
    assert learning.main() == 0
    found = written(tmp_path)
    counts = Counter(row["task"] for row in found)
    assert set(counts) == {"cartpole plain", "cartpole recorded"}
    assert min(counts.values()) >= 3
    assert all(float(row["eval_episode_return"]) > 0 for row in found)


def test_what_is_asked_of_learning_is_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import learning
    import parts

    def curve(*values: float) -> list[dict[str, object]]:
        return [{"step": 1000 * i, "eval_episode_return": value} for i, value in enumerate(values, 1)]

    by_name = {task.name: task for task in learning.tasks(parts.Chosen("cuda", False, 540.0, tmp_path))}
    cases: list[tuple[str, list[dict[str, object]], bool, str]] = [
        ("cartpole", curve(20, 480, 30), True, "asked for 475: ok"),
        ("cartpole", curve(20, 470), False, "asked for 475: NOT MET"),
        ("cartpole bfloat16", curve(20, 30), False, "asked for 195: NOT MET"),
        ("cartpole plain", curve(9), True, "no requirement"),
        ("cartpole recorded", curve(9, 10, 11), True, "3 of them: ok"),
        ("cartpole recorded", curve(9, 10, 12), False, "3 of them: NOT MET"),
        ("cartpole recorded", curve(9, 10), False, "2 of them: NOT MET"),
        ("pong", curve(-20.5), True, "before step 250,000"),
        ("pong", [{"step": 250_000, "eval_episode_return": -20.5}], False, "asked for -19: NOT MET"),
        ("pong", [{"step": 250_000, "eval_episode_return": -18}], True, "asked for -19: ok"),
    ]
    for name, found, met, text in cases:
        answer = learning.verdict(by_name[name], found, {"cartpole plain": curve(9, 10, 11, 12)})
        assert answer[0] is met
        assert text in answer[1]


def test_a_run_that_takes_too_long_is_stopped_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import learning
    import parts

    python = tmp_path / "python"  # evaluates once, trains on, and saves and stops when it is asked to
    row = '{"step": 5, "eval/episode_return": 9.5}'
    python.write_text(
        f"#!/bin/sh\ntrap 'exit 75' TERM\necho '{row}' > {quote(str(tmp_path / 'metrics.jsonl'))}\n"
        "while :; do sleep 0.01; done\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    options = parts.Chosen("cpu", True, 4.0, tmp_path)
    (found,) = learning.trained(learning.tasks(options)[0], options, 0.5, tmp_path)
    assert (found["finished"], found["step"], found["eval_episode_return"]) == (False, 5, 9.5)


def test_what_cannot_be_is_said_in_a_line(tmp_path: Path) -> None:
    unknown = gpu_sh("party")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "there is no part party" in unknown.stderr
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncase \"$*\" in *missing.py) echo 'torch>=2.11 is not installed'; exit 1;; esac\n")
    python.chmod(0o755)
    missing = gpu_sh("parity", PYTHON=str(python))
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "WHEELS=DIR installs wheels" in missing.stderr
    assert "torch>=2.11 is not installed" in missing.stderr


@pytest.mark.parametrize("has_pip", [True, False])
def test_wheels_are_used_where_they_are(tmp_path: Path, has_pip: bool) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with ZipFile(wheels / "probe-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("probe.py", "print('the wheel is here')\n")
        wheel.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        wheel.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("probe-1.0.dist-info/RECORD", "")
    python = tmp_path / "python"
    pip = f'exec {quote(sys.executable)} "$@"' if has_pip else "exit 1"
    python.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *parity.py*) exec {quote(sys.executable)} -c "import probe";; "-m pip"*) {pip};; esac\n'
        f'exec {quote(sys.executable)} "$@"\n'
    )
    python.chmod(0o755)
    answer = gpu_sh("parity", PYTHON=str(python), WHEELS=str(wheels))
    assert answer.returncode == 0, answer.stderr
    assert "the wheel is here" in answer.stdout


def test_missing_and_wrong_versions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import missing

    here = {"torch": "2.10.1+cu128", "omegaconf": "2.4.0", "gymnasium": "1.4.1", "antlr": "4.9.3", "core": "2.41.4"}

    def version(name: str) -> str:
        if name not in here:
            raise PackageNotFoundError
        return here[name]

    monkeypatch.setattr(missing, "version", version)
    assert missing.problem("torch>=2.11") == "torch>=2.11 is asked for, and 2.10.1+cu128 is here"
    assert missing.problem("omegaconf>=2.3,<2.4") == "omegaconf>=2.3,<2.4 is asked for, and 2.4.0 is here"
    assert missing.problem("gymnasium[classic-control]>=1.4,<1.5") is None
    assert missing.problem("rich>=13") == "rich>=13 is not installed"
    assert missing.problem("antlr (==4.9.*)") is None
    assert missing.problem("antlr ~=4.8") is None
    assert missing.problem("antlr!=4.9.3") == "antlr!=4.9.3 is asked for, and 4.9.3 is here"
    assert missing.problem("core==2.41.5") == "core==2.41.5 is asked for, and 2.41.4 is here"
    assert missing.problem('nowhere>=1; sys_platform == "no such system"') is None
    assert missing.problem('pygame>=2; extra == "classic-control"') is None


def test_what_dependencies_need_is_missed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import missing

    needs = {"a": ["b>=1", "c"], "b": ["c", "d ==2.*"], "torch": ["nothing-that-is-here"]}

    def version(name: str) -> str:
        if name not in needs:
            raise PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(missing, "version", version)
    monkeypatch.setattr(missing, "requires", needs.get)
    assert list(missing.problems(["a", "torch>=1"])) == ["c is not installed", "d==2.* is not installed"]


def test_nothing_is_missing_here() -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu" / "missing.py")], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_the_words_for_a_gpu_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    import learning
    import parts
    import steps_per_second

    options = parts.Chosen("cuda", False, 540.0, ROOT)
    ways = [
        [*options.overrides(size), f"device.compile={how}", f"device.precision={precision}"]
        for how, precision, size in steps_per_second.cases(options)
    ]
    runs = [[*task.overrides, "device=cuda", "logger=none"] for task in learning.tasks(options)]
    checked = [load_config(overrides, [config_directory()]) for overrides in [*ways, *runs]]
    assert {config.device.arguments["kind"] for config in checked} == {"cuda"}
    assert [config.device.arguments["compile"] for config in checked[len(ways) :]].count("graphs") == len(runs) - 1
