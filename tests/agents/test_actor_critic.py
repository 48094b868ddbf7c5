import dataclasses
from collections.abc import Iterable
from typing import Literal

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlrun.agents.actor_critic import ActorCritic, ValueSettings
from rlrun.agents.advantages import AdvantageSettings, Estimator
from rlrun.compute.execution import Execution
from rlrun.errors import ArgumentError, UserError
from rlrun.nn.optimizers import OptimizerFactory, RMSProp
from rlrun.nn.trunks import MLP
from rlrun.numerics.schedules import Linear, Schedule
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec, Episodes, Rollout, Steps, WholeEpisodes

CPU = torch.device("cpu")
CELLS = EnvSpec("cells", spaces.Discrete(5), spaces.Discrete(2), 1)
VALUES = [10.0, 20.0, 30.0, 40.0, 50.0]
POLICY, VALUE = "policy.1.1.weight", "value.1.1.weight"  # the only weights of linear networks: [A, cells], [1, cells]


def plain_sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1.0)


def actor_critic(
    spec: EnvSpec = CELLS,
    seed: int = 0,
    *,
    advantage: Estimator = "td",
    hidden: list[int] | None = None,
    shared: bool = False,
    value_updates: int = 1,
    episodes_per_batch: int = 4,
    normalize: bool = False,
    value_coefficient: float = 1.0,
    entropy_bonus: float | Schedule = 0.0,
    max_grad_norm: float | None = None,
    reward_clip: float | None = None,
    evaluation_policy: Literal["greedy", "sampled"] = "greedy",
    execution: Execution | None = None,
    optimizer: OptimizerFactory | None = None,
    rollout_steps: int = 3,
) -> ActorCritic:
    return ActorCritic(
        optimizer=optimizer or plain_sgd,
        gamma=0.5,
        advantage=AdvantageSettings(
            estimator=advantage,
            rollout_steps=rollout_steps,
            episodes_per_batch=episodes_per_batch,
            gae_lambda=0.5,
            normalize=normalize,
        ),
        value=ValueSettings(shared=shared, updates=value_updates, coefficient=value_coefficient),
        entropy_bonus=entropy_bonus,
        max_grad_norm=max_grad_norm,
        reward_clip=reward_clip,
        evaluation_policy=evaluation_policy,
        spec=spec,
        device=CPU,
        seed=seed,
        network=MLP(hidden=hidden or [], activation="tanh"),
        execution=execution,
    )


def with_tables(agent: ActorCritic, logits: list[float], values: list[float]) -> ActorCritic:
    """Sets the logits [A] of every cell, and the values [cells]."""
    state = agent.state_dict()
    state["network"] = {
        POLICY: torch.tensor(logits)[:, None].expand(2, 5),
        "policy.1.1.bias": torch.zeros(2),
        VALUE: torch.tensor([values]),
        "value.1.1.bias": torch.zeros(1),
    }
    agent.load_state_dict(state)
    return agent


def learned(agent: ActorCritic, rollout: Rollout) -> tuple[Tensor, Tensor]:
    """What one step of gradient descent, size 1, adds to logits [A, cells] and values [cells]."""
    with_tables(agent, [0.0, 0.0], VALUES).learn(rollout)
    weights = agent.state_dict()["network"]
    return weights[POLICY].detach().clone(), weights[VALUE][0].detach() - torch.tensor(VALUES)


def played(*, terminates: bool = False, mask: tuple[bool, bool, bool] = (True, True, True)) -> Rollout:
    """Cells 0 and 1 with rewards 1 and 2; then the episode ends in cell 2; the next goes from 3 to 4 for reward 4."""
    return Rollout(
        obs_sequence=torch.tensor([[0], [1], [3], [4]]),
        final_obs=torch.tensor([2]),
        action=torch.tensor([[0], [1], [1]]),
        reward=torch.tensor([[1.0], [2.0], [4.0]]),
        discount=torch.tensor([[1.0], [0.0 if terminates else 1.0], [1.0]]),
        last=torch.tensor([[False], [True], [False]]),
        mask=torch.tensor(mask)[:, None],
        extras={},
        episodes=Episodes.none(),
        num_steps=sum(mask),
    )


