"""The manifest of a run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rlrun.runs import manifest as manifests
from rlrun.runs.manifest import (
    Code,
    Provenance,
    code_state,
    describe_machine,
    differing,
    digest_of_modules,
    experiment_hash,
    facts,
    flat,
    in_words,
    make_manifest,
)

MADE = Provenance(
    argv=["rlrun", "algo=dqn"],
    overrides=["algo=dqn"],
    labels={"algo": "dqn", "env": "pong"},
    evaluation={"protocol": "nature2015"},
    experiment={"algo": 1},
    settings={"log_every_steps": 10, "evaluation": {"episodes": 2}},
    seed=3,
    total_steps=10,
    machine=describe_machine("cpu", None, 2, "AVX2"),
)


def test_the_hash_depends_on_values_and_not_on_the_order_of_keys() -> None:
    first = experiment_hash({"algo": {"gamma": 0.9, "n": 1}, "env": {}})
    assert first == experiment_hash({"env": {}, "algo": {"n": 1, "gamma": 0.9}})
    assert first != experiment_hash({"env": {}, "algo": {"n": 1, "gamma": 0.91}})
    assert len(first) == 10
    assert int(first, 16) >= 0


def test_it_names_command_versions_and_machine() -> None:
    manifest = json.loads(json.dumps(make_manifest(MADE, Code("abc+", "a diff"))))
    assert manifest["argv"] == ["rlrun", "algo=dqn"]
    assert manifest["experiment"] == {"algo": 1}
    assert (manifest["total_steps"], manifest["seed"], manifest["evaluation"]) == (10, 3, {"protocol": "nature2015"})
    assert manifest["versions"]["torch"].startswith("2.")
    assert manifest["versions"]["python"].startswith("3.")
    assert (manifest["machine"]["device"], manifest["machine"]["num_threads"]) == ("cpu", 2)
    assert manifest["machine"]["cpu"]
    assert manifest["git_commit"] == "abc+"
    assert len(manifest["code_diff"]) == 32
    assert manifest["sessions"] == []


def test_facts_are_those_of_the_session_that_is_asked_for() -> None:
    manifest = make_manifest(MADE, Code("abc", None))
    first = facts(manifest)
    assert first["evaluation.episodes"] == 2
    assert first["machine.num_threads"] == 2
    assert facts(manifest, -1) == first, "there was no session yet"
    manifest["sessions"] = [{"differs": {}}, {"differs": {"machine.cpu": ["x", "y"]}}]
    assert facts(manifest, 0) == first
    assert facts(manifest, -1) == first | {"machine.cpu": "y"}


def test_differences_are_old_and_new() -> None:
    found = differing({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5, "d": 4})
    assert found == {"b": [2, 5], "c": [3, None], "d": [None, 4]}
    assert in_words(found) == "b 5 (was 2), c null (was 3), d 4 (was null)"
    assert flat({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}


def test_the_code_is_a_commit_and_the_changes_of_tracked_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "rlrun").mkdir()
    monkeypatch.setattr(manifests, "__file__", str(tmp_path / "rlrun" / "runs" / "manifest.py"))
    installed = code_state()
    assert (installed.commit, installed.diff) == (None, None), "an installed package has no repository"
    git("init")
    (tmp_path / "code.py").write_text("old = 1\n")
    git("add", "code.py")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "untracked.py").write_text("")
    code = code_state()
    assert (code.commit, code.diff) == (commit, None)
    (tmp_path / "code.py").write_text("new = 2\n")
    code = code_state()
    assert code.commit == commit + "+"
    assert code.diff is not None
    assert "-old = 1\n+new = 2\n" in code.diff


def test_the_digest_of_the_code_is_of_names_and_contents_of_modules(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "inside" / "b.py").write_text("")
    first = digest_of_modules(tmp_path)
    assert len(first) == 32
    (tmp_path / "notes.txt").write_text("no module")
    assert digest_of_modules(tmp_path) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert digest_of_modules(tmp_path) != first
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "inside" / "b.py").rename(tmp_path / "b.py")
    assert digest_of_modules(tmp_path) != first
    assert code_state().digest == digest_of_modules(Path(manifests.__file__).parents[1])
