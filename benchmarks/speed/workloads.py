"""Equal workloads for rlrun and stable-baselines3, as data; `tianshou_workloads.py` adds the terms of Tianshou.

Hyperparameters are rl-zoo3's (`hyperparams/dqn.yml`, `hyperparams/a2c.yml`), and where it has none the defaults of
stable-baselines3 2.9.2, on both sides. `agreement.py` checks that both sides really have the same network size, batch,
replay ratio, optimizer and so on; what still differs is listed in `differences`, which the table in the docs prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rlrun.cli.bench.workloads import ACTOR_CRITIC_CARTPOLE, DQN_PONG

COMPILING = "device.compile=inductor"
COMPILED = "updates are compiled here, in the steps before the clock starts, and not there"
SHORT = (
    "learning starts after 10,000 steps instead of rl-zoo3's 100,000, and exploration ends there instead of at step "
    "1,000,000: what is timed is the long rest of a run, and the first part would be the same waiting on both sides"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One workload, for both sides.

    Args:
        name: in the CSVs.
        title: for people.
        overrides: rlrun's.
        peer: what `peer_sb3.py` is told: `algorithm`, `env`, `num_envs`, `arguments` of the model's constructor, and
            perhaps `optimizer` and `net_arch`.
        num_threads: CPU threads of torch, on both sides.
        update_steps: agent steps between two rounds of learning.
        learning_starts_steps: agent steps before learning; None where it starts at once.
        exploration_steps: agent steps in which epsilon falls, from learning_starts on, or from 0.
        exploration_waits: whether epsilon starts to fall only when learning starts.
        row_steps: agent steps between two rows of rlrun's timings.
        warm_up_rows: rows before the clock starts.
        measured_rows: rows that are timed.
        differences: what is not the same.
    """

    name: str
    title: str
    overrides: tuple[str, ...]
    peer: Mapping[str, Any]
    num_threads: int
    update_steps: int
    learning_starts_steps: int | None = None
    exploration_steps: int | None = None
    exploration_waits: bool = False
    row_steps: int
    warm_up_rows: int
    measured_rows: int
    differences: tuple[str, ...] = field(default=())

    @property
    def is_compiled(self) -> bool:
        """Whether rlrun compiles its updates."""
        return COMPILING in self.overrides

    @property
    def warm_up_steps(self) -> int:
        """Agent steps before the clock starts."""
        return self.row_steps * self.warm_up_rows

    @property
    def measured_steps(self) -> int:
        """Agent steps that are timed: an integer number of rounds of learning."""
        return self.row_steps * self.measured_rows

    @property
    def exploration_ends_at_step(self) -> int | None:
        """Agent step at which epsilon has fallen; None where there is none."""
        if self.learning_starts_steps is None or self.exploration_steps is None:
            return None
        return self._exploration_delay_steps + self.exploration_steps

    @property
    def _exploration_delay_steps(self) -> int:
        return (self.learning_starts_steps or 0) if self.exploration_waits else 0

    def all_overrides(self) -> list[str]:
        """What `rlrun` is given."""
        overrides = [*self.overrides, f"device.num_threads={self.num_threads}", "device=cpu"]
        if self.exploration_ends_at_step is not None:
            overrides += [
                f"algo.replay.learning_starts_steps={self.learning_starts_steps}",
                f"algo.exploration.epsilon.delay_steps={self._exploration_delay_steps}",
                f"algo.exploration.epsilon.duration_steps={self.exploration_steps}",
            ]
        return overrides

    def measuring(self) -> dict[str, int]:
        """What every peer is given: threads and numbers of steps."""
        return {
            "num_threads": self.num_threads,
            "warm_up_steps": self.warm_up_steps,
            "measured_steps": self.measured_steps,
        }

    def peer_settings(self) -> dict[str, Any]:
        """What `peer_sb3.py` is given, as JSON."""
        settings = {**self.peer, **self.measuring()}
        if self.exploration_ends_at_step is not None:
            settings["arguments"] = {**self.peer["arguments"], "learning_starts": self.learning_starts_steps}
            settings["exploration_ends_at_step"] = self.exploration_ends_at_step
        return settings


