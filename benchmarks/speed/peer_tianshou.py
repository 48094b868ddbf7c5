"""Tianshou at one workload, in a process of its own: prints one line of JSON.

    PYTHON benchmarks/speed/peer_tianshou.py SETTINGS

PYTHON is the interpreter of an environment with Tianshou 2.0.1, and SETTINGS is JSON as `tianshou_settings` makes it.
Collecting and updating alternate in a loop of its own, within `policy_within_training_step`, as Tianshou asks for where
its trainer is not used: that looks through the whole replay for NaN after every collection, most of the time on Pong.
Nothing here may import rlrun, which is not installed there.
"""

import json
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any

Settings = Mapping[str, Any]
FRAMES = 4  # in an observation of Atari


def main() -> None:
    settings = json.loads(sys.argv[1])
    import numpy as np
    import tianshou
    import torch

    torch.set_num_threads(settings["num_threads"])
    np.random.seed(0)  # noqa: NPY002 - Tianshou draws from the global generator
    torch.manual_seed(0)
    training = (DQNTraining if settings["algorithm"] == "DQN" else A2CTraining)(settings)
    training.play_until(settings["warm_up_steps"])
    started, updates = perf_counter(), training.num_updates()
    training.play_until(settings["warm_up_steps"] + settings["measured_steps"])
    seconds, updates = perf_counter() - started, training.num_updates() - updates
    print(
        json.dumps(
            {
                "version": tianshou.__version__,
                "steps_per_second": settings["measured_steps"] / seconds,
                "updates": updates,
                "facts": training.facts(updates / settings["measured_steps"]),
            }
        )
    )
    training.collector.close()


class Training:
    """An algorithm with its collector: collects `update_steps`, learns from them, and so on."""

    algorithm: Any
    buffer: Any

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.num_steps = 0
        self.last_collected = 0  # steps between two rounds of learning
        self.envs = make_envs(settings)
        self.actions = self.envs.action_space[0]
        self.shape = self.envs.reset()[0].shape[1:]  # `observation_space` there is the emulator's, before its wrappers
        self.make()
        self.collector = self._make_collector()

    def make(self) -> None:
        """Sets `algorithm` and `buffer`."""
        raise NotImplementedError

    def explore(self) -> bool:
        """Before a collection: sets what explores; returns whether actions are random."""
        return False

    def learn(self) -> None:
        """After a collection."""
        raise NotImplementedError

    def _make_collector(self) -> Any:
        from tianshou.data import Collector

        collector = Collector(self.algorithm, self.envs, self.buffer, exploration_noise=True)
        collector.reset()
        return collector

    def play_until(self, step: int) -> None:
        """Whole rounds of collecting and learning."""
        from tianshou.utils.torch_utils import policy_within_training_step

        with policy_within_training_step(self.algorithm.policy):
            while self.num_steps < step:
                random = self.explore()
                collected = self.collector.collect(n_step=self.settings["update_steps"], random=random)
                self.last_collected = int(collected.n_collected_steps)
                self.num_steps += self.last_collected
                self.learn()

    def num_updates(self) -> int:
        """Steps that the optimizer has made, by its own count."""
        state = self.algorithm.optim._optim.state
        return max((int(values["step"]) for values in state.values()), default=0)

    def facts(self, updates_per_step: float) -> dict[str, Any]:
        """What the workload consists of, in the terms of `agreement.py`, read off what was used."""
        optimizer = self.algorithm.optim
        group = optimizer._optim.param_groups[0]
        return {
            "num_parameters": sum(parameter.numel() for parameter in optimizer._module.parameters()),
            "optimizer": type(optimizer._optim).__name__,
            "learning_rate": group["lr"],
            "eps": group["eps"],
            "gamma": self.algorithm.gamma,
            "num_envs": self.collector.env_num,
            "max_grad_norm": optimizer._max_grad_norm,
            "update_steps": self.last_collected,
            "updates_per_step": updates_per_step,
        }


class DQNTraining(Training):
    """DQN with a replay; on Atari it keeps each screen once and stacks when it samples, as Tianshou's example does."""

    def make(self) -> None:
        """DQN, with clipping of gradients, which its optimizer can do and its constructor has no word for."""
        from tianshou.algorithm import DQN
        from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
        from tianshou.algorithm.optim import AdamOptimizerFactory
        from tianshou.data import VectorReplayBuffer

        settings = self.settings

        class ClippedDQN(DQN):  # type: ignore[misc]
            """DQN whose optimizer clips."""

            def _create_policy_optimizer(self, optim: Any) -> Any:
                return self._create_optimizer(self.policy, optim, max_grad_norm=settings["max_grad_norm"])

        num_actions = int(self.actions.n)
        is_atari = settings["env"] == "pong"
        model = make_nature(self.shape, num_actions) if is_atari else make_mlp(self.shape, settings, num_actions)
        self.algorithm = ClippedDQN(
            policy=DiscreteQLearningPolicy(model=model, action_space=self.actions),
            optim=AdamOptimizerFactory(lr=settings["learning_rate"], eps=settings["eps"]),
            gamma=settings["gamma"],
            target_update_freq=settings["target_period_updates"],
            is_double=False,
            huber_loss_delta=settings["huber_delta"],
        )
        once = {"stack_num": FRAMES, "ignore_obs_next": True, "save_only_last_obs": True}
        capacity = settings["replay_capacity_steps"]
        self.buffer = VectorReplayBuffer(capacity, settings["num_envs"], **(once if is_atari else {}))

    def explore(self) -> bool:
        """Epsilon falls from 1 on a straight line."""
        progress = min(1.0, self.num_steps / self.settings["exploration_ends_at_step"])
        self.algorithm.policy.set_eps_training(1.0 + progress * (self.settings["final_epsilon"] - 1.0))
        return bool(self.num_steps < self.settings["learning_starts_steps"])

    def learn(self) -> None:
        """As many updates as a collection owes, once learning has started."""
        if self.num_steps >= self.settings["learning_starts_steps"]:
            for _ in range(self.settings["updates_per_round"]):
                self.algorithm.update(self.buffer, sample_size=self.settings["batch_size"])

    def facts(self, updates_per_step: float) -> dict[str, Any]:
        """Those of DQN too; Tianshou counts the target network's period in updates."""
        return super().facts(updates_per_step) | {
            "batch_size": self.settings["batch_size"],
            "replay_capacity_steps": self.buffer.maxsize,
            "target_period_steps": self.algorithm.target_update_freq / updates_per_step,
            "final_epsilon": self.algorithm.policy.eps_training,
        }


