import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlrun.errors import UserError
from rlrun.nn.networks import Dueling, Network, build_policy, build_policy_value, build_q_network, build_value
from rlrun.nn.trunks import MLP, Convolutional
from rlrun.types import EnvSpec

VECTOR = EnvSpec("vector", spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), 1)
CELLS = EnvSpec("cells", spaces.Discrete(5), spaces.Discrete(4), 1)
FRAMES = EnvSpec("frames", spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6), 1)
NATURE2015 = Convolutional(channels=[32, 64, 64], kernels=[8, 4, 3], strides=[4, 2, 1], hidden=512)
NIPS2013 = Convolutional(channels=[16, 32], kernels=[8, 4], strides=[4, 2], hidden=256)
SMALL = MLP(hidden=[8, 4], activation="tanh")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def frames(num: int) -> Tensor:
    return torch.randint(256, (num, 4, 84, 84), generator=rng(9), dtype=torch.uint8)


def weights_of(module: nn.Module) -> list[Tensor]:
    return [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def test_nature2015_has_the_papers_size() -> None:
    # 8*8*4*32+32, 4*4*32*64+64, 3*3*64*64+64, 3136*512+512, 512*6+6
    q = build_q_network(NATURE2015, FRAMES, rng(), dueling=False)
    assert num_parameters(q) == 8224 + 32832 + 36928 + 1606144 + 3078
    assert q(frames(3)).shape == (3, 6)


def test_nips2013_has_the_papers_size() -> None:
    # 8*8*4*16+16, 4*4*16*32+32, 2592*256+256, 256*6+6
    q = build_q_network(NIPS2013, FRAMES, rng(), dueling=False)
    assert num_parameters(q) == 4112 + 8224 + 663808 + 1542


def test_convolutions_compute_what_a_plain_network_computes() -> None:
    q = build_q_network(NIPS2013, FRAMES, rng(), dueling=False)
    linears = [layer for layer in q.modules() if isinstance(layer, nn.Linear)]
    convolutions = [layer for layer in q.modules() if isinstance(layer, nn.Conv2d)]
    image = frames(2).double() / 255
    for layer in convolutions:
        assert layer.bias is not None
        image = nn.functional.conv2d(image, layer.weight.double(), layer.bias.double(), layer.stride).relu()
    features = image.contiguous().flatten(1)
    hidden = (features @ linears[0].weight.double().T + linears[0].bias.double()).relu()
    expected = hidden @ linears[1].weight.double().T + linears[1].bias.double()
    torch.testing.assert_close(q(frames(2)).double(), expected, rtol=1e-4, atol=1e-5)


def test_dueling_subtracts_the_mean_advantage() -> None:
    value, advantage = nn.Linear(1, 1), nn.Linear(1, 3)
    with torch.no_grad():
        value.weight.fill_(2.0)
        value.bias.fill_(1.0)
        advantage.weight.copy_(torch.tensor([[1.0], [2.0], [6.0]]))
        advantage.bias.zero_()
    # By hand for the feature 1: V = 3, A = (1, 2, 6) with mean 3.
    q = Dueling(value, advantage)(torch.ones(1, 1))
    torch.testing.assert_close(q, torch.tensor([[1.0, 2.0, 6.0]]))


def test_dueling_scales_the_gradient_where_its_streams_meet() -> None:
    # Wang et al. 2016, section 4.2: by 1 / sqrt(2) into what both streams start from, and by nothing within them.
    q = build_q_network(SMALL, VECTOR, rng(), dueling=True).double()
    obs = torch.randn(5, 3, generator=rng(1), dtype=torch.float64)
    weight = torch.randn(5, 2, generator=rng(2), dtype=torch.float64)

    def loss() -> Tensor:
        loss: Tensor = (q(obs) * weight).sum()
        return loss

    gradients = dict(zip(dict(q.named_parameters()), torch.autograd.grad(loss(), list(q.parameters())), strict=True))
    assert {name.split(".")[0] for name in gradients} == {"0", "1"}, "the trunk, and what follows it"
    for name, parameter in q.named_parameters():
        scale = math.sqrt(0.5) if name.startswith("0.") else 1.0
        assert torch.allclose(gradients[name], scale * finite_differences(loss, parameter), rtol=1e-7, atol=1e-9), name


def finite_differences(loss: Callable[[], Tensor], parameter: Tensor, step: float = 1e-5) -> Tensor:
    """The gradient of `loss` by central differences, entry by entry."""
    entries = parameter.detach().view(-1)
    found = torch.zeros_like(entries)
    with torch.no_grad():
        for i, value in enumerate(entries.tolist()):
            entries[i] = value + step
            above = loss()
            entries[i] = value - step
            found[i] = (above - loss()) / (2 * step)
            entries[i] = value
    return found.view_as(parameter)


def test_dueling_changes_no_feature_on_the_way() -> None:
    features = torch.cat([torch.randn(7, 6, generator=rng(3)) * 10.0**power for power in (-30, 0, 30)])
    streams = [nn.Linear(6, 1), nn.Linear(6, 4)]
    value, advantage = (stream(features) for stream in streams)
    assert torch.equal(Dueling(*streams)(features), value + advantage - advantage.mean(dim=1, keepdim=True))


def test_dueling_streams_have_hidden_layers_of_their_own() -> None:
    # trunk 3*8+8; two hidden layers 8*4+4; heads 4*1+1 and 4*2+2
    assert num_parameters(build_q_network(SMALL, VECTOR, rng(), dueling=True)) == 32 + 2 * 36 + 5 + 10


def test_cells_are_one_hot_so_a_linear_network_is_a_table() -> None:
    q = build_q_network(MLP(hidden=[], activation="relu"), CELLS, rng(), dueling=False)
    (weight,) = weights_of(q)
    assert weight.shape == (4, 5)
    cells = torch.tensor([3, 0])
    before = q(cells).detach().clone()
    q(cells)[0, 1].backward()
    assert weight.grad is not None
    expected = torch.zeros(4, 5)
    expected[1, 3] = 1.0
    assert torch.equal(weight.grad, expected)
    torch.testing.assert_close(before[0] - before[1], weight[:, 3] - weight[:, 0])


def test_bytes_are_scaled_to_at_most_one() -> None:
    spec = EnvSpec("bytes", spaces.Box(0, 255, (2, 1), np.uint8), spaces.Discrete(2), 1)
    q = build_q_network(MLP(hidden=[], activation="relu"), spec, rng(), dueling=False)
    nothing, all_white = torch.zeros(1, 2, 1, dtype=torch.uint8), torch.full((1, 2, 1), 255, dtype=torch.uint8)
    (weight,) = weights_of(q)
    torch.testing.assert_close(q(all_white) - q(nothing), weight.sum(dim=1)[None])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_observations_are_of_the_floating_type_of_the_network(dtype: torch.dtype) -> None:
    small = Convolutional(channels=[2], kernels=[8], strides=[4], hidden=3)
    numbers = EnvSpec("bytes", spaces.Box(0, 255, (3,), np.uint8), spaces.Discrete(2), 1)
    for network, spec in ((SMALL, VECTOR), (SMALL, numbers), (small, FRAMES)):
        q = build_q_network(network, spec, rng(), dueling=False).double().to(dtype)
        obs = torch.ones((5, *spec.obs_shape), dtype=torch.uint8 if spec is not VECTOR else torch.float32)
        assert q(obs).dtype == dtype
        assert copy.deepcopy(q)(obs).dtype == dtype


def test_a_network_is_made_in_torchs_default_type() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        q = build_q_network(SMALL, VECTOR, rng(), dueling=False)
        assert q(torch.ones(5, 3, dtype=torch.float32)).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("network", [SMALL, MLP(hidden=[], activation="relu")])
@pytest.mark.parametrize("shared", [True, False])
def test_policy_and_value_shapes(network: Network, shared: bool) -> None:
    logits, value = build_policy_value(network, VECTOR, rng(), shared=shared)(torch.zeros(5, 3))
    assert logits.shape == (5, 2)
    assert value.shape == (5,)


def test_sharing_shares_all_but_the_last_layers() -> None:
    body = (3 * 8 + 8) + (8 * 4 + 4)
    assert num_parameters(build_policy_value(SMALL, VECTOR, rng(), shared=True)) == body + (4 * 2 + 2) + (4 + 1)
    assert num_parameters(build_policy_value(SMALL, VECTOR, rng(), shared=False)) == 2 * body + (4 * 2 + 2) + (4 + 1)


def test_logits_alone_are_the_logits_of_both() -> None:
    network = build_policy_value(SMALL, VECTOR, rng(), shared=True)
    obs = torch.randn(5, 3, generator=rng(1))
    assert torch.equal(network.logits(obs), network(obs)[0])


def test_actor_critic_weights_are_orthogonal_with_the_known_gains() -> None:
    for shared in (True, False):
        network = build_policy_value(NIPS2013, FRAMES, rng(), shared=shared)
        for weight in weights_of(network):
            matrix = weight.detach().flatten(1)
            gain = {6: 0.01, 1: 1.0}.get(len(matrix), math.sqrt(2))
            torch.testing.assert_close(
                matrix @ matrix.T, gain**2 * torch.eye(len(matrix)), rtol=0, atol=1e-5 * gain**2 * 10
            )


def test_q_network_weights_are_uniform_up_to_one_over_the_root_of_the_fan_in() -> None:
    q = build_q_network(NIPS2013, FRAMES, rng(), dueling=False)
    for weight in weights_of(q):
        bound = 1 / math.sqrt(weight[0].numel())
        assert 0.95 * bound < weight.abs().max().item() <= bound
        assert abs(weight.std().item() - bound / math.sqrt(3)) < 0.05 * bound


def test_networks_come_from_the_given_stream_alone() -> None:
    global_state = torch.random.get_rng_state()
    for build in (build_policy, build_value):
        first, second, other = (build(SMALL, VECTOR, rng(seed)) for seed in (1, 1, 2))
        obs = torch.randn(5, 3, generator=rng(1))
        assert torch.equal(first(obs), second(obs))
        assert not torch.equal(first(obs), other(obs))
    build_q_network(NATURE2015, FRAMES, rng(), dueling=True)
    assert torch.equal(global_state, torch.random.get_rng_state())


def test_convolutions_refuse_what_is_no_image() -> None:
    with pytest.raises(UserError, match=r"\[C, H, W\].*vector.*MLP"):
        build_q_network(NATURE2015, VECTOR, rng(), dueling=False)
    with pytest.raises(UserError, match=r"\[C, H, W\].*cells.*MLP"):
        build_q_network(NATURE2015, CELLS, rng(), dueling=False)


def test_convolutions_refuse_small_images() -> None:
    spec = EnvSpec("tiny", spaces.Box(0, 255, (4, 20, 84), np.uint8), spaces.Discrete(2), 1)
    with pytest.raises(UserError, match=r"tiny .*MLP"):
        build_q_network(NATURE2015, spec, rng(), dueling=False)


def test_convolutions_of_different_lengths_are_refused() -> None:
    with pytest.raises(UserError, match=r"channels|kernels|strides"):
        Convolutional(channels=[8], kernels=[3, 3], strides=[1], hidden=8)