def shrunk(workload: Workload, factor: int) -> Workload:
    """The same workload for a try: about `factor` times fewer steps, before the clock starts and after."""
    rounds = max(1, workload.row_steps // workload.update_steps // factor)
    starts, explores = workload.learning_starts_steps, workload.exploration_steps
    ratio = workload.row_steps // (rounds * workload.update_steps)
    return replace(
        workload,
        row_steps=rounds * workload.update_steps,
        learning_starts_steps=None if starts is None else max(1, starts // ratio),
        exploration_steps=None if explores is None else max(1, explores // ratio),
    )


DQN_PONG_WORKLOAD = Workload(
    name="dqn_pong",
    title="DQN Pong (Nature network, batch 32, one update per 4 steps)",
    overrides=DQN_PONG,
    peer={
        "algorithm": "DQN",
        "env": "pong",
        "num_envs": 1,
        "arguments": {
            "buffer_size": 100_000,  # rl-zoo3
            "learning_rate": 1e-4,  # rl-zoo3
            "batch_size": 32,  # rl-zoo3
            "target_update_interval": 1000,  # rl-zoo3
            "train_freq": 4,  # rl-zoo3
            "gradient_steps": 1,  # rl-zoo3
            "exploration_final_eps": 0.01,  # rl-zoo3
        },
    },
    num_threads=2,
    update_steps=4,
    learning_starts_steps=10_000,
    exploration_steps=400,
    exploration_waits=True,
    row_steps=400,
    warm_up_rows=27,
    measured_rows=4,
    differences=(SHORT,),
)


def a2c_pong(num_envs: int) -> Workload:
    """A2C with rl-zoo3's numbers, in 16 environments as there or in more."""
    more = () if num_envs == 16 else (f"{num_envs} environments instead of rl-zoo3's 16, on both sides",)
    return Workload(
        name=f"a2c_pong_{num_envs}",
        title=f"A2C Pong, {num_envs} environments",
        overrides=(
            "algo=actor_critic",
            "env=pong",
            "preset=null",
            "network=nature2015",
            f"env.num_envs={num_envs}",
            "optimizer@algo.optimizer=rmsprop",  # rl-zoo3: RMSpropTFLike
            "algo.optimizer.learning_rate=7e-4",  # stable-baselines3
            "algo.optimizer.decay=0.99",  # stable-baselines3
            "algo.optimizer.eps=1e-5",  # rl-zoo3
            "algo.optimizer.initial_square=1",  # RMSpropTFLike
            "algo.advantage.estimator=n_step",  # stable-baselines3 (gae_lambda 1)
            "algo.advantage.rollout_steps=5",  # stable-baselines3
            "algo.gamma=0.99",  # stable-baselines3
            "algo.value.shared=true",  # stable-baselines3: one Nature network, two last layers
            "algo.value.updates=1",
            "algo.advantage.normalize=false",
            "algo.value.coefficient=0.5",  # rl-zoo3: 0.25 of the whole squared error; ours is halved already
            "algo.entropy_bonus=0.01",  # rl-zoo3
            "algo.max_grad_norm=0.5",  # stable-baselines3
            "algo.reward_clip=1",  # its Atari wrapper
        ),
        peer={
            "algorithm": "A2C",
            "env": "pong",
            "num_envs": num_envs,
            "optimizer": "RMSpropTFLike",  # rl-zoo3
            "arguments": {"ent_coef": 0.01, "vf_coef": 0.25},  # rl-zoo3
        },
        num_threads=2,
        update_steps=5 * num_envs,
        row_steps=20 * 5 * num_envs,
        warm_up_rows=1,
        measured_rows=5 if num_envs == 16 else 2,
        differences=more,
    )


DQN_CARTPOLE_WORKLOAD = Workload(
    name="dqn_cartpole",
    title="DQN CartPole (256x256, batch 64, 128 updates per 256 steps)",
    overrides=(
        "algo=dqn",
        "env=cartpole",
        "preset=null",
        "network=mlp",
        "algo.network.hidden=[256,256]",  # rl-zoo3
        "algo.network.activation=relu",  # stable-baselines3
        "env.num_envs=1",
        "algo.optimizer.learning_rate=2.3e-3",  # rl-zoo3
        "algo.optimizer.eps=1e-8",  # torch's Adam
        "algo.gamma=0.99",  # rl-zoo3
        "algo.replay.batch_size=64",  # rl-zoo3
        "algo.replay.ratio=32",  # rl-zoo3: 128 updates of 64 every 256 steps
        "algo.rollout_steps=256",  # rl-zoo3 (train_freq)
        "algo.replay.capacity_steps=100000",  # rl-zoo3
        "algo.target.period_steps=10",  # rl-zoo3
        "algo.n_step=1",
        "algo.target.double=false",
        "algo.dueling=false",
        "algo.loss=huber",
        "algo.huber_delta=1",  # stable-baselines3
        "algo.reward_clip=null",
        "algo.max_grad_norm=10",  # stable-baselines3
        "algo.exploration.epsilon.start=1",  # stable-baselines3
        "algo.exploration.epsilon.end=0.04",  # rl-zoo3
    ),
    peer={
        "algorithm": "DQN",
        "env": "cartpole",
        "num_envs": 1,
        "net_arch": [256, 256],  # rl-zoo3
        "arguments": {
            "learning_rate": 2.3e-3,  # rl-zoo3
            "batch_size": 64,  # rl-zoo3
            "buffer_size": 100_000,  # rl-zoo3
            "gamma": 0.99,  # rl-zoo3
            "target_update_interval": 10,  # rl-zoo3
            "train_freq": 256,  # rl-zoo3
            "gradient_steps": 128,  # rl-zoo3
            "exploration_final_eps": 0.04,  # rl-zoo3
        },
    },
    num_threads=1,
    update_steps=256,
    learning_starts_steps=1000,  # rl-zoo3
    exploration_steps=8000,  # rl-zoo3: 0.16 of 50,000
    row_steps=2560,
    warm_up_rows=1,
    measured_rows=5,
    differences=(
        "the target network is copied once per 256 steps here and 25 times there, with the same result: between two "
        "rounds of updates there is nothing new to copy",
        "epsilon is constant within 256 steps here, and falls with every step there",
    ),
)


def actor_critic_cartpole(num_envs: int) -> Workload:
    """A2C's update on CartPole, in rl-zoo3's 8 environments or in more."""
    return Workload(
        name=f"actor_critic_cartpole_{num_envs}",
        title=f"actor-critic CartPole, {num_envs} environments",
        overrides=(*ACTOR_CRITIC_CARTPOLE, f"env.num_envs={num_envs}"),
        peer={
            "algorithm": "A2C",
            "env": "cartpole",
            "num_envs": num_envs,
            "arguments": {"ent_coef": 0.0},  # rl-zoo3
        },
        num_threads=1,
        update_steps=5 * num_envs,
        row_steps=200 * 5 * num_envs,
        warm_up_rows=1,
        measured_rows=10 if num_envs == 8 else 5,
        differences=("RMSProp's eps is under the root here and outside of it there: as much arithmetic",),
    )


def compiled(workload: Workload) -> Workload:
    """The same with rlrun's updates compiled, which the peer has no setting for."""
    return replace(
        workload,
        name=f"{workload.name}_compiled",
        title=f"{workload.title}, {COMPILING}",
        overrides=(*workload.overrides, COMPILING),
        differences=(COMPILED,),
    )


WORKLOADS = {
    workload.name: workload
    for workload in (
        DQN_PONG_WORKLOAD,
        a2c_pong(16),
        a2c_pong(64),
        DQN_CARTPOLE_WORKLOAD,
        actor_critic_cartpole(8),
        actor_critic_cartpole(64),
        compiled(actor_critic_cartpole(8)),
        compiled(actor_critic_cartpole(64)),
    )
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rlrun at one workload against the peer at one, usually the same."""

    name: str
    ours: Workload
    theirs: Workload
    goal: float  # ratio asked for
    aim: float  # ratio hoped for

    @property
    def title(self) -> str:
        """For people."""
        theirs = self.theirs.peer["num_envs"]
        remark = "" if self.ours.peer["num_envs"] == theirs else f", against the peer's {theirs}"
        return self.ours.title + remark


def _compared(ours: str, goal: float, aim: float, theirs: str | None = None) -> Comparison:
    mine, other = WORKLOADS[ours], WORKLOADS[theirs or ours]
    num_envs = other.peer["num_envs"]
    name = ours if mine.peer["num_envs"] == num_envs else f"{ours}_against_{num_envs}"
    return Comparison(name, mine, other, goal, aim)


COMPARISONS = {
    comparison.name: comparison
    for comparison in (
        _compared("dqn_pong", 2.2, 3.0),
        _compared("a2c_pong_16", 1.8, 2.5),
        _compared("a2c_pong_64", 1.8, 2.5),
        _compared("a2c_pong_64", 1.8, 2.5, theirs="a2c_pong_16"),
        _compared("dqn_cartpole", 2.2, 3.5),
        _compared("actor_critic_cartpole_8", 4.0, 8.0),
        _compared("actor_critic_cartpole_64", 20.0, 35.0, theirs="actor_critic_cartpole_8"),
        _compared("actor_critic_cartpole_8_compiled", 4.0, 8.0, theirs="actor_critic_cartpole_8"),
        _compared("actor_critic_cartpole_64_compiled", 20.0, 35.0, theirs="actor_critic_cartpole_8"),
    )
}
