"""The models of Gymnasium's toy-text family, against the environments themselves and against known optima."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium_env import gymnasium_env
from planners import planner, solve

from rlrun.envs.toy_text import model_of
from rlrun.errors import UserError
from rlrun.types import EnvSpec, Float64Array, TabularModel

Outcome = tuple[int, float, bool]  # next state, reward, whether it terminates

ALL = [
    ("FrozenLake-v1", {}),
    ("FrozenLake-v1", {"map_name": "8x8"}),
    ("FrozenLake-v1", {"is_slippery": False}),
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
    ("CliffWalking-v1", {}),
    ("CliffWalking-v1", {"is_slippery": True}),
]
DETERMINISTIC = [("FrozenLake-v1", {"is_slippery": False}), ("Taxi-v4", {}), ("CliffWalking-v1", {})]


def name_of(case: Any) -> str:
    return "-".join(case) or "plain" if isinstance(case, dict) else str(case)


def made(env_id: str, options: dict[str, Any]) -> tuple[Any, TabularModel]:
    """The environment itself, without wrappers, seeded; and its model."""
    env = gymnasium.make(env_id, **options)
    model = model_of(env)
    assert model is not None
    inside = env.unwrapped
    inside.reset(seed=7)
    return inside, model


def step_from(inside: Any, state: int, action: int) -> Outcome:
    inside.s = state
    following, reward, terminated, _, _ = inside.step(action)
    return int(following), float(reward), bool(terminated)


def outcomes_of(model: TabularModel) -> dict[tuple[int, int], dict[Outcome, float]]:
    """The distribution of what follows every state and action, from the model's rows."""
    found: dict[tuple[int, int], dict[Outcome, float]] = {}
    fields = (model.state, model.action, model.next_state, model.reward, model.discount, model.probability)
    for state, action, following, reward, discount, probability in zip(*map(np.ndarray.tolist, fields), strict=True):
        there = found.setdefault((state, action), {})
        outcome = (following, reward, discount == 0.0)
        there[outcome] = there.get(outcome, 0.0) + probability
    return found


def reachable(model: TabularModel) -> list[int]:
    """The states that an episode can come to and goes on from."""
    outcomes = outcomes_of(model)
    seen = set(np.flatnonzero(model.initial).tolist())
    queue = deque(seen)
    while queue:
        state = queue.popleft()
        for action in range(model.num_actions):
            for (following, _, terminated), probability in outcomes[state, action].items():
                if probability > 0 and not terminated and following not in seen:
                    seen.add(following)
                    queue.append(following)
    return sorted(seen)


@pytest.mark.parametrize(("env_id", "options"), ALL, ids=name_of)
def test_every_legal_action_has_outcomes_of_probability_1(env_id: str, options: dict[str, Any]) -> None:
    _, model = made(env_id, options)
    total = np.zeros(model.legal.shape)
    np.add.at(total, (model.state, model.action), model.probability)
    np.testing.assert_allclose(total, model.legal.astype(float), rtol=0, atol=1e-12)
    assert (model.probability > 0).all()
    assert model.initial.sum() == pytest.approx(1.0, abs=1e-12)
    assert (model.legal.all(axis=1) == model.legal.any(axis=1)).all(), "all actions are legal, or it is over"


@pytest.mark.parametrize(
    ("env_id", "options", "count"),
    [(*case, count) for case, count in zip(DETERMINISTIC, (11, 400, 37), strict=True)],
    ids=name_of,
)
def test_deterministic_steps_are_the_models(env_id: str, options: dict[str, Any], count: int) -> None:
    inside, model = made(env_id, options)
    outcomes = outcomes_of(model)
    states = reachable(model)
    # The lake without holes and goal; Taxi's states but those with the passenger delivered; the cells above the cliff
    # and the start.
    assert len(states) == count
    for state in states:
        for action in range(model.num_actions):
            assert outcomes[state, action] == {step_from(inside, state, action): 1.0}


