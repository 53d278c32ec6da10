"""Conditions of a training's points: they stay with their items, and are dropped as a function of (seed, step, row)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import Tensor
from trainable import CPU, LevelTask, short

from mixvel_core.data.parquet_items import ParquetItems, read_stream, shard_writer, write_stream
from mixvel_core.errors import DataError
from mixvel_core.protocols import Batch, Condition, ConditionSpec, Items, Job
from mixvel_core.training.batches import Batches
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World

CLASSES, COUNT = 4, 30
SPECS = (ConditionSpec(name="class", classes=CLASSES), ConditionSpec(name="place", shape=(2,)))
LABELS = np.arange(COUNT) % CLASSES
PLACES = np.stack([np.arange(COUNT), -np.arange(COUNT)], axis=1).astype(np.float64)


def numbered() -> np.ndarray:
    """Items that hold their own number, so that it can be read from a batch which they are."""
    return np.repeat(np.arange(COUNT, dtype=np.float32)[:, None] / COUNT, 3, axis=1)


def job(options: TrainOptions, items: Items | None = None, labels: np.ndarray = LABELS, seed: int = 1) -> Job:
    values = {"class": labels, "place": PLACES}
    held = numbered() if items is None else items
    task = LevelTask(items=held, options=options, conditions=SPECS, values=values)  # type: ignore[arg-type]  # a task takes any
    return Job(name="job", task=task, seed=seed, folder=Path())


def condition_of(batch: Batch) -> Condition:
    assert batch.condition is not None
    return batch.condition


def numbers(batch: Batch) -> Tensor:
    return (batch.x_0[:, 0] * COUNT).round().long()


def check_paired(batch: Batch) -> Tensor:
    """Every point has its item's condition, or the null one in all its parts; returns which have none."""
    condition, n = condition_of(batch), numbers(batch)
    label, place = condition.values["class"], condition.values["place"]
    assert (label.dtype, place.dtype) == (torch.int64, torch.float32)
    dropped = label == CLASSES
    assert torch.equal(label, torch.where(dropped, CLASSES, n % CLASSES))
    expected = torch.stack([n, -n], dim=1).float()
    assert torch.equal(place, torch.where(dropped[:, None], 0.0, expected))
    return dropped


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> ParquetItems:
    folder = tmp_path_factory.mktemp("stream")
    with shard_writer(str(folder), (3,), np.dtype(np.float32), 4) as writer:
        writer.write(numbered())
    write_stream(folder, None, writer.column, writer.files, window=3)
    return read_stream(folder)


@pytest.mark.parametrize("streamed", [False, True])
def test_points_have_the_conditions_of_their_items(streamed: bool, stream: ParquetItems) -> None:
    batches = Batches(job(evolve(short(batch=6), condition_dropout=0.3), stream if streamed else None), CPU, World())
    dropped = torch.cat([check_paired(batches.at(step)) for step in range(25)])
    batches.close()
    assert 0 < int(dropped.sum()) < len(dropped)


def test_share_of_dropped_conditions_is_the_option() -> None:
    for share in (0.0, 0.1, 1.0):
        batches = Batches(job(TrainOptions(steps=40, batch=100, condition_dropout=share)), CPU, World())
        found = torch.cat([check_paired(batches.at(step)) for step in range(40)]).double().mean()
        # Of 4000 coins; five standard errors.
        assert abs(float(found) - share) <= 5 * (share * (1 - share) / 4000) ** 0.5


def test_dropping_is_a_function_of_seed_step_and_row() -> None:
    options = evolve(short(batch=6), condition_dropout=0.5)
    whole = Batches(job(options), CPU, World())
    expected = [check_paired(whole.at(step)) for step in range(8)]
    # Whatever was asked before, and whoever has the rows.
    jumping = Batches(job(options), CPU, World())
    parts = [Batches(job(options), CPU, World(rank=rank, size=3)) for rank in range(3)]
    for step in (7, 0, 3):
        assert torch.equal(check_paired(jumping.at(step)), expected[step])
        assert torch.equal(torch.cat([check_paired(part.at(step)) for part in parts]), expected[step])
    other = Batches(job(options, seed=2), CPU, World())
    assert not torch.equal(torch.stack([check_paired(other.at(step)) for step in range(8)]), torch.stack(expected))
    # Of another share the coins are the same ones: what is dropped at 0.2 is dropped at 0.5.
    fewer = Batches(job(evolve(options, condition_dropout=0.2)), CPU, World())
    assert all(not (check_paired(fewer.at(step)) & ~expected[step]).any() for step in range(8))


def test_points_are_the_same_with_conditions_and_without() -> None:
    plain = Job(name="job", task=LevelTask(items=numbered(), options=short()), seed=1, folder=Path())
    without, with_them = Batches(plain, CPU, World()).at(5), Batches(job(short()), CPU, World()).at(5)
    assert without.condition is None
    for name in ("x_0", "shard", "t", "eps"):
        assert torch.equal(getattr(without, name), getattr(with_them, name))


def test_parts_of_a_batch_and_held_out_points_keep_their_conditions() -> None:
    options = evolve(short(batch=6), condition_dropout=1.0, held_out=0.3)
    batches = Batches(job(options), CPU, World())
    held = batches.held_out(3)
    assert held is not None
    assert not check_paired(held).any()
    assert check_paired(batches.at(3)).all()
    part = held.rows(slice(5, 9))
    assert len(condition_of(part)) == 4
    assert not check_paired(part).any()


def test_values_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="job: condition class has 29 values for 30 items"):
        Batches(job(short(), labels=LABELS[1:]), CPU, World())
