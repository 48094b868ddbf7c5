"""The best and the final policy of a run, those of its checkpoints, and exported ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from rlrun.api.running import Command, carry_out
from rlrun.build import Player, build, build_player
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directory
from rlrun.config.saved import config_of_run
from rlrun.errors import UserError
from rlrun.protocols import ValuesActions
from rlrun.runs.manifest import manifest_of_run
from rlrun.runs.policies import Policies, export_policy, policy_of
from rlrun.runs.state_file import write_state
from rlrun.testing.agent import same
from rlrun.types import State

OVERRIDES = [
    "algo=dqn",
    "env=cartpole",
    "total_steps=900",
    "device=cpu",
    "logger=none",
    "name=run",
    "log_every_steps=100",
]
OVERRIDES += ["algo.replay.learning_starts_steps=100", "algo.optimizer.learning_rate=5e-4"]
OVERRIDES += ["evaluation.episodes=2", "evaluation.every_steps=300", "evaluation.num_envs=2", "checkpoint.keep=3"]


def config(runs: Path, *more: str) -> Config:
    return load_config([*OVERRIDES, f"runs_dir={runs}", *more], [config_directory()])


def trained(runs: Path, *more: str) -> Path:
    directory = runs / "cartpole/dqn/run/seed0"
    carry_out(config(runs, *more), directory, Command(["rlrun"], ()))
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"))


def player_of(directory: Path) -> Player:
    return build_player(config_of_run(directory, manifest_of_run(directory)))


def evaluations(directory: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["eval/episode_return"] for row in rows if "eval/episode_return" in row}


def test_the_best_and_the_final_one_know_their_step_and_evaluation(run: Path) -> None:
    found = evaluations(run)
    best, final = policy_of(run, "best"), policy_of(run, "last")
    assert best.evaluation_mean == found[best.step] == max(found.values())
    assert (final.step, final.evaluation_mean) == (max(found), found[max(found)])
    assert policy_of(run).path == final.path
    newest = max((run / "checkpoints").glob("step-*.state"), key=lambda path: int(path.stem[5:]))
    assert policy_of(run, str(final.step)).path == final.path
    assert int(newest.stem[5:]) == final.step


def test_any_checkpoint_has_a_policy(run: Path) -> None:
    steps = sorted(int(path.stem[5:]) for path in (run / "checkpoints").glob("step-*.state"))
    assert len(steps) > 1
    first = policy_of(run, str(steps[0]))
    assert first.step == steps[0]
    assert not same(first.state["q"], policy_of(run, "last").state["q"])


def test_a_player_acts_as_the_trained_agent_does(run: Path) -> None:
    trained_agent = build(config_of_run(run, manifest_of_run(run)), run)
    state = trained_agent.run.checkpoints.newest_sound(print, move_aside=False)
    assert state is not None
    trained_agent.run.agent.load_state_dict(state["agent"])
    player = player_of(run)
    policy_of(run, "last").load_into(player.agent)
    obs = torch.randn(50, 4)
    assert isinstance(player.agent, ValuesActions)
    assert isinstance(trained_agent.run.agent, ValuesActions)
    assert torch.equal(player.agent.q_values(obs), trained_agent.run.agent.q_values(obs))
    trained_agent.close()
    player.close()


def test_a_replay_that_only_acts_takes_no_room(tmp_path: Path) -> None:
    huge = ["env=pong", "algo.replay.capacity_steps=100000000", "total_steps=100000000"]
    words = [word for word in OVERRIDES if not word.startswith(("env=", "total_steps", "algo.optimizer"))]
    too_large = load_config([*words, *huge, f"runs_dir={tmp_path}"], [config_directory()])
    with pytest.raises(UserError, match=r"algo\.replay\.capacity_steps"):
        build(too_large)
    build_player(too_large).close()


def test_a_longer_run_asks_its_newest_checkpoint_until_it_is_finished(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    content = (tmp_path / "run/checkpoints/step-912.state").read_bytes()
    (tmp_path / "run/checkpoints/step-1000.state").write_bytes(content)
    found = policy_of(tmp_path / "run", "last")
    assert found.path.name == "step-1000.state"
    assert found.evaluation_mean is None


def test_a_damaged_file_and_one_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run/policies/best.state"
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(UserError, match=r"best\.state is damaged"):
        policy_of(tmp_path / "run", "best")
    other = {
        "format": 1,
        "belongs_to": {"experiment": "abc", "seed": 0},
        "step": 3,
        "evaluation_mean": 1.0,
        "agent": {},
    }
    write_state(path, other, compress=True)
    with pytest.raises(UserError, match=r"belongs to another run: its experiment is abc"):
        policy_of(tmp_path / "run", "best")


def test_a_policy_that_does_not_fit_is_refused(run: Path, tmp_path: Path) -> None:
    player = build_player(config(tmp_path, "algo.network.hidden=[3]"))
    with pytest.raises(UserError, match="does not fit the agent"):
        policy_of(run, "best").load_into(player.agent)
    player.close()


def test_what_there_is_not_is_named_with_what_there_is(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no policy 17; available: best, last, .*912"):
        policy_of(run, "17")
    with pytest.raises(UserError, match="is not a run"):
        policy_of(tmp_path)
    (tmp_path / "manifest.json").write_bytes((run / "manifest.json").read_bytes())
    with pytest.raises(UserError, match="has no policy yet"):
        policy_of(tmp_path)


def test_an_exported_policy_reads_like_a_run(run: Path, tmp_path: Path) -> None:
    saved, player = policy_of(run, "best"), player_of(run)
    saved.load_into(player.agent)
    into = tmp_path / "policies" / "cartpole"
    export_policy(run, saved, player.agent, into)
    assert sorted(path.name for path in into.rglob("*") if path.is_file()) == [
        "best.state",
        "config.yaml",
        "manifest.json",
    ]
    assert [path.name for path in into.parent.iterdir()] == ["cartpole"]
    again, other = policy_of(into), player_of(into)
    assert (again.step, again.evaluation_mean) == (saved.step, saved.evaluation_mean)
    assert same(again.state, saved.state)
    again.load_into(other.agent)
    assert manifest_of_run(into)["sessions"] == []
    with pytest.raises(UserError, match="exists already"):
        export_policy(run, saved, player.agent, into)
    with pytest.raises(UserError, match="no policy last; available: best"):
        policy_of(into, "last")
    player.close()
    other.close()


def test_only_what_acts_is_exported_from_a_checkpoint(run: Path, tmp_path: Path) -> None:
    steps = sorted(int(path.stem[5:]) for path in (run / "checkpoints").glob("step-*.state"))
    saved, player = policy_of(run, str(steps[0])), player_of(run)
    saved.load_into(player.agent)
    export_policy(run, saved, player.agent, tmp_path / "one")
    assert list(policy_of(tmp_path / "one").state) == ["q"]
    player.close()


class WithoutParts:
    """A table that says nothing of its policy."""

    def __init__(self) -> None:
        self.table = torch.zeros(3)

    def state_dict(self) -> State:
        return {"table": self.table}

    def load_state_dict(self, state: State) -> None:
        self.table = state["table"]


def test_the_whole_state_of_an_agent_that_names_no_entries_is_kept(run: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((run / "manifest.json").read_bytes())
    manifest = manifest_of_run(run)
    agent, other = WithoutParts(), WithoutParts()
    agent.table += 2.0
    kept = Policies(tmp_path, {"experiment": manifest["experiment_hash"], "seed": 0})
    assert kept.keep("best", agent, 5, 1.5)
    policy_of(tmp_path, "best").load_into(other)
    assert torch.equal(other.table, agent.table)


def test_a_write_that_fails_leaves_the_one_before(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_bytes((run / "manifest.json").read_bytes())
    kept = Policies(tmp_path, {"experiment": manifest_of_run(run)["experiment_hash"], "seed": 0})
    kept.keep("best", WithoutParts(), 5, 1.5)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        kept.keep("best", WithoutParts(), 6, 2.5)
    monkeypatch.undo()
    assert policy_of(tmp_path, "best").step == 5
    assert [path.name for path in (tmp_path / "policies").iterdir()] == ["best.state"]