def check_frequencies(env_id: str, options: dict[str, Any], states: list[int], draws: int) -> int:
    """Counts outcomes of the environment, each within 4 standard errors of the model; how many were not certain."""
    inside, model = made(env_id, options)
    outcomes = outcomes_of(model)
    uncertain = 0
    for state in states or reachable(model):
        for action in range(model.num_actions):
            expected = outcomes[state, action]
            seen = Counter(step_from(inside, state, action) for _ in range(draws))
            assert seen.keys() <= expected.keys()
            for outcome, probability in expected.items():
                error = (probability * (1.0 - probability) / draws) ** 0.5
                assert abs(seen[outcome] / draws - probability) <= 4.0 * error + 1e-12, (state, action, outcome)
                uncertain += probability < 1.0
    return uncertain


def test_slippery_steps_are_as_frequent_as_the_model_says() -> None:
    assert check_frequencies("FrozenLake-v1", {}, [], 1500) > 100


def test_rainy_and_slippery_steps_are_as_frequent_as_the_model_says() -> None:
    assert check_frequencies("Taxi-v4", {"is_rainy": True}, [2, 216, 278, 337], 1500) >= 20
    assert check_frequencies("CliffWalking-v1", {"is_slippery": True}, [24, 30, 35, 36], 1500) >= 40


@pytest.mark.parametrize(
    ("env_id", "count"), [("FrozenLake-v1", 1), ("Taxi-v4", 300), ("CliffWalking-v1", 1)], ids=name_of
)
def test_first_states_are_the_models(env_id: str, count: int) -> None:
    inside, model = made(env_id, {})
    assert np.count_nonzero(model.initial) == count
    draws = 6000
    seen = Counter(int(inside.reset()[0]) for _ in range(draws))
    assert all(model.initial[state] > 0 for state in seen)
    # All states that come at all together, by the chi-square statistic: mean k, variance 2 k for k degrees of freedom.
    chosen = np.flatnonzero(model.initial)
    expected = draws * model.initial[chosen]
    statistic = float(((np.array([seen[int(state)] for state in chosen]) - expected) ** 2 / expected).sum())
    freedom = count - 1
    assert abs(statistic - freedom) <= 4.0 * (2.0 * freedom) ** 0.5


@pytest.mark.parametrize(
    ("env_id", "options"), [("FrozenLake-v1", {"is_slippery": False}), ("CliffWalking-v1", {})], ids=name_of
)
def test_the_layouts_moves_are_where_actions_lead(env_id: str, options: dict[str, Any]) -> None:
    inside, model = made(env_id, options)
    layout = model.layout
    assert layout is not None
    height, width = layout.shape
    compared = 0
    for state in reachable(model):
        row, column = divmod(state, width)
        for action, (down, right) in enumerate(layout.moves):
            to = (row + down, column + right)
            inside_grid = 0 <= to[0] < height and 0 <= to[1] < width
            if not inside_grid or layout.marks[to[0]][to[1]] == "C":  # the edge holds; the cliff leads to the start
                continue
            assert step_from(inside, state, action)[0] == to[0] * width + to[1]
            compared += 1
    assert compared >= 30
    ends = {"FrozenLake-v1": [5, 7, 11, 12, 15], "CliffWalking-v1": [47]}[env_id]
    assert np.flatnonzero(layout.terminal).tolist() == ends
    assert np.flatnonzero(~model.legal.any(axis=1)).tolist() == ends


def test_frozen_lake_and_the_cliff_are_drawn_as_they_are() -> None:
    for env_id, rows in (
        ("FrozenLake-v1", ("SFFF", "FHFH", "FFFH", "HFFG")),
        ("CliffWalking-v1", ("." * 12, "." * 12, "." * 12, "." + "C" * 10 + ".")),
    ):
        layout = made(env_id, {})[1].layout
        assert layout is not None
        assert layout.marks == rows
        assert not layout.wall.any()


