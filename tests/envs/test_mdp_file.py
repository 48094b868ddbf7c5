from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from rlrun.envs.mdp_file import MdpEnv, bundled_mdps, load_mdp, parse_mdp
from rlrun.envs.tabular import Observation
from rlrun.errors import UserError
from rlrun.protocols import VecEnv
from rlrun.testing.vec_env import VecEnvContract
from rlrun.types import Float64Array, TabularModel

RIGHT = """\
# A lamp: pressing works two times in three, and three in all break it.
states:
  - off
  - on
  - broken
actions: [press, wait]
start: {off: 2/3, on: 1/3}
looks: {on: lit}

transitions: # state, action, next state, probability, reward
  - [off, press, on, 2/3, 1.5]
  - [off, press, off, 1/3, -1/2]
  - [off, wait, off, 1, 0]
  - [on, press, off, 0.25, 0]
  - [on, press, off, 0.25, -2e-1] # the same next state, another reward
  - [on, press, broken, .5, -10]
"""


def mdp(name: str, num_envs: int = 1, observation: Observation = "index", limit: int | None = 20) -> MdpEnv:
    return MdpEnv(mdp=name, observation=observation, max_episode_steps=limit, num_envs=num_envs)


class TestRacingCar(VecEnvContract):
    stochastic_start = False

    def make(self, num_envs: int) -> VecEnv:
        return mdp("racing_car", num_envs)


class TestShortCorridor(VecEnvContract):
    stochastic_start = False

    def make(self, num_envs: int) -> VecEnv:
        return mdp("short_corridor", num_envs, "one_hot")


def backup(model: TabularModel, value: Float64Array, gamma: float) -> Float64Array:
    """Q [S, A] one step ahead of `value`; -inf where the action is not legal."""
    q = np.where(model.legal, 0.0, -np.inf)
    gain = model.probability * (model.reward + gamma * model.discount * value[model.next_state])
    np.add.at(q, (model.state, model.action), gain)
    return q


def sweep(model: TabularModel, value: Float64Array, gamma: float) -> Float64Array:
    return np.where(model.legal.any(axis=1), backup(model, value, gamma).max(axis=1), 0.0)


# CS188's racing car, (cool, warm): V1, V2, V3, V*, Q*(cool; slow, fast), Q*(warm; slow, fast), V(always slow).
RACING_CAR = {
    0.5: np.array([[2, 1], [2.75, 1.75], [3.125, 2.125], [3.5, 2.5], [2.75, 3.5], [2.5, -10], [2, 2]]),
    0.8: np.array([[2, 1], [3.2, 2.2], [4.16, 3.16], [8, 7], [7.4, 8], [7, -10], [5, 5]]),
    0.9: np.array([[2, 1], [3.35, 2.35], [4.565, 3.565], [15.5, 14.5], [14.95, 15.5], [14.5, -10], [10, 10]]),
}


@pytest.mark.parametrize("gamma", RACING_CAR)
def test_the_racing_car_has_the_values_of_the_lecture(gamma: float) -> None:
    model = load_mdp("racing_car").model
    *first_sweeps, optimal, cool, warm, slow = RACING_CAR[gamma]
    value = np.zeros(3)
    for expected in first_sweeps:
        value = sweep(model, value, gamma)
        np.testing.assert_allclose(value, np.append(expected, 0), atol=1e-12)
    for _ in range(400):
        value = sweep(model, value, gamma)
    np.testing.assert_allclose(value, np.append(optimal, 0), atol=1e-9)
    np.testing.assert_allclose(backup(model, value, gamma)[:2], np.stack([cool, warm]), atol=1e-9)
    always_slow = np.zeros(3)
    for _ in range(400):
        always_slow = np.where([True, True, False], backup(model, always_slow, gamma)[:, 0], 0.0)
    np.testing.assert_allclose(always_slow, np.append(slow, 0), atol=1e-9)


def test_the_undiscounted_racing_car_gains_one_and_a_half_a_sweep() -> None:
    model = load_mdp("racing_car").model
    value = np.zeros(3)
    for expected in ([2, 1, 0], [3.5, 2.5, 0], [5, 4, 0]):
        value = sweep(model, value, 1.0)
        np.testing.assert_allclose(value, expected, atol=1e-12)