class A2CTraining(Training):
    """A2C: one update from every collection.

    Its buffer keeps whole observations and the next ones: it is emptied after each update, so that stacking by its
    `stack_num` would find no earlier frames, and without the next ones the last step would have none to look ahead to.
    """

    batch_size = 0

    def make(self) -> None:
        """On Atari one Nature network with two last layers, on CartPole two networks."""
        from tianshou.algorithm import A2C
        from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
        from tianshou.algorithm.optim import RMSpropOptimizerFactory
        from tianshou.data import VectorReplayBuffer
        from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic

        settings, num_actions = self.settings, int(self.actions.n)
        if settings["env"] == "pong":
            below_actor = below_critic = make_nature(self.shape, num_actions, features=512)
        else:
            below_actor, below_critic = make_mlp(self.shape, settings), make_mlp(self.shape, settings)
        actor = DiscreteActor(preprocess_net=below_actor, action_shape=num_actions, softmax_output=False)
        self.algorithm = A2C(
            policy=DiscreteActorPolicy(actor=actor, action_space=self.actions),
            critic=DiscreteCritic(preprocess_net=below_critic),
            optim=RMSpropOptimizerFactory(lr=settings["learning_rate"], alpha=settings["decay"], eps=settings["eps"]),
            vf_coef=settings["value_coefficient"],
            ent_coef=settings["entropy_bonus"],
            max_grad_norm=settings["max_grad_norm"],
            gae_lambda=settings["gae_lambda"],
            gamma=settings["gamma"],
        )
        self.buffer = VectorReplayBuffer(settings["update_steps"], settings["num_envs"])

    def learn(self) -> None:
        """One update from all that was collected, which is then forgotten, as its trainer does."""
        self.batch_size = len(self.buffer)
        self.algorithm.update(self.buffer, batch_size=None, repeat=1)
        self.collector.reset_buffer(keep_statistics=True)

    def facts(self, updates_per_step: float) -> dict[str, Any]:
        """Those of A2C too."""
        return super().facts(updates_per_step) | {
            "batch_size": self.batch_size,
            "value_coefficient": self.algorithm.vf_coef,
            "entropy_bonus": self.algorithm.ent_coef,
            "decay": self.algorithm.optim._optim.param_groups[0]["alpha"],
        }


def make_envs(settings: Settings) -> Any:
    """All environments in this process.

    On two cores its worker processes, with and without shared memory, were slower.
    """
    import gymnasium
    from tianshou.env import DummyVectorEnv

    num_envs = settings["num_envs"]
    if settings["env"] == "cartpole":
        envs = DummyVectorEnv([lambda: gymnasium.make("CartPole-v1") for _ in range(num_envs)])
        envs.seed(0)
        return envs
    import ale_py
    from tianshou.env.atari.atari_wrapper import AtariEnvFactory
    from tianshou.highlevel.env import EnvMode, VectorEnvType

    gymnasium.register_envs(ale_py)
    factory = AtariEnvFactory(
        "PongNoFrameskip-v4", FRAMES, use_envpool_if_available=False, venv_type=VectorEnvType.DUMMY
    )
    return factory.create_venv(num_envs, EnvMode.TRAINING, seed=0)


def make_nature(shape: tuple[int, ...], num_actions: int, features: int | None = None) -> Any:
    """Tianshou's Nature network on screens between 0 and 1: values of actions, or so many features.

    Its wrapper divides on the way; by a float32, it does not go through float64.
    """
    import numpy as np
    from tianshou.env.atari.atari_network import DQNet, ScaledObsInputActionReprNet

    network = DQNet(*shape, num_actions, features_only=features is not None, output_dim_added_layer=features)
    return ScaledObsInputActionReprNet(network, denom=np.float32(255))


def make_mlp(shape: tuple[int, ...], settings: Settings, num_actions: int = 0) -> Any:
    """Tianshou's network of fully connected layers, with a last one for actions where there are any."""
    from tianshou.utils.net.common import Net
    from torch import nn

    return Net(
        state_shape=shape,
        action_shape=num_actions,
        hidden_sizes=settings["hidden"],
        activation={"relu": nn.ReLU, "tanh": nn.Tanh}[settings["activation"]],
    )


if __name__ == "__main__":
    main()