@pytest.mark.parametrize(
    ("env_id", "names"),
    [
        ("FrozenLake-v1", ("left", "down", "right", "up")),
        ("CliffWalking-v1", ("up", "right", "down", "left")),
        ("Taxi-v4", ("south", "north", "east", "west", "pick up", "drop off")),
    ],
)
def test_actions_have_names(env_id: str, names: tuple[str, ...]) -> None:
    assert made(env_id, {})[1].action_names == names


def test_taxis_actions_do_what_they_are_called() -> None:
    inside, model = made("Taxi-v4", {})
    for action, change in {"south": (1, 0), "north": (-1, 0), "east": (0, 1), "west": (0, -1)}.items():
        following, reward, _ = step_from(inside, inside.encode(2, 2, 0, 1), model.action_names.index(action))
        assert inside.decode(following) == (2 + change[0], 2 + change[1], 0, 1)
        assert reward == -1.0
    at_red = inside.encode(0, 0, 0, 1)
    assert step_from(inside, at_red, model.action_names.index("pick up"))[0] == inside.encode(0, 0, 4, 1)
    at_green = inside.encode(0, 4, 4, 1)
    delivered = inside.encode(0, 4, 1, 1)
    assert step_from(inside, at_green, model.action_names.index("drop off")) == (delivered, 20.0, True)


def optimal_by_a_plain_loop(inside: Any, gamma: float) -> Float64Array:
    """Value iteration straight from Gymnasium's P, one number at a time."""
    values = np.zeros(inside.observation_space.n)
    for _ in range(20_000):
        before = values.copy()
        for state, moves in inside.P.items():
            values[state] = max(
                sum(p * (r + (not ends) * gamma * values[following]) for p, following, r, ends in rows)
                for rows in moves.values()
            )
        if np.abs(values - before).max() < 1e-13:
            break
    return values


def planned(spec: EnvSpec, gamma: float) -> Float64Array:
    agent = planner("value_iteration", spec, gamma, tolerance=1e-12)
    solve(agent)
    values: Float64Array = agent.tables().values
    return values


def spec_of(env_id: str, **options: Any) -> EnvSpec:
    env = gymnasium_env(env_id, max_episode_steps=100, options=options or None)
    env.close()
    return env.spec


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_frozen_lakes_optimum_is_that_of_its_p(gamma: float) -> None:
    inside, model = made("FrozenLake-v1", {})
    expected = optimal_by_a_plain_loop(inside, gamma)
    values = planned(spec_of("FrozenLake-v1"), gamma)
    playable = model.legal.any(axis=1)
    np.testing.assert_allclose(values[playable], expected[playable], atol=1e-9)
    assert (values[~playable] == 0.0).all()
    if gamma == 1.0:
        assert values[0] == pytest.approx(14 / 17, abs=1e-9)  # 0.8235: the goal is reached so often, without a limit


def steps_to_the_end(inside: Any, start: int) -> dict[int, int]:
    """For every state that can be reached, the fewest steps from `start`; the end is -1. By stepping, not by P."""
    distance, queue = {start: 0}, deque([start])
    while queue:
        state = queue.popleft()
        for action in range(6):
            following, reward, terminated = step_from(inside, state, action)
            if reward == -10.0:
                continue
            key = -1 if terminated else following
            if key not in distance:
                distance[key] = distance[state] + 1
                if key != -1:
                    queue.append(key)
    return distance


