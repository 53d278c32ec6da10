"""What networks are given besides x and t: labels as one number, numbers as one vector."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Condition, ConditionalExpert, ConditionalGroup, ConditionSpec
from mixvel_networks.architecture import Architecture
from mixvel_networks.denoiser import LabelledDenoiser, NetworkDenoiser
from mixvel_networks.inputs import NetworkInputs
from mixvel_networks.unet import make_unet
from mixvel_schedules.schedules import Cosine

X = torch.zeros(6, 2)


@given(st.integers(1, 5), st.lists(st.integers(1, 6), min_size=1, max_size=3), st.booleans())
def test_every_shard_and_classes_have_a_label_of_their_own(K: int, classes: list[int], shared: bool) -> None:
    specs = tuple(ConditionSpec(name=f"c{i}", classes=C) for i, C in enumerate(classes))
    inputs = NetworkInputs(shards=K if shared else None, conditions=specs)
    ranges = [torch.arange(K if shared else 1), *(torch.arange(C + 1) for C in classes)]
    k, *values = (v.reshape(-1) for v in torch.meshgrid(*ranges, indexing="ij"))
    condition = Condition(values={spec.name: v for spec, v in zip(specs, values, strict=True)})
    (label,) = inputs.of(torch.zeros(len(k), 2), k if shared else None, condition)
    # All numbers from 0 on, each once, in this order.
    assert torch.equal(label, torch.arange(inputs.labels or 0))


def test_shard_and_class_are_k_times_classes_and_null_plus_class() -> None:
    inputs = NetworkInputs(shards=3, conditions=(ConditionSpec(name="class", classes=4),))
    k, c = torch.tensor([0, 1, 2, 2, 0, 1]), torch.tensor([0, 3, 4, 1, 4, 0])
    (label,) = inputs.of(X, k, Condition(values={"class": c}))
    assert label.tolist() == (5 * k + c).tolist()
    (null,) = inputs.of(X, k, None)
    assert null.tolist() == (5 * k + 4).tolist()


def test_numbers_stand_one_after_the_other_and_are_zero_without_a_condition() -> None:
    specs = (ConditionSpec(name="place", shape=(2,)), ConditionSpec(name="age", shape=()))
    inputs = NetworkInputs(conditions=specs)
    assert (inputs.labels, inputs.numbers) == (None, 3)
    place, age = torch.randn(6, 2), torch.randn(6)
    (vector,) = inputs.of(X, None, Condition(values={"age": age, "place": place}))
    assert torch.equal(vector, torch.cat([place, age[:, None]], dim=1))
    (null,) = inputs.of(X, None, None)
    assert torch.equal(null, torch.zeros(6, 3))


def test_without_conditions_a_network_is_given_what_it_was() -> None:
    k = torch.arange(6)
    assert NetworkInputs().of(X, None, None) == ()
    assert NetworkInputs().null is None
    (label,) = NetworkInputs(shards=6).of(X, k, None)
    assert label is k
    plain = NetworkDenoiser(schedule=Cosine(), moments=None, network=lambda x, t: x, prediction="x0", clip=False)
    assert plain.null is None
    assert torch.equal(plain.denoise(X, torch.full((6,), 0.5)), X)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ((ConditionSpec(name="text", shape=(77, 8)),), r"expert x: condition text has values of shape \(77, 8\)"),
        (tuple(ConditionSpec(name=f"c{i}", classes=255) for i in range(3)), "16777216 labels of all conditions"),
    ],
)
def test_what_no_network_reads_is_refused(specs: tuple[ConditionSpec, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        NetworkInputs(conditions=specs).check("expert x")


def answer_label(x: Tensor, t: Tensor, label: Tensor) -> Tensor:
    return label[:, None].to(x.dtype).expand_as(x)


def test_denoisers_take_a_condition_row_by_row_and_are_of_the_null_one_without() -> None:
    t, c = torch.full((6,), 0.5), torch.tensor([0, 1, 2, 3, 1, 0])
    specs = (ConditionSpec(name="class", classes=3),)
    one = NetworkDenoiser(
        schedule=Cosine(),
        moments=None,
        network=answer_label,
        prediction="x0",
        clip=False,
        inputs=NetworkInputs(conditions=specs),
    )
    assert isinstance(one, ConditionalExpert)
    assert one.null is not None
    assert one.null.values["class"].tolist() == [3]
    assert one.given(Condition(values={"class": c})).denoise(X, t)[:, 0].tolist() == c.tolist()
    assert one.denoise(X, t)[:, 0].tolist() == [3.0] * 6
    group = LabelledDenoiser(
        schedule=Cosine(),
        mean=torch.zeros(2, 2),
        variance=torch.ones(2, 2),
        network=answer_label,
        prediction="x0",
        clip=False,
        inputs=NetworkInputs(shards=2, conditions=specs),
    )
    assert isinstance(group, ConditionalGroup)
    k = torch.tensor([1, 0, 1, 0, 0, 1])
    assert group.given(Condition(values={"class": c})).denoise(X, t, k)[:, 0].tolist() == (4 * k + c).tolist()
    assert group.denoise(X, t, k)[:, 0].tolist() == (4 * k + 3).tolist()


def test_a_unet_adds_vectors_of_labels_and_a_linear_function_of_numbers() -> None:
    network = make_unet(Architecture(channels=(4, 8)), (1, 4, 4), 1, 0, "test", 3, 2)
    x, t = torch.randn(5, 1, 4, 4), torch.linspace(0.1, 0.9, 5)
    label, numbers = torch.tensor([0, 1, 2, 0, 1]), torch.randn(5, 2)
    both = network(x, t, label, numbers)
    assert not torch.allclose(both, network(x, t, label, 0 * numbers), atol=1e-4)
    assert not torch.allclose(both, network(x, t, label.flip(0), numbers), atol=1e-4)
    torch.testing.assert_close(network(x[2:3], t[2:3], label[2:3], numbers[2:3]), both[2:3], rtol=1e-4, atol=1e-5)
    alone = make_unet(Architecture(channels=(4, 8)), (1, 4, 4), 1, 0, "test", None, 2)
    assert not torch.allclose(alone(x, t, numbers), alone(x, t, -numbers), atol=1e-4)
