"""One measurement of stable-baselines3, in a process of its own: prints steps per second after learning starts.

Run by `benchmarks/speed.py` with the interpreter of an environment that has stable-baselines3 2.9.2.
"""

import sys
from time import perf_counter
from typing import Any


def main() -> None:
    work, warm_up, measured = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    import ale_py
    import gymnasium
    import stable_baselines3 as sb3
    import torch
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    torch.set_num_threads(int(sys.argv[4]))
    gymnasium.register_envs(ale_py)

    class Clock(BaseCallback):  # type: ignore[misc]
        """Notes the time at which the warm-up ends and at which the measurement ends."""

        started = 0.0
        finished = 0.0
        steps = 0

        def _on_step(self) -> bool:
            if not self.started and self.num_timesteps >= warm_up:
                self.started, self.steps = perf_counter(), self.num_timesteps
            if self.num_timesteps >= warm_up + measured:
                self.finished, self.steps = perf_counter(), self.num_timesteps - self.steps
                return False
            return True

    model: Any
    if work == "dqn_pong":  # rl-zoo3's Atari numbers; a small buffer, so that memory is not what is measured
        env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs=1, seed=0), n_stack=4)
        model = sb3.DQN(
            "CnnPolicy", env, buffer_size=20_000, learning_rate=1e-4, batch_size=32, learning_starts=1000,
            target_update_interval=1000, train_freq=4, gradient_steps=1, exploration_fraction=0.1,
            exploration_final_eps=0.01, seed=0, device="cpu",
        )  # fmt: skip
    elif work == "actor_critic_cartpole":  # rl-zoo3: A2C CartPole-v1 with 8 environments, otherwise the defaults
        model = sb3.A2C("MlpPolicy", make_vec_env("CartPole-v1", n_envs=8, seed=0), ent_coef=0.0, seed=0, device="cpu")
    else:
        raise SystemExit(f"unknown work {work}")
    clock = Clock()
    model.learn(total_timesteps=10 * (warm_up + measured), callback=clock)
    print(clock.steps / (clock.finished - clock.started))


if __name__ == "__main__":
    main()