def moves(advantages: list[float]) -> tuple[Tensor, Tensor]:
    """The changes that advantages of cells 0, 1 and 3 should make, averaged over those that are not 0."""
    first, second, third = advantages
    count = sum(advantage != 0 for advantage in advantages)
    value = torch.tensor([first, second, 0.0, third, 0.0]) / count
    # Uniform policy: grad log pi is +1/2 at the action taken (0, 1, 1) and -1/2 at the other.
    upper = torch.tensor([first, -second, 0.0, -third, 0.0]) / 2 / count
    return torch.stack([upper, -upper]), value


class TestTemporalDifference(AgentContract):
    advantage: Estimator = "td"
    shared = True
    value_updates = 1

    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return actor_critic(
            spec,
            seed,
            advantage=self.advantage,
            hidden=[8, 8],
            shared=self.shared,
            value_updates=self.value_updates,
            normalize=self.shared,
            entropy_bonus=0.01,
            max_grad_norm=0.1,
        )


class TestMonteCarlo(TestTemporalDifference):
    advantage: Estimator = "monte_carlo"
    shared = False
    value_updates = 3


class TestNStep(TestTemporalDifference):
    advantage: Estimator = "n_step"


class TestGeneralisedAdvantage(TestTemporalDifference):
    advantage: Estimator = "gae"
    shared = False


@pytest.mark.parametrize(
    ("advantage", "by_hand"),
    [
        # 1 + 20/2 - 10; 2 + 30/2 - 20, through the time limit to cell 2; 4 + 50/2 - 40
        ("td", [1.0, -3.0, -11.0]),
        # 1 + (2 + 30/2)/2 - 10
        ("n_step", [-0.5, -3.0, -11.0]),
        # 1 - 3/4
        ("gae", [0.25, -3.0, -11.0]),
    ],
)
def test_policy_and_value_move_by_the_advantages_worked_by_hand(advantage: Estimator, by_hand: list[float]) -> None:
    policy, value = learned(actor_critic(advantage=advantage), played())
    expected_policy, expected_value = moves(by_hand)
    torch.testing.assert_close(policy, expected_policy)
    torch.testing.assert_close(value, expected_value)


@pytest.mark.parametrize(
    ("advantage", "by_hand"),
    [
        ("td", [1.0, -18.0, -11.0]),  # 2 - 20
        ("n_step", [-8.0, -18.0, -11.0]),  # 1 + 2/2 - 10
        ("gae", [-3.5, -18.0, -11.0]),  # 1 - 18/4
    ],
)
def test_nothing_is_bootstrapped_from_a_terminal_state(advantage: Estimator, by_hand: list[float]) -> None:
    policy, value = learned(actor_critic(advantage=advantage), played(terminates=True))
    expected_policy, expected_value = moves(by_hand)
    torch.testing.assert_close(policy, expected_policy)
    torch.testing.assert_close(value, expected_value)


def test_monte_carlo_learns_returns_and_bootstraps_only_at_a_time_limit() -> None:
    mask = (True, True, False)
    for terminates, by_hand in ((False, [-0.5, -3.0, 0.0]), (True, [-8.0, -18.0, 0.0])):
        policy, value = learned(actor_critic(advantage="monte_carlo"), played(terminates=terminates, mask=mask))
        expected_policy, expected_value = moves(by_hand)
        torch.testing.assert_close(policy, expected_policy)
        torch.testing.assert_close(value, expected_value)


def test_steps_outside_the_mask_have_no_influence() -> None:
    one = played(mask=(True, True, False))
    other = dataclasses.replace(
        one,
        obs_sequence=torch.tensor([[0], [1], [4], [2]]),
        action=torch.tensor([[0], [1], [0]]),
        reward=torch.tensor([[1.0], [2.0], [-900.0]]),
    )
    advantage: Estimator = "monte_carlo"
    for normalize in (True, False):
        agents = [actor_critic(advantage=advantage, normalize=normalize, entropy_bonus=0.1) for _ in range(2)]
        for first, second in zip(learned(agents[0], one), learned(agents[1], other), strict=True):
            torch.testing.assert_close(first, second)


