"""Rows of different adapters in one pass of the base: the same as K merged networks, with one base in memory."""

from __future__ import annotations

import pytest
import torch
from adapters import SHAPE, UNetBase, random_adapter, small_unet
from attrs import evolve
from torch import Tensor, nn

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import CLASS, Condition, ConditionalGroup, ConditionSpec, ExpertConfig, Moments
from mixvel_core.sampling.dispatch import evaluate, members
from mixvel_lora.adapter import Adapter, LowRank, digest_of_weights, layers_of
from mixvel_lora.family import LoraFamily
from mixvel_lora.grouped import AdaptedNetwork, AdapterGroup
from mixvel_networks.denoiser import moment_tensors
from mixvel_schedules.schedules import Cosine

K = 4
ADAPTERS = [random_adapter(0), random_adapter(1, rank=5, alpha=1.0), random_adapter(2, skip=2), random_adapter(3)]
CONFIGS = [ExpertConfig(index=k, count=6, fraction=1 / K, shape=SHAPE) for k in range(K)]
CLASSES = ConditionSpec(name=CLASS, classes=3, labels=("a", "b", "c"))


def tensors_of(labels: int | None = None) -> list[dict[str, Tensor]]:
    """What each expert's folder holds."""
    digest = digest_of_weights(small_unet(labels))
    chosen = ADAPTERS if labels is None else [random_adapter(k, labels=labels) for k in range(K)]
    moments = [Moments(mean=torch.full(SHAPE, 0.1 * k), variance=torch.ones(SHAPE)) for k in range(K)]
    return [
        evolve(adapter, base=digest).tensors() | moment_tensors(one)
        for adapter, one in zip(chosen, moments, strict=True)
    ]


def group_of(base: UNetBase, labels: int | None = None) -> AdapterGroup:
    group = LoraFamily(base=base).load_together(CONFIGS, tensors_of(labels), Cosine())
    assert group is not None
    return group


def points(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *SHAPE, generator=generator), torch.rand(count, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3, 3], [3, 1, 0, 2, 3, 1, 0, 2], [1] * 8])
def test_the_group_gives_what_merged_networks_give(labels: list[int]) -> None:
    x, t = points(8)
    k = torch.tensor(labels)
    found = group_of(UNetBase()).denoise(x, t, k)
    merged = LoraFamily(base=UNetBase(), merge=True)
    assert merged.load_together(CONFIGS, tensors_of(), Cosine()) is None
    each = [merged.load(CONFIGS[i], tensors_of()[i], Cosine()) for i in range(K)]
    wanted = torch.stack([each[int(i)].denoise(x[row : row + 1], t[row : row + 1])[0] for row, i in enumerate(k)])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    base = UNetBase().load().denoise(x, t)
    assert float((found - base).abs().max()) > 0.1


@torch.no_grad()
def test_each_alone_gives_what_the_group_gives_and_has_its_own_moments() -> None:
    x, t = points(3)
    group, family = group_of(UNetBase()), LoraFamily(base=UNetBase())
    for k in range(K):
        alone = family.load(CONFIGS[k], tensors_of()[k], Cosine())
        torch.testing.assert_close(alone.denoise(x, t), group.denoise(x, t, torch.full((3,), k)), atol=1e-6, rtol=0)
        assert alone.moments is not None
        moments = group.moments(k)
        assert moments is not None
        assert torch.equal(alone.moments.mean, moments.mean)


def test_the_base_is_in_memory_once() -> None:
    equals = [evolve(random_adapter(k), base=digest_of_weights(small_unet())).tensors() for k in range(K)]
    group = LoraFamily(base=UNetBase()).load_together(CONFIGS, equals, Cosine())
    assert group is not None
    base = sum(p.numel() * p.element_size() for p in small_unet().parameters())
    own = K * sum(one.A.nbytes + one.B.nbytes for one in random_adapter(0).layers.values())
    held = {tensor.untyped_storage().data_ptr(): tensor for tensor in group.adapted.state_dict().values()}
    assert sum(tensor.untyped_storage().nbytes() for tensor in held.values()) == base + own


