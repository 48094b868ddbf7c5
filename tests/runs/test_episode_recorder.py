"""The log of what was played, against episodes that can be worked out by hand."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.runs import episode_recorder
from rlrun.runs.episode_log import FILE, RESTARTED, EpisodeLog, Header, read_episode_log
from rlrun.runs.episode_recorder import EpisodeRecorder
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import (
    ActorOutput,
    Array,
    BoolArray,
    Carry,
    Collection,
    EnvSpec,
    Int64Array,
    Metrics,
    Rollout,
    State,
    Steps,
    WholeEpisodes,
)

CPU = torch.device("cpu")
OPENED: list[EpisodeRecorder] = []  # by the running test


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Closes the files of recorders that stand for killed processes."""
    yield
    while OPENED:
        OPENED.pop().close()


class Scripted(ScriptedEnv):
    """`ScriptedEnv`, whose streams are episodes, or pairs of episodes."""

    steps_per_second = 1.0

    def __init__(self, num_envs: int, episodes_in_stream: int = 1, num_actions: int = 2) -> None:
        super().__init__(num_envs)
        spec = self.spec
        self.spec = EnvSpec(spec.name, spec.observation, spaces.Discrete(num_actions), num_envs)
        self._in_stream = episodes_in_stream

    def stream_numbers(self) -> Int64Array:
        return self._episode // self._in_stream

    def begin_streams(self, seeds: Int64Array) -> Array:
        return self.reset(int(seeds[0]))

    def render_rgb(self, *, ended: bool) -> Array:
        return np.zeros((1, 1, 3), np.uint8)


