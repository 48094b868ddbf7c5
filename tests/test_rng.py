import numpy as np
import torch

from rlrun.rng import hash64, hash_uniform, named_seed, numpy_generator, stream_seeds, torch_generator


def test_streams_depend_on_seed_and_name_alone() -> None:
    assert named_seed(1, "a") == named_seed(1, "a")
    assert len({named_seed(seed, name) for seed in range(10) for name in ("a", "b", "c")}) == 30
    assert torch.equal(
        torch.rand(5, generator=torch_generator(3, "x")), torch.rand(5, generator=torch_generator(3, "x"))
    )
    assert numpy_generator(3, "x").random() == numpy_generator(3, "x").random()
    assert numpy_generator(3, "x").random() != numpy_generator(4, "x").random()


def test_a_hash_is_the_same_whoever_else_is_hashed_with_it() -> None:
    everybody = hash64(5, np.arange(100), 7)
    assert everybody[42] == hash64(5, 42, 7)[0]
    assert len(np.unique(everybody)) == 100


def test_the_order_of_words_matters() -> None:
    assert hash64(1, 2)[0] != hash64(2, 1)[0]


def test_uniform_hashes_fill_the_unit_interval_evenly() -> None:
    uniform = hash_uniform(11, np.arange(100_000))
    counts, _ = np.histogram(uniform, bins=100, range=(0, 1))
    chi_square = ((counts - 1000.0) ** 2 / 1000.0).sum()
    assert 60 < chi_square < 145  # 99 degrees of freedom: 0.1% and 99.9% quantiles are 60 and 149
    neighbours = np.corrcoef(uniform[:-1], uniform[1:])[0, 1]
    assert abs(neighbours) < 0.01


def test_stream_seeds_fit_the_emulator_and_do_not_repeat() -> None:
    seeds = stream_seeds(2**62, np.repeat(np.arange(64), 100), np.tile(np.arange(100), 64))
    assert seeds.min() >= 0
    assert seeds.max() < 2**31
    assert len(np.unique(seeds)) > 6395  # 6,400 draws out of 2^31: 0.01 collisions expected
