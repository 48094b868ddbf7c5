"""Random streams: every one has a name and comes from the run's seed; nothing is ever seeded globally.

Two kinds. `torch_generator` and `numpy_generator` give stateful generators for acting, sampling and initialisation.
`stream_seeds` and `hash_uniform` are counter-based hashes: their results depend on their arguments alone, so
thousands of environment slots draw at once and nothing needs to be saved.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from rlrun.types import Array, Float64Array, Int64Array

__all__ = ["hash_uniform", "named_seed", "numpy_generator", "stream_seeds", "torch_generator"]

UInt64Array = NDArray[np.uint64]


def named_seed(seed: int, name: str) -> int:
    """A 63-bit seed for the stream called `name` of the run seeded `seed`."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """The torch stream called `name`, on `device`."""
    return torch.Generator(device=device).manual_seed(named_seed(seed, name))


def numpy_generator(seed: int, name: str) -> np.random.Generator:
    """The numpy stream called `name`."""
    return np.random.Generator(np.random.PCG64(named_seed(seed, name)))


def _mix(value: UInt64Array) -> UInt64Array:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): a bijection of 64 bits whose values look random."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def hash64(*words: Array | int) -> UInt64Array:
    """Mixes integers (arrays broadcast) into 64 random-looking bits each; order matters.

    Returns:
        uint64, with the broadcast shape of `words` (at least one dimension).
    """
    state: UInt64Array = np.full(1, 0x9E3779B97F4A7C15, np.uint64)
    with np.errstate(over="ignore"):
        for word in words:
            bits = np.atleast_1d(np.asarray(word)).astype(np.uint64)
            state = _mix(state + np.uint64(0x9E3779B97F4A7C15) + _mix(bits + np.uint64(0x632BE59BD9B4E019)))
    return state


def hash_uniform(*words: Array | int) -> Float64Array:
    """Uniform numbers in [0, 1) with 53 bits, one for each broadcast combination of `words`."""
    uniform: Float64Array = (hash64(*words) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform


def stream_seeds(seed: int, slots: Array, numbers: Array) -> Int64Array:
    """The seed of stream `numbers[i]` of slot `slots[i]`: below 2^31, as the Atari emulator needs."""
    seeds: Int64Array = (hash64(seed, slots, numbers) >> np.uint64(33)).astype(np.int64)
    return seeds
