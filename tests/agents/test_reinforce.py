import copy
import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlrun.agents.baselines import BaselineSettings, BatchMean, LearnedValue, MovingAverage
from rlrun.agents.reinforce import Estimator, Reinforce, estimate
from rlrun.errors import ArgumentError, UserError
from rlrun.nn.optimizers import Adam, OptimizerFactory
from rlrun.nn.trunks import MLP
from rlrun.numerics.schedules import Linear, Schedule
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract, same
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec, Episodes, Rollout, WholeEpisodes

CPU = torch.device("cpu")
CELLS = EnvSpec("cells", spaces.Discrete(3), spaces.Discrete(2), 2)
POLICY = "1.1.weight"  # the only weights of a linear policy, [A, cells]


def plain_sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1.0)


def reinforce(
    spec: EnvSpec = CELLS,
    seed: int = 0,
    *,
    episodes_per_batch: int = 4,
    estimator: Estimator = "discounted_reward_to_go",
    baseline: Literal["none", "moving_average", "batch_mean", "value"] = "none",
    normalize: bool = False,
    entropy_bonus: float | Schedule = 0.0,
    max_grad_norm: float | None = None,
    reward_clip: float | None = None,
    evaluation_policy: Literal["greedy", "sampled"] = "greedy",
    optimizer: OptimizerFactory = plain_sgd,
    value_optimizer: OptimizerFactory = Adam(learning_rate=1e-2, eps=1e-8),  # noqa: B008 (it keeps nothing)
) -> Reinforce:
    return Reinforce(
        optimizer=optimizer,
        episodes_per_batch=episodes_per_batch,
        estimator=estimator,
        gamma=0.5,
        baseline=BaselineSettings(kind=baseline, decay=0.9, optimizer=value_optimizer, updates=3),
        normalize=normalize,
        entropy_bonus=entropy_bonus,
        max_grad_norm=max_grad_norm,
        reward_clip=reward_clip,
        evaluation_policy=evaluation_policy,
        spec=spec,
        device=CPU,
        seed=seed,
        network=MLP(hidden=[], activation="tanh"),
    )


def with_logits(agent: Reinforce, logits: list[list[float]]) -> Reinforce:
    """Sets the table of logits [cells][actions]."""
    state = agent.state_dict()
    state["policy"] = {"1.1.weight": torch.tensor(logits).T, "1.1.bias": torch.zeros(2)}
    agent.load_state_dict(state)
    return agent


def learned(agent: Reinforce, rollout: Rollout) -> Tensor:
    """What one uniform-policy step of gradient ascent adds to the logits [A, cells]; plain SGD with step size 1."""
    with_logits(agent, [[0.0, 0.0]] * 3).learn(rollout)
    weight: Tensor = agent.state_dict()["policy"][POLICY]
    return weight.detach().clone()


def rollout_of(
    obs: list[list[int]],
    action: list[list[int]],
    reward: list[list[float]],
    last: list[list[int]],
    mask: list[list[int]] | None = None,
) -> Rollout:
    """A rollout written time by time; `obs` has no entry after the end."""
    ends = torch.tensor(last).bool()
    counts = torch.ones_like(ends) if mask is None else torch.tensor(mask).bool()
    sequence = torch.tensor([*obs, [0] * len(obs[0])])
    return Rollout(
        obs_sequence=sequence,
        final_obs=torch.zeros(int(ends.sum()), dtype=torch.int64),
        action=torch.tensor(action),
        reward=torch.tensor(reward),
        discount=1.0 - ends.float(),
        last=ends,
        mask=counts,
        extras={},
        episodes=Episodes.none(),
        num_steps=int(counts.sum()),
    )


# Slot 0 plays two episodes, of 2 and 1 steps; slot 1 plays one of 3 steps. Three episodes of unequal length.
THREE_EPISODES = rollout_of(
    obs=[[0, 0], [1, 1], [0, 2]],
    action=[[0, 1], [1, 1], [1, 0]],
    reward=[[1.0, 2.0], [4.0, 0.0], [8.0, -4.0]],
    last=[[0, 0], [1, 0], [1, 1]],
)


