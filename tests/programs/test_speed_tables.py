"""`docs/speed.md` says what the CSVs say, and CSVs say where they come from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import provenance
import pytest
from memory import Peak, bytes_per_step, row_of, run
from operations import REST, shares_of
from provenance import RESULTS, ROOT, read_rows, typed, write_rows
from tables import OTHERS, PAGE, TABLES, render, table

MADE = {"command": "benchmarks/speed/x.py", "commit": "abc1234", "machine": "a CPU, 2 cores"}


def test_the_page_is_what_the_csvs_give() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render(text, RESULTS) == text, "run benchmarks/speed/tables.py"


def test_every_table_has_a_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in [*TABLES, *OTHERS]:
        assert text.count(f"<!-- table {name} -->") == 1


def test_another_number_in_a_csv_is_another_page(tmp_path: Path) -> None:
    (tmp_path / "startup.csv").write_text(
        "what,seconds,rounds,min,max,command,commit,machine\nrlrun,1.984,5,1.9,2.25,c.py,abc1234,m\n"
    )
    text = "before\n<!-- table startup -->\nold\n<!-- end -->\nafter\n"
    made = render(text, tmp_path)
    assert made == (
        "before\n<!-- table startup -->\n"
        "| what | to the first step | rounds |\n|---|---|---|\n| `rlrun` | 1.98 (1.9 to 2.25) s | 5 |\n\n"
        "[`startup.csv`](../benchmarks/results/startup.csv): `c.py` at abc1234 on m.  \n"
        "<!-- end -->\nafter\n"
    )
    assert render(made, tmp_path) == made
    (tmp_path / "startup.csv").unlink()
    assert "Not measured yet: there is no `benchmarks/results/startup.csv`." in render(made, tmp_path)


def test_works_come_in_their_order_with_ratio_and_spread(tmp_path: Path) -> None:
    names = "work,rlrun_steps_per_second,rlrun_min,rlrun_max,peer_steps_per_second,peer_min,peer_max,ratio,ratio_min"
    (tmp_path / "speed.csv").write_text(
        f"{names},ratio_max,rounds,command,commit,machine\n"
        "dqn_cartpole,2000,1900,2100,500,,,4,3.9,4.25,3,c,d,m\n"
        "dqn_pong,222.4,200,230,101,90,110,2.2,2.1,2.34,3,c,d,m\n"
    )
    lines = table("workloads", tmp_path).splitlines()
    assert lines[2] == (
        "| DQN Pong (Nature network, batch 32, one update per 4 steps) | 222 (200 to 230) | 101 (90 to 110) | "
        "**2.20** (2.10 to 2.34) | 3 | 2.2 / 3 |"
    )
    assert "| 2,000 (1,900 to 2,100) | 500 | **4.00** (3.90 to 4.25) | 3 | 2.2 / 3.5 |" in lines[3]
    with pytest.raises(KeyError):
        table("nothing", tmp_path)
    assert lines[0].startswith("| workload | rlrun steps/s | stable-baselines3 steps/s |")
    assert table("workloads_tianshou", tmp_path).startswith("Not measured yet")
    (tmp_path / "speed.csv").rename(tmp_path / "speed_tianshou.csv")
    others = table("workloads_tianshou", tmp_path).splitlines()
    assert others[0].startswith("| workload | rlrun steps/s | Tianshou steps/s |")
    assert [line.removesuffix(goal) for line, goal in zip(lines[2:4], (" 2.2 / 3 |", " 2.2 / 3.5 |"), strict=True)] == (
        others[2:4]
    )


def test_rows_keep_their_origin_and_only_what_was_measured_anew_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "x.csv"
    monkeypatch.setattr(provenance, "provenance", lambda: MADE)
    write_rows(path, [{"what": "a", "value": 1}, {"what": "b", "value": 2}], ["what"])
    monkeypatch.setattr(provenance, "provenance", lambda: MADE | {"commit": "def5678"})
    write_rows(path, [{"what": "b", "value": 3}], ["what"])
    assert [(row["what"], row["value"], row["commit"]) for row in read_rows(path)] == [
        ("a", "1", "abc1234"),
        ("b", "3", "def5678"),
    ]
    assert read_rows(tmp_path / "none.csv") == []


@pytest.fixture
def a_copy_without_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.setattr(provenance, "ROOT", copy)
    monkeypatch.delenv("RLRUN_COMMIT", raising=False)
    provenance.commit.cache_clear()
    yield copy
    provenance.commit.cache_clear()


@pytest.mark.parametrize("git", ["is there", "is not there", "is of a folder above"])
def test_a_copy_without_history_says_so_or_is_told(
    git: str, a_copy_without_history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if git == "is not there":
        monkeypatch.setenv("PATH", str(a_copy_without_history))
    elif git == "is of a folder above":
        commit = ["-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "c"]
        for arguments in (["init", "-q"], commit):
            subprocess.run(["git", *arguments], cwd=a_copy_without_history.parent, check=True)
    assert provenance.commit() == "unknown"
    assert provenance.commit() == "unknown"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "RLRUN_COMMIT=..." in said
    provenance.commit.cache_clear()
    monkeypatch.setenv("RLRUN_COMMIT", "abc1234")
    assert provenance.commit() == "abc1234"
    assert capsys.readouterr().err == ""


def test_the_commit_is_gits_word_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLRUN_COMMIT", "abc1234")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "def5678+\n"))
    provenance.commit.cache_clear()
    assert provenance.commit() == "def5678+"
    provenance.commit.cache_clear()


def test_a_command_is_written_down_without_paths_of_this_machine() -> None:
    argv = ["elsewhere/benchmarks/speed/x.py", "--peer", "elsewhere/python", "--rounds", "3", "--results=here"]
    assert typed(argv) == "benchmarks/speed/x.py --peer PYTHON --rounds 3"
    assert typed(["x.py", "--results", "here", "--peer=elsewhere/python", "--only", "dqn_pong"]) == (
        "benchmarks/speed/x.py --peer PYTHON --only dqn_pong"
    )


def test_memory_of_a_million_steps_is_worked_out_from_two_peaks() -> None:
    small, large = Peak(10_000, 2**30), Peak(110_000, 2**30 + 100_000 * 8192)
    assert bytes_per_step(small, large) == 8192
    row = row_of("rlrun", [small, large], 7000.04)
    assert row["measured_bytes_per_step"] == 8192
    assert row["replay_bytes_per_step"] == 7000.0
    hidden = row_of("rlrun", [Peak(10_000, 2**30), Peak(110_000, 2**30)], 8192.0)  # never less than what is allocated
    assert hidden["million_gib"] == pytest.approx(1 + 890_000 * 8192 / 2**30, abs=0.005)
    assert row["million_gib"] == pytest.approx((2**30 + 990_000 * 8192) / 2**30, abs=0.005)


def test_a_peak_is_that_of_the_process() -> None:
    # pytest itself is large, and Linux hands its peak down: the program refuses, which a small parent would not.
    with pytest.raises(RuntimeError, match="larger than the one it measures"):
        run([sys.executable, "-c", "print(1)"], {})
    with pytest.raises(RuntimeError, match=r"status 3\b"):
        run([sys.executable, "-c", "raise SystemExit(3)"], {})
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from memory import run; "
        "import json; print(json.dumps(run([sys.executable, '-c', 'b = bytes([7]) * (300 * 2**20); print(7)'], {})))"
    )
    folder = str(ROOT / "benchmarks" / "speed")
    path = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True, env=path)
    peak, output = json.loads(done.stdout)
    assert output == "7\n"
    assert 300 * 2**20 < peak < 340 * 2**20


def test_operations_are_told_apart_and_what_is_in_none_is_the_rest() -> None:
    spent = {
        "aten::addmm": 2.0,
        "aten::mm": 1.0,
        "aten::mkldnn_convolution": 0.5,
        "aten::tanh": 0.5,
        "ProfilerStep": 9.0,
    }
    spent |= {"autograd::engine::evaluate_function: AddmmBackward0": 0.25, "aten::_fused_adam_": 0.75}
    assert shares_of(spent, 10.0) == {
        REST: 0.5,
        "matrix products": 0.3,
        "optimizer": 0.075,
        "convolutions, forward": 0.05,
        "other operations": 0.05,
        "autograd's own": 0.025,
    }
    with pytest.raises(ValueError, match="thread"):
        shares_of({"aten::mm": 4.0}, 2.0)
