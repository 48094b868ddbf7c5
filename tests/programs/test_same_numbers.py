"""The comparison of two checkouts sees a changed metric, a changed evaluation and a changed table."""

import json
import shutil
from pathlib import Path

import pytest
from same_numbers import ROOT, differences, run

from rlrun.runs.state_file import read_state, write_state


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(ROOT, tmp_path_factory.mktemp("same") / "now", "value_iteration gridworld", {})


def test_what_is_equal_is_equal_and_every_change_is_seen(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    assert list(differences(finished, copy)) == []

    metrics = copy / "metrics.jsonl"
    first, *others = metrics.read_text().splitlines()
    changed = json.loads(first) | {"env_steps": 0, "value/start": 17.5}  # the former is new since: not compared
    metrics.write_text("\n".join([json.dumps(changed), *others]) + "\n")
    (difference,) = differences(finished, copy)
    assert "value/start" in difference
    assert "17.5" in difference
    shutil.copy(finished / "metrics.jsonl", metrics)

    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"eval/returns": [99.0]}))
    (difference,) = differences(finished, copy)
    assert "99.0" in difference
    shutil.copy(finished / "result.json", copy / "result.json")

    (path,) = (copy / "checkpoints").glob("step-*.state")
    content = read_state(path)
    content["state"]["agent"]["values"][1] += 1e-15
    write_state(path, content, compress=False)
    (difference,) = differences(finished, copy)
    assert "values" in difference