class TestReinforceWithValue(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return reinforce(spec, seed, baseline="value", normalize=True, max_grad_norm=1.0)


class TestReinforceWithMovingAverage(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(4)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return reinforce(spec, seed, baseline="moving_average", entropy_bonus=0.1, max_grad_norm=1.0)


FALLING = Linear(start=0.1, end=0.0, duration_steps=60, delay_steps=10)
SCHEDULED = Adam(learning_rate=FALLING, eps=1e-8)


class TestReinforceWithSchedules(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return reinforce(
            spec, seed, baseline="value", entropy_bonus=FALLING, optimizer=SCHEDULED, value_optimizer=SCHEDULED
        )


def test_both_learning_rates_and_the_bonus_are_those_of_the_steps_seen() -> None:
    # Six steps a batch: after the 12th all are 0, and nothing moves any more.
    falling = Linear(start=0.5, end=0.0, duration_steps=12, delay_steps=0)
    to_zero = Adam(learning_rate=falling, eps=1e-8)
    agent = reinforce(baseline="value", optimizer=to_zero, value_optimizer=to_zero, entropy_bonus=falling)
    states = []
    for rate in (0.25, 0.0, 0.0):
        assert agent.learn(THREE_EPISODES)["optimizer/learning_rate"] == pytest.approx(rate)
        state = agent.state_dict()
        states.append(copy.deepcopy([state["policy"], state["baseline"]["value"]]))
    assert same(states[0], states[1])
    assert same(states[0], states[2])
    assert not same(states[0][1], copy.deepcopy(reinforce(baseline="value").state_dict()["baseline"]["value"]))


def test_a_scheduled_entropy_bonus_is_that_of_its_step() -> None:
    scheduled = reinforce(entropy_bonus=Linear(start=1.0, end=0.0, duration_steps=12, delay_steps=0))
    for bonus in (0.5, 0.0, 0.0):
        logits = [[0.0, torch.tensor(3.0).log().item()]] * 3
        agents = [with_logits(scheduled, logits), with_logits(reinforce(entropy_bonus=bonus), logits)]
        for agent in agents:
            agent.learn(THREE_EPISODES)
        first, second = (agent.state_dict()["policy"][POLICY] for agent in agents)
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("estimator", "by_hand"),
    [
        # Slot 0: 1 + 4/2 = 3, then 8. Slot 1: 2 + 0/2 - 4/4 = 1.
        ("whole_return", [[3.0, 1.0], [3.0, 1.0], [8.0, 1.0]]),
        # The factors are 1, 1/2 and 1/4 from an episode's first step on.
        ("reward_to_go", [[3.0, 1.0], [2.0, -1.0], [8.0, -1.0]]),
        ("discounted_reward_to_go", [[3.0, 1.0], [4.0, -2.0], [8.0, -4.0]]),
    ],
)
def test_three_estimators_by_hand(estimator: Estimator, by_hand: list[list[float]]) -> None:
    weight = estimate(
        THREE_EPISODES.reward, THREE_EPISODES.discount, THREE_EPISODES.last, THREE_EPISODES.mask, 0.5, estimator
    )
    assert weight.tolist() == by_hand


def test_the_gradient_sums_over_steps_and_averages_over_episodes() -> None:
    # Uniform policy: grad log pi(a) is +1/2 at a and -1/2 at the other action; three episodes.
    # Cell 0: weights 3 (a=0), 8 (a=1), 1 (a=1); cell 1: 4 (a=1), -2 (a=1); cell 2: -4 (a=0).
    expected = torch.tensor([[3.0 - 8.0 - 1.0, -4.0 + 2.0, -4.0], [-3.0 + 8.0 + 1.0, 4.0 - 2.0, 4.0]]) / 2 / 3
    torch.testing.assert_close(learned(reinforce(), THREE_EPISODES), expected)


def test_the_batch_mean_is_subtracted_from_every_weight() -> None:
    # Weights 3, 1, 4, -2, 8, -4 have the mean 5/3.
    mean = 5 / 3
    expected = torch.tensor([(3 - mean) - (8 - mean) - (1 - mean), -(4 - mean) - (-2 - mean), -4 - mean]) / 2 / 3
    torch.testing.assert_close(learned(reinforce(baseline="batch_mean"), THREE_EPISODES)[0], expected)


def test_steps_outside_the_mask_have_no_influence() -> None:
    mask = [[1, 1], [1, 1], [0, 1]]

    def with_third_step(obs: int, action: int, reward: float, last: int) -> Rollout:
        return rollout_of(
            obs=[[0, 0], [1, 1], [obs, 2]],
            action=[[0, 1], [1, 1], [action, 0]],
            reward=[[1.0, 2.0], [4.0, 0.0], [reward, -4.0]],
            last=[[0, 0], [1, 0], [last, 1]],
            mask=mask,
        )

    for baseline in ("none", "batch_mean", "value"):
        first, second = reinforce(baseline=baseline), reinforce(baseline=baseline)
        one, other = with_third_step(0, 1, 8.0, 1), with_third_step(2, 0, -900.0, 0)
        torch.testing.assert_close(learned(first, one), learned(second, other))
        torch.testing.assert_close(learned(first, one), learned(second, other))  # after the baseline has learned


def bandit(actions: list[int]) -> Rollout:
    """One slot, episodes of one step; action 0 brings 3, action 1 brings 7."""
    return rollout_of(
        obs=[[0]] * len(actions),
        action=[[action] for action in actions],
        reward=[[3.0 + 4.0 * action] for action in actions],
        last=[[1]] * len(actions),
    )


@pytest.mark.parametrize("baseline", ["none", "moving_average", "value"])
def test_a_baseline_leaves_the_expected_gradient_alone(
    baseline: Literal["none", "moving_average", "value"],
) -> None:
    # p = (1/4, 3/4): the gradient of the expected reward 3 p0 + 7 p1 is p0 (3 - 6), p1 (7 - 6).
    logits = [[0.0, torch.tensor(3.0).log().item()], [0.0, 0.0], [0.0, 0.0]]
    spec = dataclasses.replace(CELLS, num_envs=1)
    expected = torch.zeros(2)
    for action, probability in ((0, 0.25), (1, 0.75)):
        agent = reinforce(spec, baseline=baseline)
        for _ in range(5):
            with_logits(agent, logits).learn(bandit([0, 1, 1]))  # the baseline learns something
        with_logits(agent, logits).learn(bandit([action]))
        expected += probability * (agent.state_dict()["policy"][POLICY][:, 0].detach() - torch.tensor(logits[0]))
    torch.testing.assert_close(expected, torch.tensor([-0.75, 0.75]), rtol=1e-4, atol=1e-5)


def test_the_moving_average_by_hand() -> None:
    baseline = MovingAverage(0.9, CPU)
    mask = torch.tensor([[True], [True], [False]])
    obs = torch.zeros(3, 1)
    assert baseline.predict(obs, torch.zeros(3, 1), mask).item() == 0.0
    baseline.learn(obs, torch.tensor([[2.0], [4.0], [100.0]]), mask, 2)
    assert baseline.predict(obs, torch.zeros(3, 1), mask).item() == pytest.approx(3.0)
    baseline.learn(obs, torch.tensor([[5.0], [7.0], [100.0]]), mask, 4)
    # (.9 * .1 * 3 + .1 * 6) / (1 - .81)
    assert baseline.predict(obs, torch.zeros(3, 1), mask).item() == pytest.approx(0.87 / 0.19, rel=1e-6)


def test_the_batch_mean_counts_only_steps_in_the_mask() -> None:
    mask = torch.tensor([[True], [True], [False]])
    assert BatchMean().predict(torch.zeros(3, 1), torch.tensor([[2.0], [4.0], [90.0]]), mask).item() == 3.0


def test_the_learned_value_steps_towards_the_weights() -> None:
    value = nn.Linear(1, 1, bias=False)
    nn.init.constant_(value.weight, 2.0)
    baseline = LearnedValue(value, torch.optim.SGD(value.parameters(), lr=0.5), updates=1)
    obs = torch.tensor([[[1.0]], [[3.0]], [[5.0]]])
    weight, mask = torch.tensor([[3.0], [4.0], [900.0]]), torch.tensor([[True], [True], [False]])
    assert baseline.predict(obs, weight, mask).tolist() == [[2.0], [6.0], [10.0]]
    loss = baseline.learn(obs, weight, mask, 2)["loss/value"]
    # Errors 1 and -2: half the mean square is 5/4; the slope moves by .5 * mean(1 * 1, -2 * 3).
    assert loss.item() == pytest.approx(1.25)
    assert value.weight.item() == pytest.approx(2.0 - 0.5 * 2.5)


def test_normalized_weights_do_not_depend_on_the_unit_of_reward() -> None:
    tenfold = dataclasses.replace(THREE_EPISODES, reward=10 * THREE_EPISODES.reward)
    one = learned(reinforce(normalize=True), THREE_EPISODES)
    # The weights 3, 1, 4, -2, 8, -4 have the mean 5/3 and the variance 110/6 - 25/9.
    centred = learned(reinforce(baseline="batch_mean"), THREE_EPISODES)
    torch.testing.assert_close(one, centred / (110 / 6 - 25 / 9) ** 0.5)
    torch.testing.assert_close(one, learned(reinforce(normalize=True), tenfold))


def equal_but_for(spread: float, offset: float) -> Rollout:
    """200 episodes of one step, with normally distributed rewards."""
    noise = torch.randn(200, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rollout = rollout_of(obs=[[0]] * 200, action=[[0], [1]] * 100, reward=[[0.0]] * 200, last=[[1]] * 200)
    return dataclasses.replace(rollout, reward=(offset + spread * noise).float())


@pytest.mark.parametrize(("offset", "spread"), [(99.34, 1e-2), (99.34, 0.1), (-5000.0, 1.0), (20000.0, 5.0)])
def test_normalized_weights_do_not_depend_on_what_all_returns_have_in_common(offset: float, spread: float) -> None:
    spec = dataclasses.replace(CELLS, num_envs=1)
    found = learned(reinforce(spec, normalize=True), equal_but_for(spread, offset))
    expected = learned(reinforce(spec, normalize=True), equal_but_for(1.0, 0.0))
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)  # float32 of 99.34 +- 1e-2 has three digits


def test_a_batch_of_nearly_equal_returns_does_not_poison_the_optimizer() -> None:
    ordinary = equal_but_for(1.0, 0.0)

    def learned_after(rollout: Rollout) -> tuple[float, float]:
        spec = dataclasses.replace(CELLS, num_envs=1)
        agent = reinforce(spec, normalize=True, optimizer=Adam(learning_rate=1e-3, eps=1e-8))
        with_logits(agent, [[0.0, 0.0]] * 3)
        norm = float(agent.learn(rollout)["grad/norm"])
        before = agent.state_dict()["policy"][POLICY].clone()
        for _ in range(100):
            agent.learn(ordinary)
        return norm, float((agent.state_dict()["policy"][POLICY] - before).norm())

    norm, moved = learned_after(ordinary)
    for spread in (0.0, 1e-6, 1e-3):
        nearly = learned_after(equal_but_for(spread, 99.34))
        assert nearly[0] <= 1.1 * norm, spread
        assert nearly[1] == pytest.approx(moved, rel=0.25), spread


def test_rewards_are_clipped_for_learning() -> None:
    clipped = dataclasses.replace(THREE_EPISODES, reward=THREE_EPISODES.reward.clamp(-1, 1))
    by_agent = learned(reinforce(reward_clip=1.0), THREE_EPISODES)
    torch.testing.assert_close(by_agent, learned(reinforce(), clipped))
    assert not torch.allclose(by_agent, learned(reinforce(), THREE_EPISODES))


def test_the_entropy_bonus_pushes_towards_uniform_by_hand() -> None:
    # Without reward, logit i moves by bonus * -p_i (log p_i + H); two steps an episode double it.
    agent = with_logits(reinforce(entropy_bonus=0.5), [[0.0, torch.tensor(3.0).log().item()]] * 3)
    before = agent.state_dict()["policy"][POLICY].detach().clone()
    agent.learn(rollout_of(obs=[[0], [0]], action=[[0], [1]], reward=[[0.0], [0.0]], last=[[0], [1]]))
    log_prob = torch.tensor([0.25, 0.75]).log()
    slope = -log_prob.exp() * (log_prob - (log_prob.exp() * log_prob).sum())
    change = agent.state_dict()["policy"][POLICY].detach() - before
    torch.testing.assert_close(change[:, 0], 2 * 0.5 * slope)
    torch.testing.assert_close(change[:, 1:], torch.zeros(2, 2))


def test_gradients_are_scaled_down_to_the_norm_asked_for() -> None:
    agent = with_logits(reinforce(max_grad_norm=0.25), [[0.0, 0.0]] * 3)
    before = {name: tensor.clone() for name, tensor in agent.state_dict()["policy"].items()}
    norm = agent.learn(THREE_EPISODES)["grad/norm"]
    moved = [agent.state_dict()["policy"][name] - before[name] for name in before]
    assert float(norm) > 0.25
    assert torch.cat([change.flatten() for change in moved]).norm().item() == pytest.approx(0.25, rel=1e-4)


def test_evaluation_is_greedy_or_sampled_as_asked() -> None:
    obs = torch.zeros(4000, dtype=torch.int64)
    logits = [[0.0, torch.tensor(3.0).log().item()]] * 3
    for evaluation_policy, share in (("greedy", 1.0), ("sampled", 0.75)):
        agent = with_logits(reinforce(evaluation_policy=evaluation_policy), logits)  # type: ignore[arg-type]
        action = agent.act(obs, (), torch.Generator().manual_seed(0), explore=False).action
        assert abs(action.float().mean().item() - share) < 0.03
    explored = agent.act(obs, (), torch.Generator().manual_seed(1), explore=True).action
    assert abs(explored.float().mean().item() - 0.75) < 0.03


def test_every_slot_plays_its_share_of_a_batch() -> None:
    assert reinforce(episodes_per_batch=6).collection == WholeEpisodes(3)


@pytest.mark.parametrize("asked", [{"baseline": "batch_mean"}, {"normalize": True}])
def test_less_the_mean_of_a_single_episode_nothing_may_be_left_so_it_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r"episodes_per_batch .*\b2\b"):
        reinforce(dataclasses.replace(CELLS, num_envs=1), episodes_per_batch=1, **asked)


@pytest.mark.parametrize("baseline", ["batch_mean", "moving_average"])
def test_a_baseline_that_makes_no_difference_beside_normalize_is_refused(
    baseline: Literal["batch_mean", "moving_average"],
) -> None:
    with pytest.raises(ArgumentError) as raised:
        reinforce(CELLS, baseline=baseline, normalize=True)
    assert raised.value.key == "baseline.kind"


# Slot 0 loses a life with its second step and terminates with its fourth; slot 1 meets a time limit.
LIVES = dataclasses.replace(
    rollout_of(
        obs=[[0, 0], [1, 1], [0, 2], [1, 0]],
        action=[[0, 1], [1, 1], [1, 0], [1, 0]],
        reward=[[1.0, 2.0], [4.0, 0.0], [8.0, -4.0], [2.0, 8.0]],
        last=[[0, 0], [0, 0], [0, 0], [1, 1]],
    ),
    discount=torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0]]),
)


