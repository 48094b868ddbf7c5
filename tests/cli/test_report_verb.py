"""`rlrun report`: its files, and what it refuses with one line."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_runs import ATARI, made_run
from PIL import Image

from rlrun.cli.main import run_command
from rlrun.reports import summaries


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two seeds of two experiments, in `runs` of an empty directory that is the current one."""
    monkeypatch.chdir(tmp_path)
    for n_step in (1, 3):
        for seed in (0, 1):
            made_run(Path("runs"), [9, 100 * n_step, 480 + seed], seed=seed, keys={"n_step": n_step})
    return Path("runs")


def refused(words: Sequence[str], capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    """Status 2, one line with these parts, and no file."""
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert run_command(["rlrun", "report", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert all(part in said.err for part in parts), said.err
    assert sorted(Path().rglob("*")) == before


def test_it_writes_pictures_a_text_and_a_page_that_needs_no_other_file(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["rlrun", "report", str(runs)]) == 0
    said = capsys.readouterr()
    assert said.out == "report: runs/report/report.html\n"
    assert "Fewer than 5 seeds" in said.err
    names = {path.name for path in Path("runs/report").iterdir()}
    pictures = {f"cartpole-{kind}" for kind in ("curves", "scores", "improvement", "profiles")}
    assert names == {"report.html", "report.md"} | {f"{name}.{end}" for name in pictures for end in ("png", "svg")}
    page = Path("runs/report/report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 4
    for source in sources:
        kind, _, data = source.partition("base64,")
        assert kind == "data:image/svg+xml;"
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")
    text = Path("runs/report/report.md").read_text()
    assert "| dqn algo.n_step=3 | 2 | 480.50 [480.00, 481.00] |" in text
    assert set(re.findall(r"\]\(([^)]*)\)", text)) <= names
    for name in pictures:
        with Image.open(f"runs/report/{name}.png") as picture:
            assert picture.width > 400
    assert not list(Path().glob("**/*.tmp*"))


def test_the_same_runs_give_the_same_bytes_again(runs: Path) -> None:
    assert run_command(["rlrun", "report", str(runs), "--out", "first"]) == 0
    assert run_command(["rlrun", "report", str(runs), "--out", "second"]) == 0
    for path in Path("first").iterdir():
        assert path.read_bytes() == Path("second", path.name).read_bytes(), path.name


def test_a_report_is_replaced_and_nothing_else_is(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path("out")
    out.mkdir()
    assert run_command(["rlrun", "report", str(runs), "--out", "out"]) == 0
    (out / "stale.png").touch()  # a picture of the earlier report
    (out / "report.md").write_text((out / "report.md").read_text() + "\n![old](stale.png)\n")
    assert run_command(["rlrun", "report", str(runs), "--out", "out"]) == 0
    assert not (out / "stale.png").exists()
    refused([str(runs), "--out", str(runs)], capsys, "is not a report")
    refused([str(runs), "--out", "out/report.md"], capsys, "is a file")
    refused([str(runs), "--out", "out/report.md/deeper"], capsys, "cannot be written")


@pytest.mark.parametrize("name", ["notes.txt", "other.png", "directory/deeper.txt"])
def test_a_file_beside_the_report_is_never_removed(runs: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run_command(["rlrun", "report", str(runs), "--out", "out"]) == 0
    Path("out", name).parent.mkdir(exist_ok=True)
    Path("out", name).write_text("mine")
    refused([str(runs), "--out", "out"], capsys, repr(Path(name).parts[0]))
    assert Path("out", name).read_text() == "mine"


def test_a_page_that_rlrun_did_not_write_is_no_report(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/report.html").write_text("<p>my own</p>")
    refused([str(runs), "--out", "mine"], capsys, "is not a report")


def test_the_earlier_report_comes_back_if_the_new_one_cannot_take_its_place(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(["rlrun", "report", str(runs), "--out", "out"]) == 0
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    refused([str(runs), "--out", "out"], capsys, "No space left on device")
    assert Path("out/report.html").is_file()


def test_a_link_stays_and_its_directory_has_the_report(runs: Path) -> None:
    Path("link").symlink_to("there", target_is_directory=True)
    for _ in range(2):  # to a new directory, and in place of an earlier report
        assert run_command(["rlrun", "report", str(runs), "--out", "link"]) == 0
        assert Path("link").is_symlink()
        assert Path("there/report.html").is_file()
    assert {path.name for path in Path().iterdir()} == {"runs", "link", "there"}


def test_where_it_is_written_without_out(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = runs / "cartpole-dqnn_step=1", runs / "cartpole-dqnn_step=3"
    monkeypatch.setattr(summaries, "SAMPLES", 10)
    for words, place in (
        ([first], first),
        ([first, second], runs),
        ([first / "seed0"], first),
        ([second / "seed0", first / "seed0"], runs),
    ):
        assert run_command(["rlrun", "report", *map(str, words)]) == 0
        assert (place / "report" / "report.html").is_file()
        shutil.rmtree(place / "report")


def test_mixed_protocols_and_code(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_run(runs, [1], seed=7, keys={"n_step": 1}, episodes=99)
    refused([str(runs)], capsys, "evaluation.episodes", "seed7", "seed0")
    made_run(Path("other"), [1], seed=7, code="f" * 32)
    refused([str(runs / "cartpole-dqnn_step=1" / "seed0"), "other"], capsys, "code", "ffffffffff")
    words = [str(runs / "cartpole-dqnn_step=1" / "seed0"), "other", "--mixed-code", "--out", "out"]
    assert run_command(["rlrun", "report", *words]) == 0
    assert "different code" in Path("out/report.md").read_text()


def test_no_runs_and_unfinished_ones(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["nowhere"], capsys, "nowhere is not a directory")
    Path("empty").mkdir()
    refused(["empty"], capsys, "no run in empty")
    made_run(Path("begun"), [1, 2], finished=False)
    refused(["begun"], capsys, "no run is left", "--unfinished")
    assert run_command(["rlrun", "report", "begun", str(runs), "--out", "without"]) == 0
    assert "is left out: it is unfinished" in capsys.readouterr().err
    assert run_command(["rlrun", "report", "begun", "--unfinished", "--out", "with"]) == 0
    text = Path("with/report.md").read_text()
    assert "unfinished: 2.00" in text
    assert "### Final policy" not in text, "no statistic counts it"


def test_wrong_arguments(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused([], capsys, "DIR")
    refused([str(runs), "--target", "much"], capsys, "--target much")
    refused([str(runs), "--suite", "atari50"], capsys, "atari49")
    refused([str(runs), "--suite", "atari49"], capsys, "no finished run")


def test_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for game, score in {"pong": 9.3, "breakout": 1.7}.items():
        for seed in (0, 1):
            for algo in ("dqn", "a2c"):
                made_run(Path("runs"), [score], seed=seed, env={**ATARI, "game": game}, algo=algo)
    assert run_command(["rlrun", "report", "runs", "--suite", "atari49"]) == 0
    text = Path("runs/report/report.md").read_text()
    assert "### dqn: 1 of 2 games at human level (47 of the 49 were not run)" in text
    assert "| pong | 2 | -20.70 | 9.30 | 9.30 | 100% | yes | 18.90 | 132% |" in text
    assert "| dqn | 2 | 0.50 [0.50, 0.50] |" in text
    assert Path("runs/report/atari49-profiles.png").is_file()


@pytest.mark.parametrize("task", [{"repeat_action_probability": 0.25}, {}], ids=["environment", "settings"])
def test_a_suite_pools_only_equal_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task: dict[str, float]
) -> None:
    monkeypatch.chdir(tmp_path)
    made_run(Path("runs"), [9.3], env=ATARI, keys={"n_step": 1})
    if task:
        made_run(Path("runs"), [5.0], env={**ATARI, **task}, name="other", keys={"n_step": 1})
        refused(["runs", "--suite", "atari49"], capsys, "pong counts once")
    else:
        made_run(Path("runs"), [1.7], env={**ATARI, "game": "breakout"}, keys={"n_step": 3})
        refused(["runs", "--suite", "atari49"], capsys, "'dqn' have other settings", "breakout", "pong")


def test_discounted_returns_have_a_column_where_there_are_any(runs: Path) -> None:
    def table(out: str) -> list[list[str]]:
        assert run_command(["rlrun", "report", str(runs), "--unfinished", "--out", out]) == 0
        lines = Path(out, "report.md").read_text().partition("### Every run")[2].strip().splitlines()
        return [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("|")]

    assert "discounted" not in table("without")[0]
    made_run(runs, [9, 10], seed=2, keys={"n_step": 1}, discounted=7.25)
    made_run(runs, [9, 10], seed=3, keys={"n_step": 1}, discounted=6.5, finished=False)
    head, _, *rows = table("with")
    column, seed = head.index("discounted"), head.index("seed")
    assert {row[seed]: row[column] for row in rows} == {"0": "", "1": "", "2": "7.25", "3": "6.50"}