def test_driving_fast_heats_a_cool_engine_half_of_the_time() -> None:
    slots = 20_000
    env = mdp("racing_car", slots)
    np.testing.assert_array_equal(env.reset(0), 0)
    step = env.step(np.ones(slots, np.int64))
    assert (step.reward == 2).all()
    assert abs((step.next_obs == 1).mean() - 0.5) < 5 * 0.5 / np.sqrt(slots)
    hot = step.next_obs == 1
    step = env.step(np.ones(slots, np.int64))
    np.testing.assert_array_equal(step.last, hot)
    np.testing.assert_array_equal(step.discount, np.where(hot, 0, 1))
    np.testing.assert_array_equal(step.reward, np.where(hot, -10, 2))
    assert (step.next_obs[hot] == 2).all()
    assert (step.obs[hot] == 0).all()


def test_a_car_that_never_overheats_runs_into_the_time_limit() -> None:
    env = mdp("racing_car", limit=4)
    env.reset(0)
    steps = [env.step(np.zeros(1, np.int64)) for _ in range(4)]
    assert [bool(step.last[0]) for step in steps] == [False, False, False, True]
    assert [float(step.discount[0]) for step in steps] == [1, 1, 1, 1]
    assert [float(step.reward[0]) for step in steps] == [1, 1, 1, 1]


def test_the_corridor_looks_the_same_everywhere_and_switches_its_actions_in_the_second_place() -> None:
    env = mdp("short_corridor", limit=None)
    assert env.file.look_names == ("corridor", "goal")
    assert env.file.looks.tolist() == [0, 0, 0, 1]
    assert env.spec.obs_space == spaces.Discrete(2)
    assert env.spec.model is not None
    assert env.spec.model.num_states == 4
    assert env.reset(0).tolist() == [0]
    left, right = 0, 1
    places, shown = [], []
    for action in (left, right, right, right, left, left, right):
        step = env.step(np.array([action]))
        assert step.reward[0] == -1
        places.append(int(env.state_dict()["state"][0]))
        shown.append(int(step.next_obs[0]))
    assert places == [0, 1, 0, 1, 2, 1, 0]
    assert shown == [0] * 7
    for action, place, ends in ((right, 0, False), (left, 0, False), (right, 1, True)):
        step = env.step(np.array([action]))
        assert (int(step.next_obs[0]), bool(step.last[0])) == (place, ends)


@pytest.mark.parametrize(("right", "value"), [(2 - np.sqrt(2), -11.656854), (0.95, -44.21), (0.05, -82.11)])
def test_the_corridor_is_worth_what_the_book_says(right: float, value: float) -> None:
    model = load_mdp("short_corridor").model  # Sutton and Barto (2018), example 13.1
    weight = np.array([1 - right, right])[model.action] * model.probability
    matrix = np.eye(4)
    np.add.at(matrix, (model.state, model.next_state), -weight * model.discount)
    reward = np.zeros(4)
    np.add.at(reward, model.state, weight * model.reward)
    exact = np.linalg.solve(matrix, reward)[0]
    assert exact == pytest.approx((2 * right - 4) / (right * (1 - right)), rel=1e-12)
    assert exact == pytest.approx(value, abs=0.005)


def test_a_right_file_becomes_the_model_that_it_says(tmp_path: Path) -> None:
    path = tmp_path / "lamp.yaml"
    path.write_text(RIGHT)
    env = mdp(str(path))
    assert env.spec.name == "lamp"
    model = env.file.model
    assert model.state_names == ("off", "on", "broken")
    assert model.action_names == ("press", "wait")
    rows = zip(
        model.state, model.action, model.next_state, model.probability, model.reward, model.discount, strict=True
    )
    assert [tuple(map(float, row)) for row in rows] == [
        (0, 0, 1, 2 / 3, 1.5, 1),
        (0, 0, 0, 1 / 3, -0.5, 1),
        (0, 1, 0, 1, 0, 1),
        (1, 0, 0, 0.25, 0, 1),
        (1, 0, 0, 0.25, -0.2, 1),
        (1, 0, 2, 0.5, -10, 0),
    ]
    assert model.initial.tolist() == [2 / 3, 1 / 3, 0]
    assert model.legal.tolist() == [[True, True], [True, False], [False, False]]
    assert env.file.look_names == ("off", "lit", "broken")
    env.reset(0)
    env.load_state_dict({**env.state_dict(), "state": np.array([1])})
    with pytest.raises(ValueError, match=r"action wait .*state on\b"):
        env.step(np.array([1]))