@pytest.mark.parametrize(
    ("estimator", "by_hand"),
    [
        # Slot 0: 1 + 4/2 = 3 and 8 + 2/2 = 9, with gamma^t from the life's first step on. Slot 1: 2 - 4/4 + 8/8 = 2.
        ("whole_return", [[3.0, 2.0], [3.0, 2.0], [9.0, 2.0], [9.0, 2.0]]),
        ("reward_to_go", [[3.0, 2.0], [2.0, 0.0], [9.0, 0.0], [1.0, 1.0]]),
        ("discounted_reward_to_go", [[3.0, 2.0], [4.0, 0.0], [9.0, 0.0], [2.0, 8.0]]),
    ],
)
def test_a_lost_life_ends_an_episode_for_learning_by_hand(estimator: Estimator, by_hand: list[list[float]]) -> None:
    weight = estimate(LIVES.reward, LIVES.discount, LIVES.last, LIVES.mask, 0.5, estimator)
    assert weight.tolist() == by_hand


def test_lives_are_the_episodes_that_the_gradient_averages_over() -> None:
    # Two lives and an episode: three. Weights of cell 0: 3 (a=0), 9 (a=1), 2 (a=1), 8 (a=0).
    expected = torch.tensor([3.0 - 9.0 - 2.0 + 8.0, -(3.0 - 9.0 - 2.0 + 8.0)]) / 2 / 3
    torch.testing.assert_close(learned(reinforce(), LIVES)[:, 0], expected)


def test_batches_that_do_not_divide_among_the_slots_are_refused_in_words() -> None:
    with pytest.raises(ArgumentError) as raised:
        reinforce(episodes_per_batch=5)
    assert raised.value.key == "episodes_per_batch"


def test_episodes_that_never_end_are_refused_in_words() -> None:
    with pytest.raises(UserError, match=r"REINFORCE .*\bcells\b"):
        reinforce(dataclasses.replace(CELLS, episodic=False))
