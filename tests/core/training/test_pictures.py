"""Samples of a network while it is trained: what they show, when, and that the training does not notice."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from trainable import CPU, LevelTask, byte_shards

from mixvel_core.artifacts.tensors import read_tensors
from mixvel_core.data.pictures import GAP
from mixvel_core.protocols import Batch, Condition, ConditionSpec, DenoisingObjective, Job
from mixvel_core.protocols.progress import Silent
from mixvel_core.training.loop import train
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.pictures import COUNT, TrainingPictures, training_pictures
from mixvel_core.training.state import TrainState
from mixvel_schedules.schedules import Cosine
from mixvel_unet.family import UNetFamily
from mixvel_unet.hooks import UNetOptions

OPTIONS = TrainOptions(steps=5, batch=4, warmup=1, log_every=2, pictures_every=2)


def job(folder: Path, options: TrainOptions = OPTIONS, events: bool = True) -> Job:
    family = UNetFamily(channels=(4, 8), train=options)
    [shard] = byte_shards(12, shape=(1, 8, 8))
    task = family.task(shard, Cosine())
    return Job(
        name="expert-0", task=task, seed=3, folder=folder / "job", tensorboard=folder / "events" if events else None
    )


def shown(folder: Path) -> list[tuple[int, np.ndarray]]:
    events = EventAccumulator(str(folder / "events"))
    events.Reload()
    if "samples" not in events.Tags()["images"]:
        return []
    images = events.Images("samples")
    return [(one.step, np.asarray(Image.open(io.BytesIO(one.encoded_image_string)))) for one in images]


def test_pictures_come_every_so_often_and_at_the_end_and_change_nothing(tmp_path: Path) -> None:
    train(job(tmp_path / "with"), device=CPU, progress=Silent())
    found = shown(tmp_path / "with")
    assert [step for step, _ in found] == [2, 4, 5]
    # Eight images of 8 x 8 pixels side by side, each enlarged four times.
    assert found[0][1].shape == (2 * (32 + GAP) + GAP, 8 * (32 + GAP) + GAP)
    assert len({image.tobytes() for _, image in found}) == 3
    train(job(tmp_path / "without", evolve(OPTIONS, pictures_every=0)), device=CPU, progress=Silent())
    assert shown(tmp_path / "without") == []
    trained = [read_tensors(tmp_path / name / "job" / "trained.safetensors") for name in ("with", "without")]
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_training_goes_on_where_pictures_are_asked_for_later(tmp_path: Path) -> None:
    half = job(tmp_path, evolve(OPTIONS, pictures_every=0, checkpoint_every=2))

    class Stopped(Silent):
        def line(self, text: str) -> None:
            raise AssertionError(text)

    train(half, device=CPU, progress=Silent())
    # The same result is there: nothing depends on pictures, so nothing is made again.
    with pytest.raises(AssertionError, match="already trained"):
        train(job(tmp_path), device=CPU, progress=Stopped())


@frozen(kw_only=True)
class Known:
    """Denoises to a constant that a weight of the network holds, and the label."""

    network: nn.Module

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return {}

    def denoise(
        self, network: nn.Module, x: Tensor, t: Tensor, shard: Tensor, condition: Condition | None = None
    ) -> Tensor:
        level: Tensor = network(torch.zeros_like(x))
        label = shard if condition is None else 0.5 * condition.values["class"]
        return level + label.view(-1, 1, 1, 1)


def test_samples_are_of_the_averaged_weights_and_of_every_label() -> None:
    layer = nn.Conv2d(1, 1, 1)
    average = {"weight": torch.ones(1, 1, 1, 1), "bias": torch.full((1,), -1.0)}
    objective = Known(network=layer)
    assert isinstance(objective, DenoisingObjective)
    pictures = TrainingPictures(
        objective=objective,
        schedule=Cosine(),
        noise=torch.randn(COUNT, 1, 2, 2, generator=torch.Generator().manual_seed(0)),
        shards=torch.arange(COUNT) % 2,
        times=(1.0, 0.5, 1e-3),
    )
    seen = np.asarray(pictures.of(layer.train(), average))
    assert layer.training
    side = 32 + GAP
    centres = seen[GAP + 16 :: side, GAP + 16 :: side]
    # Means -1 and 0: black and grey in turn, with the little noise that is left.
    assert np.abs(centres[:, ::2].astype(int) - 0).max() <= 3
    assert np.abs(centres[:, 1::2].astype(int) - 128).max() <= 3


def test_there_is_a_row_for_each_class_that_items_have(tmp_path: Path) -> None:
    """A network that denoises to the class: rows -1, 0.5 and 1 of four samples each, from classes 0, 3 and 4."""
    labels = np.array([3, 0, 4, 0, 3, 4, 0])
    items = np.zeros((7, 1, 2, 2), np.float32)
    conditions = (ConditionSpec(name="class", classes=5),)
    task = LevelTask(items=items, options=OPTIONS, conditions=conditions, values={"class": labels})
    job = Job(name="level", task=task, seed=3, folder=tmp_path, tensorboard=tmp_path)
    network = nn.Conv2d(1, 1, 1)
    pictures = training_pictures(job, Known(network=network), TrainState(network, OPTIONS), CPU)
    assert pictures is not None
    average = {"weight": torch.ones(1, 1, 1, 1), "bias": torch.full((1,), -1.0)}
    seen = np.asarray(pictures.of(network, average))
    side = 32 + GAP
    centres = seen[GAP + 16 :: side, GAP + 16 :: side].astype(int)
    assert centres.shape[:2] == (3, 4)
    for row, level in zip(centres, (0, 191, 255), strict=True):
        assert np.abs(row - level).max() <= 4


def test_networks_of_some_times_alone_and_vectors_show_nothing(tmp_path: Path) -> None:
    late = job(tmp_path / "late", evolve(OPTIONS, earliest_t=0.5))
    train(late, device=CPU, progress=Silent())
    assert shown(tmp_path / "late") == []
    train(job(tmp_path / "none", events=False), device=CPU, progress=Silent())
    assert not (tmp_path / "none" / "events").exists()
    assert UNetOptions(train=OPTIONS).train.pictures_every == 2
