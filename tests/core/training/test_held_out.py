"""Held-out items: never trained on, their loss by known weights, recorded alike by any way of running."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from trainable import CPU, LevelObjective, StoppedError, level_job, run, short, stop_at, vectors

from mixvel_core.errors import DataError
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.held_out import ROWS, held_out_loss, split
from mixvel_core.training.log import read_losses
from mixvel_core.training.world import World

OPTIONS = evolve(short(steps=40, batch=8), held_out=0.25)


def test_items_held_out_are_in_no_batch(tmp_path: Path) -> None:
    items = np.arange(40, dtype=np.float32).reshape(20, 2) / 40
    batches = Batches(level_job(tmp_path, items=items, options=OPTIONS), CPU, World())
    seen = {float(v) for step in range(40) for v in batches.at(step).x_0[:, 0]}
    held = batches.held_out(0)
    assert held is not None
    kept_back = {float(v) for v in held.x_0[:, 0]}
    assert len(kept_back) == 5
    assert len(seen) == 15
    assert not seen & kept_back


def test_points_are_the_same_at_every_step_and_cover_all_times(tmp_path: Path) -> None:
    batches = Batches(level_job(tmp_path, options=OPTIONS), CPU, World())
    first, last = batches.held_out(0), batches.held_out(39)
    assert first is not None
    assert last is not None
    assert torch.equal(first.x_0, last.x_0)
    assert torch.equal(first.eps, last.eps)
    assert torch.equal(first.t, last.t)
    # One time in each of ROWS equal parts.
    parts = ((first.t - 1e-3) / (1 - 1e-3) * ROWS).floor().clamp(0, ROWS - 1)
    assert len(set(parts.tolist())) >= ROWS - 4  # float32 may round a time across a border


def test_loss_is_that_of_the_averaged_weights(tmp_path: Path) -> None:
    items = vectors(16)
    run(level_job(tmp_path, items=items, options=OPTIONS))
    held = items[split("level", 16, 0.25, 7).held]
    level = read_trained(tmp_path)["level"].numpy()
    expected = np.mean((np.resize(held, (ROWS, 3)) - level) ** 2)
    losses = read_losses(tmp_path / "losses.csv")
    assert losses["held_out"][-1] == pytest.approx(expected, rel=1e-5)
    assert len(losses["held_out"]) == len(losses["loss"])


def test_parts_of_any_size_give_the_same_loss(tmp_path: Path) -> None:
    batches = Batches(level_job(tmp_path, options=OPTIONS), CPU, World())
    batch = batches.held_out(0)
    assert batch is not None
    objective = level_job(tmp_path, options=OPTIONS).task.objective(3)
    assert isinstance(objective, LevelObjective)
    state = {name: value + 1 for name, value in objective.network.state_dict().items()}
    whole, parts = (held_out_loss(objective, objective.network, state, batch, size) for size in (ROWS, 7))
    torch.testing.assert_close(whole, parts)
    assert objective.network.training


def test_interrupted_training_records_the_same(tmp_path: Path) -> None:
    run(level_job(tmp_path / "a", options=OPTIONS))
    with pytest.raises(StoppedError):
        run(level_job(tmp_path / "b", options=OPTIONS), stop_at(27))
    run(level_job(tmp_path / "b", options=OPTIONS))
    assert (tmp_path / "a/losses.csv").read_bytes() == (tmp_path / "b/losses.csv").read_bytes()


def test_share_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="level: held_out"):
        run(level_job(tmp_path, items=vectors(2), options=evolve(OPTIONS, held_out=0.9)))


def test_one_item_cannot_be_parted_by_any_share() -> None:
    with pytest.raises(DataError, match="none of 1 items to train on; leave held_out at 0, or take more items"):
        split("expert-2", 1, 0.02, 0)


@pytest.mark.parametrize(("count", "fraction", "held"), [(10, 0.02, 1), (100, 0.25, 25), (2, 0.1, 1)])
def test_split_parts_all_items(count: int, fraction: float, held: int) -> None:
    parts = split("x", count, fraction, 0)
    assert len(parts.held) == held
    assert sorted([*parts.held, *parts.kept]) == list(range(count))
