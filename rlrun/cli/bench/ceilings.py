"""What a machine does at most: the bare emulator, the environment without an agent, and a matrix product."""

from __future__ import annotations

import statistics
from importlib.resources import files
from time import perf_counter

import numpy as np
import torch
from ale_py import ALEInterface, LoggerMode

from rlrun.envs.atari import Atari

_MATRIX = 1024  # rows and columns; 4 MiB each, beyond the first two caches
_ACTIONS_DRAWN = 512

# Multiplications and additions of the network of Mnih et al. 2015 for one observation, by layer: output positions x
# output features x inputs of each, for 4 screens of 84x84 and 6 actions.
_NATURE_LAYERS = (20 * 20 * 32 * 8 * 8 * 4, 9 * 9 * 64 * 4 * 4 * 32, 7 * 7 * 64 * 3 * 3 * 64, 3136 * 512, 512 * 6)


def emulator_frames_per_second(seconds: float) -> float:
    """Pong's frames in one emulator on one core: random actions, every frame emulated, no screen read."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setInt("random_seed", 0)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(str(files("ale_py") / "roms" / "pong.bin"))
    actions = ale.getMinimalActionSet()
    drawn = [actions[number] for number in np.random.default_rng(0).integers(len(actions), size=_ACTIONS_DRAWN)]
    frames, started = 0, perf_counter()
    while perf_counter() - started < seconds:
        for action in drawn:
            ale.act(action)
            if ale.game_over():
                ale.reset_game()
        frames += len(drawn)
    return frames / (perf_counter() - started)


def environment_steps_per_second(num_envs: int, num_threads: int, seconds: float) -> float:
    """Agent steps of `env=pong` under random actions: screens made, episodes reset, nobody learns.

    Args:
        num_envs: slots that step together.
        num_threads: emulator threads; 0 takes every core.
        seconds: how long to step.
    """
    env = Atari(
        game="pong",
        protocol="nature2015",
        num_envs=num_envs,
        num_threads=num_threads,
        max_episode_frames=108_000,
        reseed_every_steps=10_000,
    )
    try:
        env.reset(0)
        actions = np.random.default_rng(0).integers(env.spec.num_actions, size=(_ACTIONS_DRAWN, num_envs))
        for action in actions[:4]:
            env.step(action)
        calls, started = 0, perf_counter()
        while perf_counter() - started < seconds:
            env.step(actions[calls % _ACTIONS_DRAWN])
            calls += 1
        return calls * num_envs / (perf_counter() - started)
    finally:
        env.close()


def matrix_gflops(num_threads: int, seconds: float) -> float:
    """Billions of float32 operations per second in products of two 1024x1024 matrices on the CPU; the median product.

    Args:
        num_threads: CPU threads.
        seconds: how long to multiply.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        left, right = torch.rand(2, _MATRIX, _MATRIX)
        for _ in range(3):
            product = left @ right
        took: list[float] = []
        started = perf_counter()
        while perf_counter() - started < seconds or not took:
            begun = perf_counter()
            torch.mm(left, right, out=product)
            took.append(perf_counter() - begun)
    finally:
        torch.set_num_threads(before)
    return 2 * _MATRIX**3 / statistics.median(took) / 1e9


def nature_update_gflop(batch_size: int) -> float:
    """Billions of operations in one DQN update of the Nature network with 6 actions.

    A forward pass of the target network, one of the network, and a backward pass of twice that, less the gradient with
    respect to the screens, which nobody needs.
    """
    forward = sum(_NATURE_LAYERS)
    return 2 * batch_size * (4 * forward - _NATURE_LAYERS[0]) / 1e9
