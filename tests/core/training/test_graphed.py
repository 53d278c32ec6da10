"""GraphedNetwork: when the graph is replayed, and that all else is computed by the network itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import define, evolve, field
from torch import Tensor, nn
from trainable import CPU, short

from mixvel_core.errors import TrainingError
from mixvel_core.protocols import ConditionSpec, Job
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.batches import Batches
from mixvel_core.training.graphed import GraphedNetwork
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.step import called
from mixvel_core.training.world import World
from mixvel_schedules.schedules import Cosine
from mixvel_unet.family import UNetFamily


@define
class Recorder:
    """In place of a GPU's capture: what it was given, and how often the result was called."""

    captured: list[tuple[Tensor, ...]] = field(factory=list)
    replayed: int = 0

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        self.captured.append(inputs)

        def replay(*others: Tensor) -> Tensor:
            self.replayed += 1
            output: Tensor = module(*others)
            return output

        return replay


def graphed() -> tuple[GraphedNetwork, Recorder]:
    torch.manual_seed(0)
    recorder = Recorder()
    return GraphedNetwork(nn.Linear(3, 2), recorder), recorder


def test_the_first_call_of_every_step_is_replayed() -> None:
    network, recorder = graphed()
    x = torch.randn(4, 3)
    for _ in range(3):
        network.begin()
        torch.testing.assert_close(network(x), network.network(x), rtol=0, atol=0)
    assert recorder.replayed == 3
    assert len(recorder.captured) == 1


def test_a_second_call_of_a_step_would_overwrite_the_first_ones_output() -> None:
    network, recorder = graphed()
    network.begin()
    network(torch.randn(4, 3))
    network(torch.randn(4, 3))
    assert recorder.replayed == 1


def other_inputs() -> dict[str, Tensor]:
    x = torch.randn(4, 3)
    return {
        "rows": torch.randn(5, 3),
        "layout": torch.randn(3, 4).T,
        "gradient": x.clone().requires_grad_(),
    }


@pytest.mark.parametrize("kind", other_inputs())
def test_inputs_unlike_the_first_ones_are_not_replayed(kind: str) -> None:
    network, recorder = graphed()
    network.begin()
    network(torch.randn(4, 3))
    other = other_inputs()[kind]
    network.begin()
    torch.testing.assert_close(network(other), network.network(other), rtol=0, atol=0)
    assert recorder.replayed == 1


def test_nothing_is_replayed_without_gradients() -> None:
    network, recorder = graphed()
    network.begin()
    with torch.no_grad():
        network(torch.randn(4, 3))
    assert not recorder.captured


def test_the_graph_has_inputs_of_its_own() -> None:
    network, recorder = graphed()
    x = torch.randn(4, 3)
    network.begin()
    network(x)
    [(mine,)] = recorder.captured
    assert mine.data_ptr() != x.data_ptr()


def test_gradients_reach_the_network() -> None:
    network, _ = graphed()
    network.begin()
    network(torch.ones(4, 3)).sum().backward()
    assert all(p.grad is not None for p in network.network.parameters())


def test_what_cannot_be_captured_is_an_error_with_the_way_on() -> None:
    def refuses(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    network = GraphedNetwork(nn.Linear(3, 2), refuses)
    network.begin()
    with pytest.raises(TrainingError, match=r"capturing\); set cuda_graphs: false$"):
        network(torch.randn(4, 3))


def test_on_a_cpu_the_network_itself_is_called() -> None:
    network = nn.Linear(3, 2).to(CPU)
    assert called(network, evolve(short(), cuda_graphs=True), World()) is network


@pytest.mark.parametrize(("other", "value"), [("compile", True), ("microbatch", 2)])
def test_options_that_exclude_each_other(other: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"cuda_graphs excludes {other}"):
        TrainOptions(cuda_graphs=True, **{other: value})  # type: ignore[arg-type]  # one of two options of other types


def test_shards_and_classes_are_inputs_of_the_graph_like_any_other() -> None:
    """The losses of a network that reads both, replayed, are those that it computes itself."""
    specs = (ConditionSpec(name="class", classes=3),)
    items = torch.linspace(-1, 1, 6 * 16).reshape(6, 1, 4, 4).numpy()
    shards = [
        MemoryShard(index=k, items=items, conditions=specs, values={"class": (np.arange(6) + k) % 3}) for k in (0, 1)
    ]
    task = UNetFamily(channels=(4,), train=short(batch=4)).shared_task(shards, Cosine())
    objective = task.objective(0)
    recorder = Recorder()
    network = GraphedNetwork(objective.network, recorder)
    batches = Batches(Job(name="experts", task=task, seed=0, folder=Path()), CPU, World())
    for step in range(3):
        network.begin()
        batch = batches.at(step)
        assert torch.equal(objective.losses(network, batch)["loss"], objective.losses(objective.network, batch)["loss"])
    assert (recorder.replayed, len(recorder.captured)) == (3, 1)
    assert [(x.dtype, tuple(x.shape)) for x in recorder.captured[0][1:]] == [(torch.float32, (4,)), (torch.int64, (4,))]