def test_taxis_optimum_is_the_shortest_way_from_every_start() -> None:
    inside, model = made("Taxi-v4", {})
    values = planned(spec_of("Taxi-v4"), 1.0)
    # Row 3, column 1, the passenger at Y, to R: there is a wall to the west, so north, west, south twice, pick up,
    # north four times, drop off: 10 steps, 9 of them for -1 and the last for 20.
    assert values[inside.encode(3, 1, 2, 0)] == pytest.approx(20 - 9, abs=1e-9)
    starts = np.flatnonzero(model.initial)
    shortest = np.array([steps_to_the_end(inside, int(start))[-1] for start in starts[::6]])
    np.testing.assert_allclose(values[starts[::6]], 21 - shortest, atol=1e-9)
    assert values @ model.initial == pytest.approx(7.93, abs=0.005)


def test_the_cliffs_optimum_is_13_steps() -> None:
    values = planned(spec_of("CliffWalking-v1"), 1.0)
    assert values[36] == pytest.approx(-13.0, abs=1e-9)
    np.testing.assert_allclose(values[24:36], -np.arange(12, 0, -1), atol=1e-9)
    expected = optimal_by_a_plain_loop(made("CliffWalking-v1", {"is_slippery": True})[0], 0.9)
    values = planned(spec_of("CliffWalking-v1", is_slippery=True), 0.9)
    np.testing.assert_allclose(values[:37], expected[:37], atol=1e-9)  # all but the cliff and the goal


def test_a_fickle_passenger_has_no_model() -> None:
    env = gymnasium.make("Taxi-v4", fickle_passenger=True, fickle_probability=1.0)
    inside: Any = env.unwrapped
    inside.reset(seed=0)
    riding = inside.encode(2, 2, 4, 0)
    following, _, _ = step_from(inside, riding, 2)
    assert inside.decode(following)[3] != 0, "the passenger has changed their mind, of which P says nothing"
    assert all(inside.decode(row[1])[3] == 0 for row in inside.P[riding][2])
    assert model_of(env) is None
    with pytest.raises(UserError, match="Taxi-v4"):
        planned(spec_of("Taxi-v4", fickle_passenger=True), 0.9)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Blackjack-v1"])
def test_environments_without_p_have_no_model(env_id: str) -> None:
    assert model_of(gymnasium.make(env_id)) is None


class Given(gymnasium.Env[Any, Any]):
    """An environment that carries what it is given, and plays by it."""

    def __init__(self, P: Any, initial: Any, num_states: int, num_actions: int = 2, first: int = 0) -> None:  # noqa: N803
        self.observation_space = spaces.Discrete(num_states, start=first)
        self.action_space = spaces.Discrete(num_actions)
        self.P = P
        if initial is not None:
            self.initial_state_distrib = initial


def chain() -> Any:
    """0, 1, 2, and the goal 3: on, or fall and begin again at 0, which is over then."""
    over = [(1.0, 3, 0.0, True)]
    moves = {s: {0: [(1.0, 0, -1.0, True)], 1: [(1.0, s + 1, float(s == 2), s == 2)]} for s in range(3)}
    return moves | {3: {0: over, 1: over}}


def test_a_start_that_only_ends_lead_into_is_not_terminal() -> None:
    model = model_of(Given(chain(), np.eye(4)[0], 4))
    assert model is not None
    assert model.legal.any(axis=1).tolist() == [True, True, True, False]
    spec = EnvSpec("chain", spaces.Discrete(4), spaces.Discrete(2), 1, model=model)
    np.testing.assert_allclose(planned(spec, 0.9), [0.81, 0.9, 1.0, 0.0], atol=1e-9)


def test_a_state_reached_without_an_end_is_not_terminal_however_far_it_is() -> None:
    """0 -> 1 -> 2 -> 3 without an end, and every one of them is also entered by ends."""
    moves: Any = {s: {0: [(1.0, s + 1, 0.0, False)], 1: [(1.0, s, -1.0, True)]} for s in range(3)}
    moves[3] = {0: [(1.0, 4, 5.0, True)], 1: [(1.0, 3, -1.0, True)]}
    moves[4] = {a: [(1.0, 4, 0.0, False)] for a in (0, 1)}  # a terminal state may lead to itself
    for order in (moves, dict(reversed(moves.items()))):
        model = model_of(Given(order, np.eye(5)[0], 5))
        assert model is not None
        assert model.legal.any(axis=1).tolist() == [True, True, True, True, False]
        spec = EnvSpec("chain", spaces.Discrete(5), spaces.Discrete(2), 1, model=model)
        assert planned(spec, 0.5)[0] == pytest.approx(5 / 8, abs=1e-9)