def test_normalized_advantages_move_the_policy_alone() -> None:
    policy, value = learned(actor_critic(normalize=True), played())
    # 1, -3 and -11 have the mean -13/3 and the variance 131/3 - 169/9.
    spread = (131 / 3 - 169 / 9) ** 0.5
    expected_policy, _ = moves([(number + 13 / 3) / spread for number in (1.0, -3.0, -11.0)])
    torch.testing.assert_close(policy, expected_policy)
    torch.testing.assert_close(value, moves([1.0, -3.0, -11.0])[1])


def test_advantages_that_differ_by_rounding_alone_are_not_blown_up() -> None:
    # The value has learned 1,000 to the last place, and what is left are units of that.
    rollout = dataclasses.replace(
        played(terminates=True),
        reward=torch.tensor([[1000.0], [1000.0 + 2**-14], [1000.0]]),
        discount=torch.zeros(3, 1),
    )
    agent = with_tables(actor_critic(normalize=True), [0.0, 0.0], [1000.0] * 5)
    assert float(agent.learn(rollout)["grad/norm"]) < 1e-3


@pytest.mark.parametrize("advantage", ["td", "n_step", "gae"])
def test_one_step_per_batch_less_its_mean_is_nothing_so_it_is_refused(advantage: Estimator) -> None:
    with pytest.raises(ArgumentError) as raised:
        actor_critic(advantage=advantage, normalize=True, rollout_steps=1)
    assert raised.value.key == "advantage.normalize"
    for spec, steps, normalize in ((CELLS, 2, True), (dataclasses.replace(CELLS, num_envs=2), 1, True)):
        actor_critic(spec, advantage=advantage, normalize=normalize, rollout_steps=steps)
    actor_critic(advantage=advantage, normalize=False, rollout_steps=1)


def test_a_single_episode_less_its_mean_may_be_nothing_so_it_is_refused() -> None:
    with pytest.raises(ArgumentError) as raised:
        actor_critic(advantage="monte_carlo", normalize=True, episodes_per_batch=1)
    assert raised.value.key == "advantage.normalize"
    actor_critic(advantage="monte_carlo", normalize=True, episodes_per_batch=2)


def test_the_value_coefficient_scales_the_value_loss() -> None:
    policy, value = learned(actor_critic(value_coefficient=0.5), played())
    expected_policy, expected_value = moves([1.0, -3.0, -11.0])
    torch.testing.assert_close(policy, expected_policy)
    torch.testing.assert_close(value, expected_value / 2)


def test_further_value_updates_go_on_to_the_same_targets_and_leave_the_policy() -> None:
    policy, value = learned(actor_critic(value_updates=2), played())
    expected_policy, first = moves([1.0, -3.0, -11.0])
    # What is left of each error after the first step: the cell's own move and the bias, which moved by the mean.
    bias = (1.0 - 3.0 - 11.0) / 3
    left = [1.0 - first[0] - bias, -3.0 - first[1] - bias, -11.0 - first[3] - bias]
    torch.testing.assert_close(policy, expected_policy)
    torch.testing.assert_close(value, first + torch.tensor([left[0], left[1], 0.0, left[2], 0.0]) / 3)


def test_further_value_updates_of_a_shared_network_are_refused_in_words() -> None:
    with pytest.raises(ArgumentError) as raised:
        actor_critic(shared=True, value_updates=2)
    assert raised.value.key == "updates"


def test_rewards_are_clipped_for_learning() -> None:
    policy, _ = learned(actor_critic(reward_clip=1.0), played())
    torch.testing.assert_close(policy, moves([1.0, -4.0, -14.0])[0])


FALLING = Linear(start=0.1, end=0.0, duration_steps=60, delay_steps=10)


class TestSchedules(TestTemporalDifference):
    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        optimizer = RMSProp(learning_rate=FALLING, decay=0.9, eps=1e-5, initial_square=1.0)
        return actor_critic(spec, seed, hidden=[8], entropy_bonus=FALLING, optimizer=optimizer)


