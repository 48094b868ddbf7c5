from __future__ import annotations

import pickle

import numpy as np
import pytest

from rlrun.envs.stream_log import RESTARTED, StreamLog


def mask(*values: int) -> np.ndarray:
    return np.array(values, bool)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_histories_hold_what_each_slot_was_told_since_its_stream_began() -> None:
    log = StreamLog(3)
    log.begin(mask(1, 1, 1), ints(70, 80, 90), ints(0, 0, 0))
    log.record(ints(1, 2, 3))
    log.record_restart(mask(0, 1, 0))
    log.record(ints(4, 5, 6))
    log.begin(mask(1, 0, 1), ints(71, 91), ints(1, 1))
    log.record(ints(7, 8, 9))
    assert log.history(0).tolist() == [7]
    assert log.history(1).tolist() == [2, RESTARTED, 5, 8]
    assert log.history(2).tolist() == [9]
    assert log.steps_since().tolist() == [1, 3, 1]
    assert log.seeds.tolist() == [71, 80, 91]
    assert log.numbers.tolist() == [1, 0, 1]


def test_dropping_rows_loses_nothing_that_a_running_stream_needs() -> None:
    rng = np.random.default_rng(0)
    log = StreamLog(4)
    log.begin(mask(1, 1, 1, 1), ints(0, 0, 0, 0), ints(0, 0, 0, 0))
    plain: list[list[int]] = [[], [], [], []]
    for number in range(1, 1500):
        action = rng.integers(5, size=4)
        log.record(action)
        began = rng.random(4) < (0.1, 0.01, 0.003, 0.5)
        restarted = (rng.random(4) < 0.05) & ~began
        for slot in range(4):
            plain[slot].append(int(action[slot]))
            if began[slot]:
                plain[slot] = []
            if restarted[slot]:
                plain[slot].append(RESTARTED)
        log.begin(began, ints(*[number] * began.sum()), ints(*[number] * began.sum()))
        if restarted.any():
            log.record_restart(restarted)
        if number % 100 == 0:
            copy = StreamLog(4)
            copy.load_state_dict(log.state_dict())
            log = copy
        assert [log.history(slot).tolist() for slot in range(4)] == plain
        assert log.steps_since().tolist() == [sum(a != RESTARTED for a in actions) for actions in plain]


def test_memory_is_bounded_by_the_longest_running_stream() -> None:
    log = StreamLog(2)
    for number in range(2000):
        log.begin(mask(1, 1), ints(number, number), ints(number, number))
        for _ in range(10):
            log.record(ints(0, 1))
    assert len(log.state_dict()["rows"]) == 10
    assert len(pickle.dumps(log)) < 2_000  # 20,000 rows of 8 bytes were recorded


def test_a_saved_log_does_not_change_when_the_log_goes_on() -> None:
    log = StreamLog(2)
    log.begin(mask(1, 1), ints(5, 6), ints(0, 0))
    log.record(ints(1, 2))
    state = log.state_dict()
    log.record(ints(3, 4))
    log.begin(mask(1, 0), ints(9), ints(1))
    other = StreamLog(2)
    other.load_state_dict(state)
    assert [other.history(slot).tolist() for slot in range(2)] == [[1], [2]]
    assert other.seeds.tolist() == [5, 6]
    other.record(ints(8, 8))
    assert state["rows"].tolist() == [[1, 2]]


def test_a_log_of_another_number_of_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="3 slots"):
        StreamLog(2).load_state_dict(StreamLog(3).state_dict())
