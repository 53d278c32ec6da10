"""U-Nets: shapes, sizes, seeds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixvel_core.errors import RecipeError
from mixvel_networks.architecture import Architecture
from mixvel_networks.unet import make_unet


@given(st.lists(st.integers(4, 300), min_size=1, max_size=4))
def test_groups_divide_all_channels(channels: list[int]) -> None:
    groups = Architecture(channels=tuple(channels)).groups
    assert 1 <= groups <= 32
    assert all(c % groups == 0 and (groups == 1 or c // groups >= 4) for c in channels)


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        (Architecture(channels=(4, 6)), (1, 8, 8)),
        (Architecture(channels=(4,), attention="middle"), (3, 5, 7)),
        (Architecture(channels=(5, 7, 9), attention="inner"), (2, 4, 8)),
        (Architecture(channels=(4, 8), layers_per_block=2, attention="inner"), (1, 2, 6)),
    ],
)
def test_any_size_that_can_be_halved_is_answered_in_its_own_size_and_type(
    architecture: Architecture, shape: tuple[int, int, int]
) -> None:
    network = make_unet(architecture, shape, 5, 0, "test")
    x = torch.randn(3, *shape, dtype=torch.float64)
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    answer = network(x, t)
    assert answer.shape == (3, 5, *shape[1:])
    assert answer.dtype == torch.float64
    # Rows are independent of each other, and time matters.
    torch.testing.assert_close(network(x[1:2], t[1:2]), answer[1:2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(x, t + 0.01), answer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("width", "level"), [(16, 0), (32, 1), (64, 2)])
def test_attention_at_16_is_where_maps_are_16_wide(width: int, level: int) -> None:
    architecture = Architecture(channels=(4, 4, 4), attention="at-16")
    assert [i for i in range(3) if architecture.attends(i, width)] == [level]
    unet: Any = make_unet(architecture, (1, width, width), 1, 0, "test").unet
    down = [type(block).__name__ for block in unet.down_blocks]
    up = [type(block).__name__ for block in unet.up_blocks]
    assert [name.startswith("Attn") for name in down] == [i == level for i in range(3)]
    assert [name.startswith("Attn") for name in reversed(up)] == [i == level for i in range(3)]
    assert unet.mid_block.attentions[0] is not None


def test_attention_that_no_level_has_is_refused() -> None:
    architecture = Architecture(channels=(4, 4, 4), attention="at-16")
    with pytest.raises(RecipeError, match=r"at-16 is on none of its levels of width 8, 4, 2; take `middle`"):
        make_unet(architecture, (1, 8, 8), 1, 0, "test")


def test_the_published_size_for_cifar10() -> None:
    """DDPM's network (Ho et al. 2020, appendix B) has 35.7 million parameters."""
    architecture = Architecture(channels=(128, 256, 256, 256), layers_per_block=2, attention="at-16")
    with torch.device("meta"):
        network = make_unet(architecture, (3, 32, 32), 3, 0, "test")
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(35.7e6, rel=0.005)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 6, 8), "divisible by 4, not 6 x 8"),
        ((1, 8, 7), "divisible by 4, not 8 x 7"),
        ((16,), "test: a U-Net needs images"),
    ],
)
def test_items_that_do_not_fit_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_unet(Architecture(channels=(4, 4, 4)), shape, 1, 0, "test")
