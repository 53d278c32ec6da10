"""What a step sees is a function of the step, and slices of workers are slices of one batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trainable import CPU, LevelTask, level_job, short, vectors

from mixvel_core.errors import DataError, TrainingError
from mixvel_core.protocols import Batch, Job
from mixvel_core.training.batches import Batches, Order
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World

FIELDS = ("x_0", "shard", "t", "eps")


def _job(options: TrainOptions, items: np.ndarray, shards: np.ndarray | None = None) -> Job:
    return Job(name="job", task=LevelTask(items=items, options=options, shards=shards), seed=1, folder=Path())


def _same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 23), batch=st.integers(1, 50), epochs=st.integers(1, 4))
def test_each_item_comes_once_an_epoch(count: int, batch: int, epochs: int) -> None:
    order = Order(3, count)
    length = count * epochs
    seen = [order.items(np.arange(p, min(p + batch, length))) for p in range(0, length, batch)]
    for epoch in np.concatenate(seen).reshape(epochs, count):
        assert sorted(epoch) == list(range(count))


def test_epochs_have_different_orders() -> None:
    order = Order(3, 50)
    assert not np.array_equal(order.items(np.arange(50)), order.items(np.arange(50, 100)))


@pytest.mark.parametrize("size", [2, 3, 6])
def test_slices_of_workers_make_the_global_batch(size: int) -> None:
    job = _job(short(batch=6), vectors(), np.arange(10) % 3)
    whole = Batches(job, CPU, World())
    parts = [Batches(job, CPU, World(rank=rank, size=size)) for rank in range(size)]
    for step in (0, 1, 7):
        batch, slices = whole.at(step), [part.at(step) for part in parts]
        for name in FIELDS:
            assert torch.equal(torch.cat([getattr(s, name) for s in slices]), getattr(batch, name))


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(TrainingError, match="a batch of 4 cannot be split evenly over 3 workers"):
        Batches(_job(short(batch=4), vectors()), CPU, World(rank=0, size=3))


def test_a_step_sees_the_same_whatever_came_before_and_leaves_torch_alone() -> None:
    job = _job(short(), vectors())
    straight, jumping = Batches(job, CPU, World()), Batches(job, CPU, World())
    before = torch.get_rng_state()
    expected = [straight.at(step) for step in range(9)]
    for step in (8, 0, 5):
        assert _same(jumping.at(step), expected[step])
    assert torch.equal(torch.get_rng_state(), before)
    assert not _same(expected[0], expected[1])


def test_times_are_one_from_each_part_of_the_range() -> None:
    options = TrainOptions(steps=50, batch=16, earliest_t=0.2, latest_t=0.7)
    batches = Batches(_job(options, vectors()), CPU, World())
    t = torch.stack([batches.at(step).t.double() for step in range(50)])
    part = (t - 0.2) / 0.5 * 16 - torch.arange(16)
    assert ((part > -1e-5) & (part < 1 + 1e-5)).all()
    # 800 uniform numbers: their mean is within 5 standard errors of 1/2.
    assert abs(float(part.mean()) - 0.5) < 5 / (12 * 800) ** 0.5


def test_noise_is_standard_normal_and_differs_between_rows_and_steps() -> None:
    batches = Batches(_job(short(batch=32), vectors(size=8)), CPU, World())
    eps = torch.stack([batches.at(step).eps for step in range(30)])
    assert abs(float(eps.mean())) < 5 / eps.numel() ** 0.5
    assert abs(float(eps.square().mean()) - 1) < 5 * (2 / eps.numel()) ** 0.5
    assert len(np.unique(eps.numpy())) == eps.numel()


def test_bytes_become_floats_and_labels_follow_their_items() -> None:
    items = np.arange(0, 250, 25, dtype=np.uint8)[:, None]
    batch = Batches(_job(short(batch=10), items, np.arange(10)), CPU, World()).at(0)
    assert batch.x_0.dtype == torch.float32
    assert torch.allclose(batch.x_0[:, 0], batch.shard * 25 / 127.5 - 1)
    assert sorted(batch.shard.tolist()) == list(range(10))
    assert batch.shard.dtype == torch.int64


def test_unknown_shards_are_zero(tmp_path: Path) -> None:
    assert not Batches(level_job(tmp_path), CPU, World()).at(0).shard.any()


def test_no_items_is_an_error_that_names_the_job() -> None:
    with pytest.raises(DataError, match="job: no items"):
        Batches(_job(short(), vectors(0)), CPU, World())


def test_times_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"latest_t must be above earliest_t, 0\.5, not 0\.4"):
        TrainOptions(earliest_t=0.5, latest_t=0.4)
