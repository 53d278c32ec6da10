"""Encoders and perceptrons: sizes, seeds, what they see at the beginning, and what they cost beside a U-Net."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mixvel_core.plugin.definition import ExpertUse
from mixvel_core.plugin.discovery import load_registry
from mixvel_networks.architecture import Architecture
from mixvel_networks.encoder import GRID, Encoder, make_encoder, make_perceptron
from mixvel_networks.unet import make_unet
from mixvel_routers.options import ClassifierOptions
from mixvel_unet.hooks import UNetOptions


def stirred(network: nn.Module) -> nn.Module:
    """The network with random weights throughout, as after a training."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.mark.parametrize(("shape", "stride"), [((1, 8, 8), 1), ((3, 5, 7), 2), ((2, 1, 3), 2), ((1, 33, 16), 4)])
def test_any_size_is_read_and_answered_in_its_own_type(shape: tuple[int, ...], stride: int) -> None:
    network = stirred(make_encoder(shape, (4, 6, 9), stride, 5, 0))
    x, t = torch.randn(3, *shape, dtype=torch.float64), torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    answer = network(x, t)
    assert (answer.shape, answer.dtype) == ((3, 5), torch.float64)
    torch.testing.assert_close(network(x[1:2], t[1:2]), answer[1:2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(x, t.flip(0)), answer)


@pytest.mark.parametrize(
    ("size", "stride", "levels"), [(8, 1, 2), (8, 2, 1), (4, 2, 1), (16, 1, 3), (16, 2, 2), (256, 2, 3)]
)
def test_levels_end_where_the_grid_is_reached(size: int, stride: int, levels: int) -> None:
    assert len(make_encoder((1, size, size), (8, 8, 8), stride, 3, 0).blocks) == levels


def test_it_sees_where_something_is() -> None:
    network = stirred(make_encoder((1, 8, 8), (4,), 1, 3, 0))
    x = torch.zeros(1, 1, 8, 8)
    x[..., 1, 1] = 5.0
    t = torch.tensor([0.3])
    assert (network(x, t) - network(x.roll(4, dims=2), t)).abs().max() > 0.01


def test_both_are_zero_at_the_beginning_and_made_from_their_seed_alone() -> None:
    t = torch.rand(4)
    for make, x in (
        (lambda seed: make_encoder((1, 8, 8), (8,), 2, 3, seed), torch.randn(4, 1, 8, 8)),
        (lambda seed: make_perceptron(3, 8, 2, 3, seed), torch.randn(4, 3)),
    ):
        network, same, other = make(0), make(0).state_dict(), make(1).state_dict()
        assert not network(x, t).any()
        assert all(torch.equal(value, same[name]) for name, value in network.state_dict().items())
        assert not all(torch.equal(value, other[name]) for name, value in network.state_dict().items())


def flops(network: nn.Module, shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *shape, device="meta"), torch.empty(1, device="meta"))
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("expert", "shape"),
    [
        (UNetOptions(channels=(8, 16, 16)), (1, 16, 16)),
        (UNetOptions(channels=(16, 32, 32)), (1, 32, 32)),
        (UNetOptions(channels=(64, 128, 128), attention="middle"), (3, 32, 32)),
        (UNetOptions(channels=(128, 256, 256, 256), layers_per_block=2, attention="at-16"), (3, 64, 64)),
        (UNetOptions(channels=(16, 32)), (1, 8, 8)),
    ],
)
def test_the_usual_size_costs_at_most_a_twentieth_of_the_expert(expert: UNetOptions, shape: tuple[int, ...]) -> None:
    use = ExpertUse(definition=load_registry().get("expert", "unet"), options=expert)
    options = ClassifierOptions().beside(use)
    assert options.channels is not None
    with torch.device("meta"):
        encoder: Encoder = make_encoder(shape, options.channels, options.stride, 10, 0)
        unet = make_unet(
            Architecture(
                channels=expert.channels, layers_per_block=expert.layers_per_block, attention=expert.attention
            ),
            shape,
            shape[0],
            0,
            "test",
        )
    assert 0.01 * flops(unet, shape) < flops(encoder, shape) <= 0.05 * flops(unet, shape)


def test_channels_that_are_given_are_kept_and_other_experts_leave_them_open() -> None:
    registry = load_registry()
    unet = ExpertUse(definition=registry.get("expert", "unet"), options=UNetOptions(channels=(64, 128)))
    assert ClassifierOptions(channels=(8,)).beside(unet).channels == (8,)
    gaussian = registry.get("expert", "gaussian-mixture")
    use = ExpertUse(definition=gaussian, options=gaussian.options())
    assert ClassifierOptions().beside(use).channels is None


def test_the_grid_is_small() -> None:
    assert make_encoder((1, 64, 64), (8,), 1, 3, 0).pooled(torch.zeros(1, 8, 64, 64)).shape == (1, 8 * GRID**2)


@pytest.mark.parametrize(
    ("plain", "classed", "x"),
    [
        (make_encoder((1, 8, 8), (8,), 2, 3, 0), make_encoder((1, 8, 8), (8,), 2, 3, 0, 4), torch.randn(5, 1, 8, 8)),
        (make_perceptron(3, 8, 2, 3, 0), make_perceptron(3, 8, 2, 3, 0, 4), torch.randn(5, 3)),
    ],
    ids=["encoder", "perceptron"],
)
def test_classes_are_read_row_by_row_and_are_nothing_at_the_beginning(
    plain: nn.Module, classed: nn.Module, x: torch.Tensor
) -> None:
    """The weights that both have are the same; 4 is no class, and what rows without one are given."""
    own, other = plain.state_dict(), classed.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in own.items())
    assert set(other) - set(own) == {"of_class.vectors.weight"}
    t, c = torch.rand(5), torch.tensor([0, 1, 4, 1, 3])
    stirred(classed)
    answer = classed(x, t, c)
    torch.testing.assert_close(classed(x[[3, 0]], t[[3, 0]], c[[3, 0]]), answer[[3, 0]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(classed(x, t)[2], answer[2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(classed(x, t), classed(x, t, torch.full((5,), 4)), rtol=1e-4, atol=1e-5)
    assert (classed(x, t)[[0, 1, 3, 4]] - answer[[0, 1, 3, 4]]).abs().amax(1).min() > 1e-3
    classed.get_parameter("of_class.vectors.weight").data.zero_()
    assert torch.equal(classed(x, t, c), classed(x, t))