def test_without_a_start_episodes_begin_in_every_state_that_is_not_terminal() -> None:
    model = parse_mdp(RIGHT.replace("start: {off: 2/3, on: 1/3}\n", ""), "lamp").model
    assert model.initial.tolist() == [0.5, 0.5, 0]


def test_names_that_yaml_would_turn_into_something_else_stay_names() -> None:
    text = "states: [no, 1, 'a b', 1.0]\nactions: [~, yes]\ntransitions:\n- [no, ~, 1.0, 1, 2]\n- [1, yes, a b, 1, 3]\n"
    model = parse_mdp(text, "odd").model
    assert model.state_names == ("no", "1", "a b", "1.0")
    assert model.action_names == ("~", "yes")
    assert model.next_state.tolist() == [3, 2]


def changed(old: str, new: str) -> str:
    assert RIGHT.count(old) == 1, old
    return RIGHT.replace(old, new)


WRONG = {
    "unknown state": (
        changed("[off, wait, off, 1, 0]", "[of, wait, off, 1, 0]"),
        "line 13: there is no state 'of'; nearest: off",
    ),
    "unknown next state": (
        changed("broken, .5", "borken, .5"),
        "line 16: there is no state 'borken'; nearest: broken",
    ),
    "unknown action": (
        changed("off, wait, off", "off, wiat, off"),
        "line 13: there is no action 'wiat'; nearest: wait",
    ),
    "unknown key": (changed("start:", "starts:"), "line 7: there is no key 'starts'; nearest: start"),
    "looks mix legal actions": (
        changed("looks: {on: lit}", "looks:\n  on: lit\n  off: lit"),
        "line 10: states that look alike must have the same legal actions, but off (press, wait) and on (press) do",
    ),
    "key twice": (changed("looks: {on: lit}", "actions: [a]"), "line 8: key 'actions' is a duplicate; first on line 6"),
    "missing key": (changed("actions: [press, wait]\n", ""), "line 2: `actions` is missing"),
    "state twice": (changed("- broken", "- off"), "line 5: state 'off' is a duplicate; first on line 3"),
    "action twice": (changed("[press, wait]", "[press,\n press]"), "line 7: action 'press' is a duplicate"),
    "empty name": (changed("  - broken", "  -"), "line 5: a state must be a name, not nothing"),
    "state is a list": (changed("- broken", "- [a, b]"), "line 5: a state must be a name, not a list"),
    "states are a word": (
        changed("[press, wait]", "press"),
        "line 6: `actions` must be a list of names, such as [a, b]",
    ),
    "no actions": (
        changed("[press, wait]", "[]"),
        "line 6: `actions` must be a list of names, such as [a, b], not an empty",
    ),
    "row twice": (
        changed("0.25, -2e-1]", "0.25, 0.0]"),
        "line 15: this row repeats the state, action, next state and reward of line 14",
    ),
    "negative probability": (changed("2/3, 1.5", "-2/3, 1.5"), "line 11: a probability must be from 0 to 1, not -2/3"),
    "probability above 1": (
        changed("off, 1, 0", "off, 1.01, 0"),
        "line 13: a probability must be from 0 to 1, not 1.01",
    ),
    "probability NaN": (
        changed("broken, .5", "broken, .nan"),
        "line 16: a probability must be a number or a fraction such as 1/3, not '.nan'",
    ),
    "probability is a word": (
        changed("broken, .5", "broken, half"),
        "line 16: a probability must be a number or a fraction such as 1/3, not 'half'",
    ),
    "probability is a sum": (changed("broken, .5", "broken, 1-.5"), "line 16: a probability must be a number"),
    "division by zero": (changed("off, 1, 0", "off, 1/0, 0"), "line 13: a probability 1/0 divides by 0"),
    "reward infinite": (changed(".5, -10", ".5, -.inf"), "line 16: a reward must be a number or a fraction"),
    "reward too large": (changed(".5, -10", ".5, 1e39"), "line 16: a reward must fit into float32"),
    "reward missing": (
        changed("off, 1, 0]", "off, 1]"),
        "line 13: a row must have 5 fields, [state, action, next state, probability, reward], not 4",
    ),
    "six fields": (changed("off, 1, 0]", "off, 1, 0, 0]"), "line 13: a row must have 5 fields"),
    "row is a word": (changed("[off, wait, off, 1, 0]", "off wait off 1 0"), "line 13: a row must be [state, action,"),
    "sum above 1": (
        changed("1/3, -1/2", "0.34, -1/2"),
        "line 11: the probabilities of (off, press) must sum to 1, not 1.006666667",
    ),
    "sum below 1": (
        changed("broken, .5", "broken, .49999999"),
        "line 14: the probabilities of (on, press) must sum to 1, not 0.99999999",
    ),
    "start unknown": (changed("{off: 2/3, on: 1/3}", "onn"), "line 7: there is no state 'onn'; nearest: on"),
    "start terminal": (
        changed("{off: 2/3, on: 1/3}", "broken"),
        "line 7: no episode can start in 'broken': it has no rows, so it is terminal",
    ),
    "start partly terminal": (changed("on: 1/3", "\n  broken: 1/3"), "line 8: no episode can start in 'broken'"),
    "start sum": (changed("on: 1/3", "on: 1/4"), "line 7: the probabilities of `start` must sum to 1, not 0.91"),
    "start negative": (changed("on: 1/3", "on: -1/3"), "line 7: a probability must be from 0 to 1, not -1/3"),
    "start twice": (changed("on: 1/3", "off: 1/3"), "line 7: state 'off' is a duplicate; first on line 7"),
    "start list": (changed("{off: 2/3, on: 1/3}", "[off, on]"), "line 7: `start` must be a state, or a mapping"),
    "look of nothing": (changed("{on: lit}", "{onn: lit}"), "line 8: there is no state 'onn'; nearest: on"),
    "looks list": (changed("{on: lit}", "[lit]"), "line 8: `looks` must be a mapping {state: look}, not a list"),
    "no transitions": (RIGHT[: RIGHT.index("  - [off, press, on")], "line 10: `transitions` must be a list of rows"),
    "syntax": (changed("[off, wait, off, 1, 0]", "[off, wait, off, 1, 0"), "line 14: while parsing a flow sequence"),
    "tab": (changed("looks:", "\tlooks:"), "line 8: while scanning"),
    "two documents": (RIGHT + "---\nstates: [a]\n", "line 17: expected a single document"),
    "control character": (changed("two times", "two \x07times"), "line 1: the character '\\x07' is not allowed"),
    "anchor": (changed("[press, wait]", "&a [press, wait]"), "line 6: the anchor &a is not allowed in an MDP file"),
    "alias": (changed("{on: lit}", "*a"), "line 8: the alias *a is not allowed in an MDP file"),
    "tag": (
        changed("{on: lit}", "!!python/name:os.system x"),
        "line 8: the tag tag:yaml.org,2002:python/name:os.system",
    ),
    "empty": ("# nothing\n", "line 1: the file is empty; an MDP has the keys states, actions, start, looks, trans"),
    "a list": ("- states\n", "line 1: an MDP must be a mapping with the keys states, actions, start, looks, tr"),
    "nested": ("states: " + "[" * 5000, "line 1: lists are nested too deeply"),
}


@pytest.mark.parametrize(("text", "complaint"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_refused_with_its_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "lamp.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        mdp(str(path))
    message = str(caught.value)
    assert message.startswith(f"mdp {path}, {complaint}")
    assert "\n" not in message


def test_an_exact_third_is_the_nearest_float() -> None:
    thirds = RIGHT.replace("2/3, 1.5", "1/3, 1.5").replace(
        "1/3, -1/2]", "1/3, -1/2]\n  - [off, press, broken, 1 / 3, 0]"
    )
    model = parse_mdp(thirds, "lamp").model
    assert model.probability[:3].tolist() == [1 / 3] * 3


def test_a_name_that_is_neither_bundled_nor_a_file_is_refused_with_the_nearest() -> None:
    assert bundled_mdps() == ["racing_car", "short_corridor"]
    with pytest.raises(UserError, match=r"env\.mdp=racing_cat .*racing_car$"):
        load_mdp("racing_cat")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"states: \xff\xfe")
    with pytest.raises(UserError, match=r"binary\.yaml"):
        load_mdp(str(path))
