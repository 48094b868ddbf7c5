import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlrun.envs.grid_gymnasium
import rlrun.envs.grid_map
from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.envs.gridworld import GridWorld, Observation
from rlrun.errors import UserError
from rlrun.protocols import VecEnv
from rlrun.testing.vec_env import VecEnvContract
from rlrun.types import Float64Array, TabularModel


def gridworld(
    map_name: str = "lecture",
    num_envs: int = 1,
    observation: Observation = "index",
    slip: float | None = None,
    max_episode_steps: int | None = 20,
    step_reward: float | None = None,
) -> GridWorld:
    return GridWorld(
        map=map_name,
        observation=observation,
        slip=slip,
        step_reward=step_reward,
        goal="map",
        max_episode_steps=max_episode_steps,
        num_envs=num_envs,
    )


class TestLecture(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        return gridworld(num_envs=num_envs, observation="one_hot", max_episode_steps=9)


class TestSlipperyBook(VecEnvContract):
    stochastic_start = False

    def make(self, num_envs: int) -> VecEnv:
        return gridworld("book", num_envs, "image", slip=0.5)


class TestContinuing(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        return gridworld("sutton_5x5", num_envs, "index", max_episode_steps=None)


def q_values(model: TabularModel, value: Float64Array, gamma: float) -> Float64Array:
    """Q(s, a) one step ahead of `value`; -inf where the action is not legal."""
    q = np.zeros((model.num_states, model.num_actions))
    gain = model.probability * (model.reward + gamma * model.discount * value[model.next_state])
    np.add.at(q, (model.state, model.action), gain)
    return np.where(model.legal, q, -np.inf)


def optimal(model: TabularModel, gamma: float) -> Float64Array:
    value = np.zeros(model.num_states)
    for _ in range(10_000):
        best = q_values(model, value, gamma).max(axis=1)
        new = np.where(model.legal.any(axis=1), best, 0.0)
        if np.abs(new - value).max() < 1e-12:
            break
        value = new.astype(np.float64)
    return value


def uniform_policy(model: TabularModel, gamma: float) -> Float64Array:
    """Solves the Bellman equations of the uniform policy over legal actions."""
    counts = np.maximum(model.legal.sum(axis=1, keepdims=True), 1).astype(np.float64)
    share = model.legal.astype(np.float64) / counts
    weight = (share[model.state, model.action] * model.probability).astype(np.float64)
    transition = np.zeros((model.num_states, model.num_states))
    np.add.at(transition, (model.state, model.next_state), weight * gamma * model.discount)
    reward = np.zeros(model.num_states)
    np.add.at(reward, model.state, weight * model.reward)
    return np.linalg.solve(np.eye(model.num_states) - transition, reward).astype(np.float64)


def test_lecture_grid_under_the_random_policy() -> None:
    # Sutton and Barto 2018, figure 4.1.
    expected = [[0, -14, -20, -22], [-14, -18, -20, -20], [-20, -20, -18, -14], [-22, -20, -14, 0]]
    np.testing.assert_allclose(uniform_policy(tabular_model(load_map("lecture")), 1.0).reshape(4, 4), expected)


def test_lecture_grid_is_optimal_by_distance_to_the_nearer_corner() -> None:
    rows, columns = np.indices((4, 4))
    expected = -np.minimum(rows + columns, 6 - rows - columns)
    np.testing.assert_array_equal(optimal(tabular_model(load_map("lecture")), 1.0).reshape(4, 4), expected)


def test_sutton_5x5() -> None:
    # Sutton and Barto 2018, figures 3.2 and 3.5, with two digits recomputed.
    model = tabular_model(load_map("sutton_5x5"))
    random_policy = [
        [3.31, 8.79, 4.43, 5.32, 1.49],
        [1.52, 2.99, 2.25, 1.91, 0.55],
        [0.05, 0.74, 0.67, 0.36, -0.40],
        [-0.97, -0.44, -0.35, -0.59, -1.18],
        [-1.86, -1.35, -1.23, -1.42, -1.98],
    ]
    best = [
        [21.98, 24.42, 21.98, 19.42, 17.48],
        [19.78, 21.98, 19.78, 17.80, 16.02],
        [17.80, 19.78, 17.80, 16.02, 14.42],
        [16.02, 17.80, 16.02, 14.42, 12.98],
        [14.42, 16.02, 14.42, 12.98, 11.68],
    ]
    np.testing.assert_allclose(uniform_policy(model, 0.9).reshape(5, 5), random_policy, atol=0.005)
    np.testing.assert_allclose(optimal(model, 0.9).reshape(5, 5), best, atol=0.005)


def test_book_grid_with_both_settings() -> None:
    # CS188 lecture (gamma .9, noise .2) and AIMA figure 17.3 (gamma 1, living reward -.04), four digits recomputed.
    discounted = optimal(tabular_model(load_map("book")), 0.9).reshape(3, 4)
    np.testing.assert_allclose(discounted[0], [0.6450, 0.7444, 0.8478, 1], atol=5e-5)
    np.testing.assert_allclose(discounted[1, [0, 2, 3]], [0.5663, 0.5719, -1], atol=5e-5)
    np.testing.assert_allclose(discounted[2], [0.4907, 0.4308, 0.4755, 0.2773], atol=5e-5)
    living = optimal(gridworld("book", step_reward=-0.04).spec.model or pytest.fail("no model"), 1.0).reshape(3, 4)
    np.testing.assert_allclose(living[0], [0.8116, 0.8678, 0.9178, 1], atol=5e-5)
    np.testing.assert_allclose(living[1, [0, 2, 3]], [0.7616, 0.6603, -1], atol=5e-5)
    np.testing.assert_allclose(living[2], [0.7053, 0.6553, 0.6114, 0.3879], atol=5e-5)


def test_karpathy_grid_pays_on_leaving_and_has_no_moves_off_the_grid() -> None:
    # karpathy/reinforcejs gridworld_dp.html; closed form V(goal) = 1 / (1 - .9^17).
    model = tabular_model(load_map("karpathy_10x10"))
    best = optimal(model, 0.9).reshape(10, 10)
    assert best[5, 5] == pytest.approx(1 / (1 - 0.9**17))
    assert best[0, 0] == pytest.approx(0.9**16 / (1 - 0.9**17))
    np.testing.assert_allclose(
        best[4], [0.2224, 0.2471, 0.2746, 0.2471, 0, 0.0801, -0.3622, 0.7087, 0.6378, 0.5740], atol=5e-5
    )
    random_policy = uniform_policy(model, 0.9).reshape(10, 10)
    assert random_policy[0, 0] == pytest.approx(-0.062486, abs=5e-7)
    assert random_policy[5, 5] == pytest.approx(0.943762, abs=5e-7)
    assert random_policy.min() == pytest.approx(-2.878021, abs=5e-7)
    episodic = optimal(tabular_model(load_map("karpathy_10x10").ending_at_jumps()), 0.9).reshape(10, 10)
    assert episodic[0, 0] == pytest.approx(0.9**16)
    assert episodic[5, 5] == pytest.approx(1.0)


def test_cliff() -> None:
    # Sutton and Barto 2018, example 6.6.
    best = optimal(tabular_model(load_map("cliff")), 1.0).reshape(4, 12)
    assert best[3, 0] == -13
    np.testing.assert_array_equal(best[2], -np.arange(12, 0, -1))
    assert best[0, 0] == -14
    env = gridworld("cliff")
    env.reset(0)
    fallen = env.step(np.array([1]))
    assert fallen.reward.tolist() == [-100]
    assert fallen.next_obs.tolist() == [36]
    assert not fallen.last[0]


def test_episodes_start_anywhere_but_where_one_falls() -> None:
    grid = rlrun.envs.grid_map.parse_map("T : terminal\nH : fall T -1\n\n.H.\n.#T", "pit")
    assert np.argwhere(grid.start).tolist() == [[0, 0], [0, 2], [1, 0]]


def test_a_move_that_the_map_calls_illegal_is_refused() -> None:
    env = gridworld("karpathy_10x10", 2)
    before = env.reset(0)
    assert before["obs"].tolist() == [0, 0]  # the start, in the north-western corner
    assert before["action_mask"].tolist() == [[False, True, True, False]] * 2
    with pytest.raises(ValueError, match=r"west .*row 0, column 0 .*slot 1"):
        env.step(np.array([1, 3]))
    assert env.step(np.array([1, 2])).next_obs["obs"].tolist() == [1, 10]
    stays = gridworld("lecture", max_episode_steps=None)
    cell = stays.reset(0).tolist()
    for _ in range(5):
        cell = stays.step(np.array([0])).next_obs.tolist()
    assert cell[0] < 4  # at the northern edge, or at the end


@pytest.mark.parametrize("name", ["lecture", "sutton_5x5", "book", "karpathy_10x10", "cliff"])
def test_probabilities_of_every_legal_action_sum_to_one(name: str) -> None:
    model = tabular_model(load_map(name))
    total = np.zeros(model.legal.shape)
    np.add.at(total, (model.state, model.action), model.probability)
    np.testing.assert_allclose(total, model.legal.astype(float), atol=1e-12)
    assert model.initial.sum() == pytest.approx(1.0)


def test_what_is_played_agrees_with_the_model() -> None:
    env = gridworld("book", num_envs=4000, slip=0.3, max_episode_steps=50)
    model = env.spec.model
    assert model is not None
    cell = env.reset(1)
    rng = np.random.default_rng(0)
    counts: dict[tuple[int, int], dict[int, int]] = {}
    for _ in range(20):
        action = rng.integers(0, 4, 4000)
        time_step = env.step(action)
        for state, chosen, following in zip(cell, action, time_step.next_obs, strict=True):
            outcome = counts.setdefault((int(state), int(chosen)), {})
            outcome[int(following)] = outcome.get(int(following), 0) + 1
        cell = time_step.obs
    for (state, action_), outcome in counts.items():
        total = sum(outcome.values())
        rows = (model.state == state) & (model.action == action_)
        for following, count in outcome.items():
            probability = model.probability[rows & (model.next_state == following)].sum()
            deviation = 5 * np.sqrt(max(probability * (1 - probability), 1e-12) / total)
            assert abs(count / total - probability) <= deviation + 1e-9


def test_a_time_limit_keeps_the_future_and_a_terminal_does_not() -> None:
    env = gridworld(max_episode_steps=3)
    # Bumping into the north edge from cell 1 or 2 would never end; go on until both kinds of end were seen.
    env.reset(0)
    kinds = set()
    for _ in range(60):
        time_step = env.step(np.array([0]))
        if time_step.last[0]:
            ended_in_corner = int(time_step.next_obs[0]) in (0, 15)
            assert time_step.discount[0] == (0.0 if ended_in_corner else 1.0)
            kinds.add(ended_in_corner)
    assert kinds == {True, False}


def test_images_show_agent_walls_and_ends() -> None:
    env = gridworld("book", observation="image")
    image = env.reset(0)[0]
    assert image.shape == (3, 3, 4)
    assert np.argwhere(image[0] == 255).tolist() == [[2, 0]]
    assert np.argwhere(image[1] == 255).tolist() == [[1, 1]]
    assert np.argwhere(image[2] == 255).tolist() == [[0, 3], [1, 3]]


def test_pictures_move_with_the_agent() -> None:
    env = gridworld("book", slip=0.0)
    env.reset(0)
    assert env.render_ansi() == ". . . +\n. # . -\n@ . . ."
    before = env.render_rgb(ended=False)
    env.step(np.array([0]))
    assert env.render_ansi() == ". . . +\n@ # . -\nS . . ."
    assert before.shape == (3 * 48 + 1, 4 * 48 + 1, 3)
    assert not np.array_equal(before, env.render_rgb(ended=False))


def test_the_gymnasium_environment_is_registered_and_passes_its_checker() -> None:
    check_env(gymnasium.make(rlrun.envs.grid_gymnasium.ID, map="cliff", render_mode="rgb_array").unwrapped)


def test_a_million_cells_make_a_model() -> None:
    rows = ["T" + "." * 999] + ["." * 1000] * 999
    model = tabular_model(rlrun.envs.grid_map.parse_map("T : terminal\n\n" + "\n".join(rows), "big"))
    assert len(model.state) == 4 * (1_000_000 - 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no cells"),
        ("slip: 0.2\n", "there are no cells"),
        ("slip: 2\n\n..", "line 1: slip must be a probability"),
        ("slip: x\n\n..", "line 1: 'x' is not a number"),
        ("step_reward: nan\n\n..", "line 1: nan is not finite"),
        ("sleep: 0.2\n\n..", "line 1: unknown key 'sleep'; nearest: slip"),
        ("reward_on: entering\n\n..", "line 1: reward_on must be enter or leave"),
        ("+ : exits 1\n\n+.", "line 1: a cell must mean one of"),
        ("+ : exit\n\n+.", "line 1: `exit` takes a reward"),
        ("J : jump\n\nJ.", "line 1: `jump` needs the character"),
        ("J : jump a\n\nJ.", "line 1: 'a' must mark exactly one cell, not 0"),
        ("slip: 0\n\n...\n..", "line 4: this row has 2 cells, but the first one has 3"),
        ("slip: 0\n\n..\n.x", "line 4, column 2: 'x' is not defined in the header"),
        ("slip: 0\nfoo\n\n..", "line 2: expected `key: value`"),
        ("slip: 0\n\n##", "there is no cell to start from"),
    ],
)
def test_malformed_maps_are_refused_in_one_line_that_says_where(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        rlrun.envs.grid_map.parse_map(text, "my.txt")
    assert message in str(error.value)
    assert str(error.value).startswith("map my.txt")
    assert "\n" not in str(error.value)


def test_an_unknown_map_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"lectur\b.*lecture"):
        load_map("lectur")