def test_a_scheduled_entropy_bonus_is_that_of_its_step() -> None:
    # Three steps a batch: 1, 1/2 and then none.
    falling = Linear(start=1.0, end=0.0, duration_steps=6, delay_steps=3)
    for batches, bonus in ((1, 1.0), (2, 0.5), (3, 0.0), (4, 0.0)):
        scheduled = actor_critic(entropy_bonus=falling)
        for _ in range(batches - 1):
            scheduled.learn(played())
        logits = [0.0, torch.tensor(3.0).log().item()]
        found = [with_tables(agent, logits, VALUES) for agent in (scheduled, actor_critic(entropy_bonus=bonus))]
        said = [agent.learn(played()) for agent in found]
        assert said[0]["policy/entropy_bonus"] == pytest.approx(bonus)
        assert "policy/entropy_bonus" not in said[1]
        first, second = (agent.state_dict()["network"][POLICY] for agent in found)
        torch.testing.assert_close(first, second)


def test_the_entropy_bonus_pushes_towards_uniform_by_hand() -> None:
    agent = with_tables(actor_critic(entropy_bonus=0.5), [0.0, torch.tensor(3.0).log().item()], [0.0] * 5)
    before = agent.state_dict()["network"][POLICY].detach().clone()
    rollout = played()
    metrics = agent.learn(dataclasses.replace(rollout, reward=torch.zeros(3, 1)))
    log_prob = torch.tensor([0.25, 0.75]).log()
    entropy = -(log_prob.exp() * log_prob).sum()
    change = agent.state_dict()["network"][POLICY].detach() - before
    # Logit i moves by bonus * -p_i (log p_i + H), and each cell is one of three steps.
    torch.testing.assert_close(change[:, 0], 0.5 * -log_prob.exp() * (log_prob + entropy) / 3)
    assert float(metrics["policy/entropy"]) == pytest.approx(entropy.item())


def test_metrics_by_hand() -> None:
    agent = with_tables(actor_critic(), [0.0, 0.0], VALUES)
    metrics = agent.learn(played())
    assert float(metrics["loss/value"]) == pytest.approx((1 + 9 + 121) / 2 / 3)
    assert float(metrics["loss/policy"]) == pytest.approx(-13 / 3 * torch.tensor(2.0).log().item())
    assert float(metrics["value/mean"]) == pytest.approx((10 + 20 + 40) / 3)


def test_gradients_are_scaled_down_to_the_norm_asked_for() -> None:
    agent = with_tables(actor_critic(max_grad_norm=0.25), [0.0, 0.0], VALUES)
    before = {name: tensor.clone() for name, tensor in agent.state_dict()["network"].items()}
    norm = agent.learn(played())["grad/norm"]
    moved = [(agent.state_dict()["network"][name] - before[name]).flatten() for name in before]
    assert float(norm) > 0.25
    assert torch.cat(moved).norm().item() == pytest.approx(0.25, rel=1e-3)


def test_evaluation_is_greedy_or_sampled_as_asked() -> None:
    obs = torch.zeros(4000, dtype=torch.int64)
    logits = [0.0, torch.tensor(3.0).log().item()]
    for evaluation_policy, share in (("greedy", 1.0), ("sampled", 0.75)):
        agent = with_tables(actor_critic(evaluation_policy=evaluation_policy), logits, VALUES)  # type: ignore[arg-type]
        action = agent.act(obs, (), torch.Generator().manual_seed(0), explore=False).action
        assert abs(action.float().mean().item() - share) < 0.03
    explored = agent.act(obs, (), torch.Generator().manual_seed(1), explore=True).action
    assert abs(explored.float().mean().item() - 0.75) < 0.03


def test_only_monte_carlo_collects_whole_episodes() -> None:
    assert actor_critic(advantage="monte_carlo", episodes_per_batch=4).collection == WholeEpisodes(4)
    for advantage in ("td", "n_step", "gae"):
        assert actor_critic(advantage=advantage).collection == Steps(3)


def test_monte_carlo_refuses_in_words_what_it_cannot_play() -> None:
    with pytest.raises(UserError, match=r"^advantage\.estimator=monte_carlo "):
        actor_critic(dataclasses.replace(CELLS, episodic=False), advantage="monte_carlo")
    with pytest.raises(ArgumentError) as raised:
        actor_critic(dataclasses.replace(CELLS, num_envs=3), advantage="monte_carlo")
    assert raised.value.key == "advantage.episodes_per_batch"
    actor_critic(dataclasses.replace(CELLS, episodic=False), advantage="gae")  # needs no episodes