def test_an_outcome_without_probability_leads_nowhere() -> None:
    moves = chain()
    moves[0][0] = [(1.0, 0, -1.0, True), (0.0, 3, 9.0, False)]
    model = model_of(Given(moves, np.eye(4)[0], 4))
    assert model is not None
    assert (model.probability > 0).all()
    assert model.legal.any(axis=1).tolist() == [True, True, True, False]


def test_terminal_states_may_be_missing_and_numbers_may_start_at_1() -> None:
    moves = chain()
    del moves[3]
    shifted = {
        s + 1: {a: [(p, n + 1, r, end) for p, n, r, end in rows] for a, rows in there.items()}
        for s, there in moves.items()
    }
    plain, other = model_of(Given(moves, np.eye(4)[0], 4)), model_of(Given(shifted, np.eye(4)[0], 4, first=1))
    assert plain is not None
    assert other is not None
    assert outcomes_of(plain) == outcomes_of(other)
    assert plain.legal.tolist() == other.legal.tolist()


def test_without_first_states_there_is_no_model_and_a_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert model_of(Given(chain(), None, 4)) is None
    (line,) = caplog.messages
    assert "no initial_state_distrib" in line


def test_another_attribute_called_p_is_no_model() -> None:
    for other in ({"a": 1.0}, {0: 0.5}, {}, 0.9):
        assert model_of(Given(other, np.eye(4)[0], 4)) is None


def changed(state: int, action: int, outcomes: Any) -> Any:
    moves = chain()
    moves[state][action] = outcomes
    return moves


@pytest.mark.parametrize(
    ("moves", "initial", "message"),
    [
        (changed(1, 0, [(0.5, 0, 0.0, True)]), np.eye(4)[0], r"P\[1\]\[0\] of Given .* 0\.5\b"),
        (changed(1, 0, []), np.eye(4)[0], r"P\[1\]\[0\] of Given .* 0\b"),
        (changed(1, 0, [(np.nan, 0, 0.0, True)]), np.eye(4)[0], "finite"),
        (changed(1, 0, [(1.0, 4, 0.0, True)]), np.eye(4)[0], r"next state 4\b.* 0 to 3"),
        (changed(1, 0, [(1.0, -1, 0.0, True)]), np.eye(4)[0], "next state -1"),
        (changed(1, 7, [(1.0, 0, 0.0, True)]), np.eye(4)[0], r"action 7\b.* 0 to 1"),
        (changed(1, 0, [(1.0, 0, np.inf, True)]), np.eye(4)[0], "finite"),
        (changed(1, 0, [(1.0, 0, None, True)]), np.eye(4)[0], "finite"),
        (changed(1, 0, [(1.0, 0.5, 0.0, True)]), np.eye(4)[0], r"next state 0\.5"),
        ({0: {}}, np.eye(4)[0], "P of Given"),
        (changed(1, 0, [(1.0, 0, 0.0)]), np.eye(4)[0], r"\(probability, next state, reward, terminated\)"),
        ({s: there for s, there in chain().items() if s != 1}, np.eye(4)[0], "state 1"),
        (chain() | {4: chain()[1]}, np.eye(4)[0], "state 4.* 0 to 3"),
        (chain(), np.eye(3)[0], "4 probabilities"),
        (chain(), np.full(4, 0.5), "4 probabilities"),
    ],
)
def test_transitions_that_are_no_model_are_refused(moves: Any, initial: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        model_of(Given(moves, initial, 4))