class Counting:
    """Plays actions 0, 1, 2 ... in turn, whatever it sees; counted from the first row of slot 0."""

    finished = False

    def __init__(self, collection: Collection, num_actions: int = 2) -> None:
        self.collection = collection
        self._num_actions = num_actions
        self._played = 0

    def initial_carry(self, num_envs: int) -> Carry:
        return ()

    def act(self, obs: torch.Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        action = (self._played + torch.arange(len(obs))) % self._num_actions
        self._played += len(obs)
        return ActorOutput(action, (), {})

    def learn(self, rollout: Rollout) -> Metrics:
        return {}

    def state_dict(self) -> State:
        return {"played": self._played}

    def load_state_dict(self, state: State) -> None:
        self._played = state["played"]


def collector_of(
    env: Scripted, collection: Collection, directory: Path, num_actions: int = 2
) -> tuple[Collector, EpisodeRecorder, Counting]:
    recorder = EpisodeRecorder(env, directory)
    OPENED.append(recorder)
    return Collector(env, collection, CPU, 0, recorder), recorder, Counting(collection, num_actions)


def played(env: Scripted, collection: Collection, rollouts: int, directory: Path, num_actions: int = 2) -> EpisodeLog:
    collector, recorder, agent = collector_of(env, collection, directory, num_actions)
    for _ in range(rollouts):
        collector.collect(agent)
    recorder.close()
    return read_episode_log(directory / FILE)


def test_episodes_are_numbered_in_the_order_in_which_they_end(tmp_path: Path) -> None:
    # Episode e of slot b lasts 2 + (b + e) % 3 steps. Slot 0: rows 0-1, 2-4, 5-8. Slot 1: 0-2, 3-6, 7-8.
    log = played(Scripted(2), Steps(3), 3, tmp_path)
    assert [log.episode(number).slot for number in range(1, 7)] == [0, 1, 0, 1, 0, 1]
    assert log.episodes["length"].tolist() == [2, 3, 3, 4, 4, 2]
    assert log.episodes["last_row"].tolist() == [1, 2, 4, 6, 8, 8]
    assert log.episodes["step"].tolist() == [4, 6, 10, 14, 18, 18]  # two a row
    assert log.episodes["stream"].tolist() == [0, 0, 1, 1, 2, 2]
    # Slot 0 always plays 0, slot 1 always 1. Rewards are 1 + 10 t + 100 b + 0.5 action.
    assert log.actions.tolist() == [[0, 1]] * 9
    assert log.episodes["episode_return"].tolist() == [12.0, 334.5, 33.0, 466.0, 64.0, 213.0]
    assert log.best == 4
    assert len(log) == 6


def test_an_episode_comes_with_the_actions_of_its_own_slot_and_stream(tmp_path: Path) -> None:
    # Five actions in turn over two slots: slot 0 plays 0 2 4 1 3 ..., slot 1 plays 1 3 0 2 4 ...
    log = played(Scripted(2, num_actions=5), Steps(9), 1, tmp_path, num_actions=5)
    third = log.episode(3)  # slot 0, rows 2 to 4
    assert (third.slot, third.stream, third.length, third.start) == (0, 1, 3, 0)
    assert third.history.tolist() == [4, 1, 3]


def test_in_a_longer_stream_what_came_before_the_episode_is_told_as_well(tmp_path: Path) -> None:
    log = played(Scripted(2, episodes_in_stream=2, num_actions=5), Steps(9), 1, tmp_path, num_actions=5)
    third = log.episode(3)  # slot 0, rows 2 to 4; its stream began in row 0
    assert (third.slot, third.stream, third.length, third.start) == (0, 0, 3, 2)
    assert third.history.tolist() == [0, 2, 4, 1, 3]
    fifth = log.episode(5)  # slot 0, rows 5 to 8, the first of the second stream
    assert (fifth.stream, fifth.start, fifth.history.tolist()) == (1, 0, [0, 2, 4, 1])


def test_whole_episodes_number_only_what_counts_and_remember_restarts(tmp_path: Path) -> None:
    # One episode of each slot at a time. Slot 0 ends in row 1, waits, and has begun another when slot 1 ends in row 2;
    # that one (its episode 1) is abandoned for episode 2 (4 steps, rows 3 to 6), slot 1's episode 1 (4 steps) is not.
    log = played(Scripted(2), WholeEpisodes(1), 2, tmp_path)
    assert log.episodes["slot"].tolist() == [0, 1, 0, 1]
    assert log.episodes["length"].tolist() == [2, 3, 4, 4]
    assert log.episodes["before"].tolist() == [0, 0, 0, 0]
    assert log.episodes["last_row"].tolist() == [1, 2, 6, 6]
    assert log.episodes["step"].tolist() == [4, 5, 13, 13]  # in row 2 only slot 1 counts
    assert log.episodes["stream"].tolist() == [0, 0, 2, 1]
    assert len(log.restarts) == 0  # a new stream needs none


def test_a_restart_inside_a_stream_is_a_part_of_its_history(tmp_path: Path) -> None:
    log = played(Scripted(2, episodes_in_stream=100, num_actions=5), WholeEpisodes(1), 2, tmp_path, num_actions=5)
    assert log.restarts.tolist() == [(3, 0)]
    third = log.episode(3)
    assert third.history.tolist() == [0, 2, 4, RESTARTED, 1, 3, 0, 2]
    assert (third.start, third.length) == (4, 4)
    first = log.episode(1)
    assert (first.history.tolist(), first.start) == ([0, 2], 0)
    fourth = log.episode(4)  # slot 1 was not restarted
    assert (fourth.history.tolist(), fourth.start) == ([1, 3, 0, 2, 4, 1, 3], 3)


@pytest.mark.parametrize("collection", [Steps(3), WholeEpisodes(1)])
@pytest.mark.parametrize("episodes_in_stream", [1, 3])
@pytest.mark.parametrize("saved_after", [1, 4, 8])
def test_a_run_that_goes_on_writes_the_same_bytes(
    collection: Collection, episodes_in_stream: int, saved_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_recorder, "_BLOCK_ACTIONS", 10)  # rows of two slots: a block every 5 rows
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = played(Scripted(2, episodes_in_stream), collection, 12, tmp_path / "whole")
    collector, recorder, agent = collector_of(Scripted(2, episodes_in_stream), collection, tmp_path / "killed")
    for _ in range(saved_after):
        collector.collect(agent)
    written, state = recorder.written(), (collector.state_dict(), agent.state_dict())
    for _ in range(3):  # what was played after the checkpoint, before the kill
        collector.collect(agent)
    again, other_recorder, other_agent = collector_of(Scripted(2, episodes_in_stream), collection, tmp_path / "killed")
    again.load_state_dict(state[0])
    other_agent.load_state_dict(state[1])
    assert other_recorder.written() == written
    for _ in range(12 - saved_after):
        again.collect(other_agent)
    other_recorder.close()
    assert (tmp_path / "killed" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()
    assert len(whole.actions) > 20, "there must be several blocks"


def test_a_log_that_was_closed_goes_on_as_if_it_never_had_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode_recorder, "_BLOCK_ACTIONS", 10)
    for name in ("whole", "longer"):
        (tmp_path / name).mkdir()
    played(Scripted(2), Steps(3), 5, tmp_path / "whole")
    collector, recorder, agent = collector_of(Scripted(2), Steps(3), tmp_path / "longer")
    for _ in range(3):
        collector.collect(agent)
    state = collector.state_dict(), agent.state_dict()
    recorder.close()
    assert len(read_episode_log(tmp_path / "longer" / FILE).actions) == 9, "what is left is written at the end"
    again, other_recorder, other_agent = collector_of(Scripted(2), Steps(3), tmp_path / "longer")
    again.load_state_dict(state[0])
    other_agent.load_state_dict(state[1])
    for _ in range(2):
        again.collect(other_agent)
    other_recorder.close()
    assert (tmp_path / "longer" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


def test_recording_cannot_begin_in_the_middle_of_a_run(tmp_path: Path) -> None:
    unrecorded, agent = Collector(Scripted(2), Steps(3), CPU, 0), Counting(Steps(3))
    unrecorded.collect(agent)
    collector, _, _ = collector_of(Scripted(2), Steps(3), tmp_path)
    with pytest.raises(UserError, match=r"record_episodes=true.* fresh=true"):
        collector.load_state_dict(unrecorded.state_dict())


@pytest.mark.parametrize("how", ["gone", "cut", "changed"])
def test_who_lost_the_log_goes_on_without_it_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    monkeypatch.setattr(episode_recorder, "_BLOCK_ACTIONS", 4)
    collector, recorder, agent = collector_of(Scripted(2), Steps(3), tmp_path)
    collector.collect(agent)
    collector.collect(agent)
    state = collector.state_dict()
    expected = collector.collect(agent)
    recorder.close()
    if how == "gone":
        (tmp_path / FILE).unlink()
    else:
        data = (tmp_path / FILE).read_bytes()
        (tmp_path / FILE).write_bytes(data[:40] if how == "cut" else data.replace(b"num_envs", b"sum_envs"))
    left = (tmp_path / FILE).read_bytes() if how != "gone" else None
    for _ in range(2):  # and once more from the checkpoint of a run that has no log
        again, other, _ = collector_of(Scripted(2), Steps(3), tmp_path)
        caplog.clear()
        again.load_state_dict(state)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "episodes.log" in caplog.text
        assert not (tmp_path / FILE).exists()
        assert other.written() == {}
        state = state | {"recorder": again.state_dict()["recorder"]}
        agent.load_state_dict({"played": 12})
        assert torch.equal(again.collect(agent).obs_sequence, expected.obs_sequence)
        other.close()
    aside = tmp_path / (FILE + ".damaged")
    assert (aside.read_bytes() if aside.exists() else None) == left
    assert not (tmp_path / FILE).exists()


class FullDisk(FileIO):
    """Takes a few bytes more, and then none until there is `room`."""

    room = False

    def write(self, data: Any, /) -> int:
        if not FullDisk.room and self.tell() > 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data if FullDisk.room else data[:7])


def no_space(error: OSError) -> bool:
    return error.errno == errno.ENOSPC


def test_a_block_that_does_not_fit_on_the_disk_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_recorder, "_BLOCK_ACTIONS", 4)
    (tmp_path / "whole").mkdir()
    played(Scripted(2), Steps(1), 40, tmp_path / "whole")
    monkeypatch.setattr(episode_recorder, "FileIO", FullDisk)
    monkeypatch.setattr(FullDisk, "room", False)
    collector, recorder, agent = collector_of(Scripted(2), Steps(40), tmp_path)
    with pytest.raises(OSError, check=no_space):
        collector.collect(agent)
    whole, there = (tmp_path / "whole" / FILE).read_bytes(), (tmp_path / FILE).read_bytes()
    assert whole.startswith(there), "what does not fit is taken back"
    assert 0 < len(read_episode_log(tmp_path / FILE).actions) < 40
    with pytest.raises(OSError, check=no_space):
        recorder.close()
    recorder.close()  # it is closed, and says nothing more
    assert (tmp_path / FILE).read_bytes() == there