@torch.no_grad()
def test_one_pass_of_the_base_for_rows_of_all_adapters() -> None:
    group, rows = group_of(UNetBase()), []
    group.adapted.network.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    x, _ = points(8)
    mask = torch.zeros(8, K, dtype=torch.bool)
    mask[torch.arange(8), torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])] = True
    one_each = evaluate(members(group, K), x, 0.5, mask)
    assert rows == [8]
    rows.clear()
    composite = evaluate(members(group, K), x, 0.5, torch.ones(8, K, dtype=torch.bool))
    assert rows == [8] * K
    for sample, expert, m in zip(one_each.sample, one_each.expert, one_each.m, strict=True):
        [same] = composite.m[(composite.sample == sample) & (composite.expert == expert)]
        torch.testing.assert_close(m, same, atol=1e-5, rtol=0)


@torch.no_grad()
def test_conditions_of_the_base_pass_through() -> None:
    base = UNetBase(conditions=(CLASSES,))
    group = group_of(base, CLASSES.classes + 1)
    assert isinstance(group, ConditionalGroup)
    assert group.null is not None
    x, t = points(4)
    k, classes = torch.tensor([2, 0, 0, 1]), torch.tensor([0, 1, 2, 3])
    found = group.given(Condition(values={CLASS: classes})).denoise(x, t, k)
    merged = LoraFamily(base=base, merge=True)
    for row in range(4):
        alone = merged.load(CONFIGS[int(k[row])], tensors_of(CLASSES.classes + 1)[int(k[row])], Cosine())
        one = slice(row, row + 1)
        wanted = alone.given(Condition(values={CLASS: classes[one]})).denoise(x[one], t[one])
        torch.testing.assert_close(found[one], wanted, atol=1e-5, rtol=0)
    null = group.given(Condition(values={CLASS: torch.full((4,), 3)}))
    torch.testing.assert_close(null.denoise(x, t, k), group.denoise(x, t, k))


@torch.no_grad()
def test_where_alpha_is_nought_eps_prediction_takes_each_rows_own_mean() -> None:
    group = group_of(UNetBase())
    of_eps = evolve(group, base=evolve(group.base, prediction="eps"))
    found = of_eps.denoise(torch.zeros(3, *SHAPE), torch.ones(3), torch.tensor([3, 0, 1]))
    assert found[:, 0, 0, 0].tolist() == pytest.approx([0.3, 0.0, 0.1])


def test_channels_last_changes_nothing_and_gradients_pass() -> None:
    group = group_of(UNetBase())
    x, t = points(4)
    k = torch.tensor([0, 1, 1, 3])
    tuned = group.tuned(channels_last=True, compiled=True)
    torch.testing.assert_close(tuned.denoise(x, t, k), group.denoise(x, t, k), atol=1e-5, rtol=0)
    leaf = x.clone().requires_grad_()
    group.denoise(leaf, t, k).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    assert leaf.grad is not None
    assert bool(leaf.grad.isfinite().all())
    assert float(leaf.grad.abs().max()) > 0


class FoldsRows(nn.Module):
    """Reads two rows as one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        folded: Tensor = self.inner(x.reshape(len(x) // 2, 2, -1)[:, 0])
        return folded


def test_a_layer_that_reads_other_rows_is_refused() -> None:
    adapted = AdaptedNetwork(FoldsRows(), [])
    assert list(layers_of(adapted)) == ["network.inner"]
    change = LowRank(A=torch.ones(1, 4), B=torch.ones(4, 1), alpha=1.0)
    adapted = AdaptedNetwork(FoldsRows(), [Adapter(layers={"inner": change})] * 2)
    with adapted.rows.set(torch.tensor([0, 0, 1, 1])), pytest.raises(SamplingError, match=r"set expert\.merge=true"):
        adapted(torch.ones(4, 4), torch.ones(4))
