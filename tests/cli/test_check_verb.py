"""`rlrun check`: right parts pass, and of parts that are broken in one way the right check says so."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import perf_counter, thread_time

import pytest

from rlrun.cli.checked_parts import CheckedParts
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directories
from rlrun.testing import checked
from rlrun.testing.checked import CheckedAgent, CheckedEnv

MINE = '''
import numpy as np
import torch

from rlrun.agents.tables.td_control import TDControl
from rlrun.envs.cartpole import CartPole
from rlrun.envs.gridworld import GridWorld


class DrawsFromTorch(TDControl):
    def act(self, obs, carry, rng, *, explore):
        output = super().act(obs, carry, rng, explore=explore)
        return output._replace(action=torch.randint(4, obs.shape)) if explore else output


class DrawsFromNumpy(TDControl):
    def act(self, obs, carry, rng, *, explore):
        output = super().act(obs, carry, rng, explore=explore)
        return output._replace(action=torch.from_numpy(np.random.randint(4, size=obs.shape))) if explore else output


class ForgetsItsVisits(TDControl):
    """They decide the step size."""

    def state_dict(self):
        return {name: value for name, value in super().state_dict().items() if name != "visits"}

    def load_state_dict(self, state):
        super().load_state_dict(state | {"visits": super().state_dict()["visits"]})


class ForgetsAll(TDControl):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class LearnsWhenEvaluated(TDControl):
    def act(self, obs, carry, rng, *, explore):
        self._steps += 1
        return super().act(obs, carry, rng, explore=explore)


class KnowsOnlyItsSlots(TDControl):
    def act(self, obs, carry, rng, *, explore):
        output = super().act(obs, carry, rng, explore=explore)
        return output._replace(action=output.action[:1])


class KeepsAnObject(TDControl):
    def state_dict(self):
        return super().state_dict() | {"epsilon": object()}


class Raises(TDControl):
    def learn(self, rollout):
        return {"loss/td": self.no_such_thing}


class LimitTerminates(CartPole):
    """What a naive port of an environment with one `done` does."""

    def step(self, action):
        step = super().step(action)
        return step._replace(discount=np.where(step.last, 0, step.discount).astype(np.float32))


class LimitIsLate(CartPole):
    def __init__(self, *, num_envs: int, max_episode_steps: int) -> None:
        super().__init__(num_envs=num_envs, max_episode_steps=max_episode_steps + 1)


class ForgetsItsEpisode(CartPole):
    def load_state_dict(self, state):
        return super().load_state_dict(state | {"episode": self._episode})


class NeverTerminates(CartPole):
    """Its poles fall, and it says that they were cut short."""

    def step(self, action):
        step = super().step(action)
        return step._replace(discount=np.ones_like(step.discount))


class PaysMoreLater(CartPole):
    """What it pays depends on how often it was ever stepped."""

    stepped = 0

    def step(self, action):
        self.stepped += 1
        step = super().step(action)
        return step._replace(reward=step.reward * np.float32(1 + (self.stepped > 400)))


class ExploresForTenTurns(TDControl):
    """It counts them, and forgets the count."""

    iterations = 0

    def act(self, obs, carry, rng, *, explore):
        return super().act(obs, carry, rng, explore=explore and self.iterations < 10)

    def learn(self, rollout):
        self.iterations += 1
        return super().learn(rollout)


class HasAHiddenLimit(GridWorld):
    """A time limit that cannot be set, and terminates."""

    def __init__(self, *, num_envs: int) -> None:
        rest = {"slip": None, "step_reward": -1.0, "goal": "map"}
        super().__init__(num_envs=num_envs, map="book", observation="index", max_episode_steps=4, **rest)

    def step(self, action):
        step = super().step(action)
        return step._replace(discount=np.where(step.last, 0, step.discount).astype(np.float32))
'''
BRIEF = ["--steps", "100", "--iterations", "13"]
TABLE = ["env=gridworld", "env.observation=index", "env.num_envs=4", "algo.alpha_power=0.5", "algo.rollout_steps=4"]


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Config files for every class in `mine.py`."""
    (tmp_path / "mine.py").write_text(MINE)
    for group in ("algo", "env"):
        (tmp_path / "conf" / group).mkdir(parents=True)
    for name, parent in re.findall(r"^class (\w+)\((\w+)\)", MINE, re.MULTILINE):
        group, defaults, rest = {
            "TDControl": ("algo", "- q_learning", ""),
            "CartPole": ("env", "- cartpole", ""),
            "GridWorld": ("env", "", "num_envs: 1\n"),
        }[parent]
        text = f"defaults:\n  {defaults}\n  - _self_\n" if defaults else ""
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(f"{text}_target_: mine.{name}\n{rest}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path / "conf"


def checked_parts(conf: Path, *words: str) -> CheckedParts:
    """Of a config with files of `conf`."""
    return CheckedParts(load_config(words, config_directories(str(conf))), conf / "nobodys_run")


def checked_env(conf: Path, env: str, steps: int) -> CheckedEnv:
    """The contract of an environment of `mine.py`."""
    parts = checked_parts(conf, "algo=random", f"env={env}", "env.num_envs=4")
    return contract_of(parts, steps)


def contract_of(parts: CheckedParts, steps: int | None = None) -> CheckedEnv:
    return CheckedEnv(
        lambda num_envs: parts.env(num_envs=num_envs),
        lambda num_envs, limit: parts.env(num_envs=num_envs, max_episode_steps=limit),
        steps,
    )


def report(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, str], list[str]]:
    """What failed, with what is said of it; and the lines of standard output."""
    lines = capsys.readouterr().out.splitlines()
    failed = {}
    for number, line in enumerate(lines):
        if line.startswith("  FAILED  "):
            failed[line.removeprefix("  FAILED  ")] = " ".join(lines[number + 1 : number + 3])
    return failed, lines