def test_what_is_not_recorded_is_as_it_was(tmp_path: Path) -> None:
    recorded, _, agent = collector_of(Scripted(2), WholeEpisodes(1), tmp_path)
    plain, other = Collector(Scripted(2), WholeEpisodes(1), CPU, 0), Counting(WholeEpisodes(1))
    for _ in range(3):
        left, right = recorded.collect(agent), plain.collect(other)
        assert torch.equal(left.obs_sequence, right.obs_sequence)
        assert torch.equal(left.mask, right.mask)


def test_actions_take_the_fewest_bytes_that_hold_them() -> None:
    sizes = {count: Header(1, count, 0).action_dtype.itemsize for count in (1, 2, 256, 257, 65536, 65537)}
    assert sizes == {1: 1, 2: 1, 256: 1, 257: 2, 65536: 2, 65537: 4}


def test_many_actions_come_back(tmp_path: Path) -> None:
    log = played(Scripted(2, num_actions=300), Steps(200), 1, tmp_path, num_actions=300)
    assert log.actions.ravel().tolist() == [number % 300 for number in range(400)]


def test_a_block_that_is_not_whole_yet_is_left_out_and_damage_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_recorder, "_BLOCK_ACTIONS", 10)
    played(Scripted(2), Steps(5), 2, tmp_path)
    data = (tmp_path / FILE).read_bytes()
    for cut in (1, 3, 20):
        (tmp_path / "cut").write_bytes(data[:-cut])
        assert len(read_episode_log(tmp_path / "cut").actions) == 5
    half = bytearray(data)
    half[-6] ^= 0xFF
    (tmp_path / "bad").write_bytes(half)
    with pytest.raises(UserError, match="/bad "):
        read_episode_log(tmp_path / "bad")
    (tmp_path / "other").write_bytes(b"something else\n")
    with pytest.raises(UserError, match="/other "):
        read_episode_log(tmp_path / "other")


def test_masks_do_not_change_what_slots_are_told(tmp_path: Path) -> None:
    nobody: BoolArray = np.zeros(2, bool)
    collector, recorder, agent = collector_of(Scripted(2), Steps(2), tmp_path)
    collector.collect(agent)
    state = recorder.state_dict()
    recorder.restarted(nobody)
    after = recorder.state_dict()
    assert len(after["restarts"]["row"]) == 0
    assert after["first_row"].tolist() == state["first_row"].tolist()
