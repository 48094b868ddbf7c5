"""stable-baselines3 at one workload, in a process of its own: prints one line of JSON.

    PYTHON benchmarks/speed/peer_sb3.py SETTINGS

PYTHON is the interpreter of an environment with stable-baselines3 2.9.2, and SETTINGS is the JSON of
`Workload.peer_settings`. Nothing here may import rlrun, which is not installed there.
"""

import json
import sys
from collections.abc import Mapping
from time import perf_counter, time
from typing import Any

Settings = Mapping[str, Any]


def main() -> None:
    settings = json.loads(sys.argv[1])
    import stable_baselines3
    import torch

    torch.set_num_threads(settings["num_threads"])
    last = settings["warm_up_steps"] + settings["measured_steps"]
    total_steps = 10 * last  # the callback ends it: no schedule comes to its end by itself
    model = make_model(settings, total_steps)
    clock = make_clock(settings["warm_up_steps"], last)
    model.learn(total_timesteps=total_steps, callback=clock)
    print(
        json.dumps(
            {
                "version": stable_baselines3.__version__,
                "steps_per_second": clock.num_steps / clock.seconds,
                "updates": clock.num_updates,
                "first_step_at": clock.first_step_at,
                "facts": facts(model),
                "replay_bytes": replay_bytes(model),
            }
        )
    )


def make_model(settings: Settings, total_steps: int) -> Any:
    """The algorithm, on its environments."""
    import stable_baselines3
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

    arguments = dict(settings["arguments"])
    policy: dict[str, Any] = {}
    if settings.get("optimizer") == "RMSpropTFLike":
        policy |= {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}}
    if "net_arch" in settings:
        policy["net_arch"] = settings["net_arch"]
    if policy:
        arguments["policy_kwargs"] = policy
    if "exploration_ends_at_step" in settings:
        arguments["exploration_fraction"] = settings["exploration_ends_at_step"] / total_steps
    kind = "CnnPolicy" if settings["env"] == "pong" else "MlpPolicy"
    algorithm = getattr(stable_baselines3, settings["algorithm"])
    return algorithm(kind, make_env(settings), seed=0, device="cpu", **arguments)


def make_env(settings: Settings) -> Any:
    """As rl-zoo3 makes them: all environments in this process, Atari behind the usual wrapper and 4 frames."""
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    if settings["env"] == "cartpole":
        return make_vec_env("CartPole-v1", n_envs=settings["num_envs"], seed=0)
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    return VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs=settings["num_envs"], seed=0), n_stack=4)


def make_clock(first: int, last: int) -> Any:
    """A callback that notes when step `first` was made and when `last` was, and stops there."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):  # type: ignore[misc]
        """Steps, seconds and updates between two steps."""

        def __init__(self) -> None:
            super().__init__()
            self.first_step_at = 0.0  # seconds since 1970
            self.num_steps = 0
            self.num_updates = 0
            self.seconds = 0.0
            self._started = 0.0

        def _on_step(self) -> bool:
            self.first_step_at = self.first_step_at or time()
            if not self._started and self.num_timesteps >= first:
                self._started, self.num_steps = perf_counter(), self.num_timesteps
                self.num_updates = self.model._n_updates
            if self.num_timesteps >= last:
                self.seconds, self.num_steps = perf_counter() - self._started, self.num_timesteps - self.num_steps
                self.num_updates = self.model._n_updates - self.num_updates
                return False
            return True

    return Clock()


def facts(model: Any) -> dict[str, Any]:
    """What the workload consists of, in the terms of `agreement.py`, read off the model itself."""
    network = getattr(model, "q_net", model.policy)
    group = model.policy.optimizer.param_groups[0]
    shared = {
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "optimizer": type(model.policy.optimizer).__name__,
        "learning_rate": group["lr"],
        "eps": group["eps"],
        "gamma": model.gamma,
        "num_envs": model.n_envs,
        "max_grad_norm": model.max_grad_norm,
    }
    if hasattr(model, "q_net"):
        steps = model.train_freq.frequency * model.n_envs
        return shared | {
            "batch_size": model.batch_size,
            "update_steps": steps,
            "updates_per_step": model.gradient_steps / steps,
            "replay_capacity_steps": model.replay_buffer.buffer_size * model.n_envs,
            "target_period_steps": model.target_update_interval,
            "final_epsilon": model.exploration_final_eps,
        }
    steps = model.n_steps * model.n_envs
    return shared | {
        "batch_size": steps,
        "update_steps": steps,
        "updates_per_step": 1 / steps,
        "value_coefficient": model.vf_coef,
        "entropy_bonus": model.ent_coef,
        "decay": group["alpha"],
    }


def replay_bytes(model: Any) -> int:
    """Bytes of the replay's arrays."""
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return 0
    return sum(int(array.nbytes) for array in vars(buffer).values() if hasattr(array, "nbytes"))


if __name__ == "__main__":
    main()