@pytest.mark.parametrize(
    ("agent", "check", "complaint", "advice"),
    [
        ("DrawsFromTorch", "act draws only from the generator it is given", "act must leave torch's global", "`rng`"),
        pytest.param(
            *(
                "DrawsFromNumpy",
                "act draws only from the generator it is given",
                "act must leave numpy's global",
                "`rng`",
            ),
            marks=pytest.mark.slow,
        ),
        (
            "ForgetsItsVisits",
            "a loaded state continues as if never interrupted",
            "end in the state of the uninterrupted run; first difference: state/q",
            "Put everything that learn changes into state_dict",
        ),
        pytest.param(
            *(
                "ForgetsAll",
                "a loaded state continues as if never interrupted",
                "a resumed agent must act as in the uninterrupted run, but does not in iteration 1",
                "Put everything that learn changes into state_dict",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(
                "LearnsWhenEvaluated",
                "being evaluated changes nothing that steers training",
                "must not change",
                "in learn",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("KnowsOnlyItsSlots", "act gives a legal action for every slot", "one action for each slot", "obs.shape"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("KeepsAnObject", "its state can be kept in a checkpoint", "raises", "tensors, arrays, numbers"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_right_check_fails_for_an_agent_that(
    conf: Path, capsys: pytest.CaptureFixture[str], agent: str, check: str, complaint: str, advice: str
) -> None:
    assert run_command(["rlrun", "check", f"algo={agent}", *TABLE, *BRIEF, "--config-dir", str(conf)]) == 1
    failed, lines = report(capsys)
    assert complaint in failed[check]
    assert f"to do: {advice}" in failed[check] or advice in failed[check]
    assert re.fullmatch(rf"\d of 24 checks FAILED: \d of algo={agent}", lines[-1])


@pytest.mark.parametrize(
    ("env", "check", "complaint", "advice"),
    [
        (
            "LimitTerminates",
            "a time limit ends an episode and not the future",
            "at the time limit (step 1) discount is 0, and without the limit 1",
            "leave discount at 1",
        ),
        pytest.param(
            "LimitIsLate",
            "a time limit ends an episode and not the future",
            "with a time limit of 1 steps, the episode must end after step 1",
            "Set last to True",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "ForgetsItsEpisode",
            "a loaded state continues as if never interrupted",
            "must save what it was loaded from",
            "episode numbers",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_right_check_fails_for_an_environment_whose(
    conf: Path, capsys: pytest.CaptureFixture[str], env: str, check: str, complaint: str, advice: str
) -> None:
    assert (
        run_command(["rlrun", "check", "algo=random", f"env={env}", "env.num_envs=4", "--config-dir", str(conf)]) == 1
    )
    failed, lines = report(capsys)
    assert complaint in failed[check]
    assert advice in failed[check]
    assert lines[-1].endswith(f"mend env={env} first, since everything else was checked in it")


def test_what_looks_like_a_time_limit_that_terminates_is_said(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["rlrun", "check", "algo=random", "env=HasAHiddenLimit", *BRIEF, "--config-dir", str(conf)])
    _, lines = report(capsys)
    assert any("after exactly 4 steps" in line and "discount 0" in line for line in lines)


@pytest.mark.parametrize(("env", "is_said"), [("NeverTerminates", True), ("PaysMoreLater", False)])
def test_terminations_that_keep_discount_1_are_said(conf: Path, env: str, is_said: bool) -> None:
    contract = checked_env(conf, env, steps=50)
    said = [note for note in contract.notes if "ended before their time limit with discount 1" in note]
    assert len(said) == is_said


def test_an_environment_is_looked_at_as_long_as_is_asked(conf: Path) -> None:
    checked_env(conf, "PaysMoreLater", steps=199).test_a_reset_forgets_what_was_played_before()
    with pytest.raises(AssertionError):
        checked_env(conf, "PaysMoreLater", steps=401).test_a_reset_forgets_what_was_played_before()


def test_an_agent_is_looked_at_as_long_as_is_asked(conf: Path) -> None:
    parts = checked_parts(conf, "algo=ExploresForTenTurns", *TABLE)
    CheckedAgent(parts.env, parts.agent, iterations=5).test_a_loaded_state_continues_as_if_never_interrupted()
    with pytest.raises(AssertionError):
        CheckedAgent(parts.env, parts.agent, iterations=7).test_a_loaded_state_continues_as_if_never_interrupted()


def test_an_agent_may_ask_for_the_directory_of_its_run(conf: Path) -> None:
    words = ["algo=dqn", "env=cartpole", "algo.replay.storage=disk", "algo.replay.capacity_steps=500"]
    parts = checked_parts(conf, *words, "algo.replay.learning_starts_steps=100")
    CheckedAgent(parts.env, parts.agent, iterations=5).test_a_loaded_state_continues_as_if_never_interrupted()


def test_without_a_wish_turns_are_a_prime_number(conf: Path) -> None:
    parts = checked_parts(conf, "algo=q_learning", *TABLE)
    contract = CheckedAgent(parts.env, parts.agent)
    assert contract.iterations >= 5
    assert all(contract.iterations % period for period in (*range(2, 11), 12, 15, 20, 25, 50, 100))


def slowed(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float], seconds: float) -> None:
    """Every look at the clock comes so much later."""
    name, looks = clock.__name__, count()
    monkeypatch.setattr(checked, name, lambda: clock() + seconds * next(looks))


def test_a_machine_that_is_busy_elsewhere_changes_nothing(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowed(monkeypatch, perf_counter, 0.02)
    parts = checked_parts(conf, "algo=q_learning", *TABLE)
    contract = CheckedAgent(parts.env, parts.agent)
    assert contract.iterations == 31
    assert not any("the usual" in note for note in contract.notes)


def test_fewer_turns_and_steps_than_usual_are_said(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowed(monkeypatch, thread_time, 0.1)
    parts = checked_parts(conf, "algo=q_learning", *TABLE)
    contract = CheckedAgent(parts.env, parts.agent)
    assert contract.iterations < 31
    long = ", since they take long: --iterations 31 makes as many"
    assert f"{contract.iterations} iterations instead of the usual 31{long}" in contract.notes
    env = contract_of(parts)
    assert f"{env.num_steps} steps instead of the usual 307{long.replace('iterations 31', 'steps 307')}" in env.notes


def test_the_verdict_says_how_far_it_looked(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["algo=value_iteration", "env=gridworld", "env.map=book", "--iterations", "3", "--steps", "400"]
    assert run_command(["rlrun", "check", *words]) == 0
    _, lines = report(capsys)
    assert lines[-1].endswith(
        "as far as 400 steps and 3 iterations of learning show; --steps and --iterations look further"
    )
    assert run_command(["rlrun", "check", *words, "--iterations", "0"]) == 2
    assert "--iterations" in capsys.readouterr().err


def test_an_agent_that_raises_is_named_with_its_line(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rlrun", "check", "algo=Raises", *TABLE, "--config-dir", str(conf)]
    number = 1 + MINE.splitlines().index('        return {"loss/td": self.no_such_thing}')
    assert run_command(words) == 1
    failed, _ = report(capsys)
    trouble = f"raises AttributeError: 'Raises' object has no attribute 'no_such_thing' (mine.py, line {number})"
    assert trouble in failed["equal seeds learn equal things"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algo=q_learning", "env=cartpole"], "numbered states"),
        (["algo=q_learning"], "no env is chosen"),
        (["algo=q_learning", "env=gridworld", "algo.gama=1"], "algo.gamma"),
        ([], "rlrun check"),
    ],
)
def test_words_that_cannot_run_are_refused_as_a_run_would_be(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["rlrun", "check", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "passed" not in captured.out


def test_an_environment_that_does_not_replay_is_not_asked_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlrun.envs.gymnasium_replay import Verdict

    never = Verdict(used_is_new=False, new_is_new=False)
    monkeypatch.setattr("rlrun.envs.gymnasium.known_verdict", lambda key: never)
    words = ["algo=random", "env=gym", "env.id=Acrobot-v1", "env.max_episode_steps=20", "env.num_envs=4"]
    assert run_command(["rlrun", "check", *words, *BRIEF]) == 0
    _, lines = report(capsys)
    assert any("do not replay" in line for line in lines)
    assert "  passed  a loaded state continues as if never interrupted" not in lines


def test_an_environment_that_learns_across_episodes_is_not_asked_to_forget(capsys: pytest.CaptureFixture[str]) -> None:
    wrap = "env.wrappers=[gymnasium.wrappers.NormalizeObservation]"
    status = run_command(["rlrun", "check", "algo=random", "env=gym", "env.id=CartPole-v1", wrap, *BRIEF])
    failed, lines = report(capsys)
    assert (status, failed) == (0, {})
    assert "  passed  equal seeds and actions show equal things" in lines


QUICK = ["algo=value_iteration env=gridworld env.map=book"]
SLOW = [
    "algo=random env=mountaincar",
    "algo=dqn env=cartpole",
    "algo=dqn env=cartpole algo.replay.storage=disk",
    "algo=actor_critic env=cartpole",
    "algo=reinforce env=gridworld",
    "algo=linear_q env=mountaincar",
    "algo=sarsa env=cliffwalking env.max_episode_steps=50",
    "algo=q_learning env=frozenlake",
    "algo=td env=random_walk",
    "algo=policy_iteration env=racing_car",
    "algo=dqn env=gym env.id=Acrobot-v1 env.max_episode_steps=40",
    "algo=actor_critic env=pong env.max_episode_frames=200",
]


@pytest.mark.parametrize("words", [*QUICK, *(pytest.param(words, marks=pytest.mark.slow) for words in SLOW)])
def test_our_own_keep_the_contracts(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = run_command(["rlrun", "check", *words.split()])
    failed, lines = report(capsys)
    assert (status, failed) == (0, {})
    assert "checks passed" in lines[-1]
