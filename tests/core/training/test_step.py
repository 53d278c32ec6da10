"""A step in parts, in bfloat16, in another layout: the same training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from attrs import evolve
from torch import nn
from trainable import CPU, level_job, run, short

from mixvel_core.protocols import Batch, Job, Objective
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.log import SpeedMeter, read_losses, seconds_before
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.state import TrainState
from mixvel_core.training.step import Step, called, placed
from mixvel_core.training.world import World
from mixvel_schedules.schedules import Cosine
from mixvel_unet.family import UNetFamily


def images(rows: int) -> torch.Tensor:
    return torch.linspace(-1, 1, rows * 64).sin().reshape(rows, 1, 8, 8)


def objective(options: TrainOptions) -> Objective:
    shard = MemoryShard(items=images(4).numpy())
    return UNetFamily(channels=(8, 16), train=options).task(shard, Cosine()).objective(0)


def batch(rows: int) -> Batch:
    return Batch(
        x_0=images(rows),
        shard=torch.zeros(rows, dtype=torch.int64),
        t=(torch.arange(rows) + 0.5) / rows,
        eps=images(rows).flip(0).roll(1, 3),
        progress=0.0,
    )


def step_of(options: TrainOptions) -> Step:
    made = objective(options)
    state = TrainState(placed(made.network, options, CPU), options)
    network = called(state.network, options, World())
    return Step(objective=made, network=network, state=state, options=options)


def gradient(step: Step) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in step.state.parameters if p.grad is not None])


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
def test_parts_add_up_to_the_whole(rows: int) -> None:
    whole, parts = step_of(evolve(short(), clip=1e9)), step_of(evolve(short(), clip=1e9, microbatch=rows))
    (one, norm), (other, norm_in_parts) = whole.take(batch(7)), parts.take(batch(7))
    torch.testing.assert_close(other["loss"], one["loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(norm_in_parts, norm, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient(parts), gradient(whole), rtol=1e-3, atol=1e-6)


def test_no_more_rows_than_asked_for_are_computed_at_a_time() -> None:
    step = step_of(evolve(short(), microbatch=3))
    seen: list[int] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(inputs[0]))

    step.state.network.register_forward_pre_hook(note)
    step.take(batch(8))
    assert seen == [3, 3, 2]


def test_bfloat16_computes_less_exactly_and_keeps_float32() -> None:
    full, reduced = step_of(evolve(short(), clip=1e9)), step_of(evolve(short(), clip=1e9, precision="bfloat16"))
    (one, _), (other, _) = full.take(batch(6)), reduced.take(batch(6))
    assert 0 < abs(float(other["loss"] - one["loss"])) < 0.02 * float(one["loss"])
    assert {p.dtype for p in reduced.state.parameters} == {torch.float32}
    cosine = torch.nn.functional.cosine_similarity(gradient(reduced), gradient(full), dim=0)
    assert 0.99 < float(cosine) < 1


def test_channels_last_is_a_layout_and_nothing_else() -> None:
    plain, last = step_of(short()), step_of(evolve(short(), channels_last=True))
    weights = [p for p in last.state.parameters if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    torch.testing.assert_close(last.take(batch(5))[0]["loss"], plain.take(batch(5))[0]["loss"], rtol=1e-5, atol=0)


def test_a_job_in_parts_ends_where_the_whole_ends(tmp_path: Path) -> None:
    job: Job = level_job(tmp_path / "whole")
    run(job)
    run(level_job(tmp_path / "parts", options=evolve(short(), microbatch=1)))
    found, wanted = (read_trained(tmp_path / name)["level"] for name in ("parts", "whole"))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    losses, same = (read_losses(tmp_path / name / "losses.csv") for name in ("parts", "whole"))
    assert losses["loss"] == pytest.approx(same["loss"], rel=1e-5)


def test_speed_is_timed_between_the_moments_of_waiting(tmp_path: Path) -> None:
    now = [0.0]
    speed = SpeedMeter(batch=32, clock=lambda: now[0])
    for step in range(1, 13):
        # The first two steps take long: they are not what a training is like.
        now[0] += 50.0 if step <= 2 else 0.5
        speed.stepped()
        if step in (1, 2, 7, 12):
            speed.waited()
        assert (speed.images_per_second is None) == (step < 7)
    assert speed.images_per_second == pytest.approx(64)
    assert speed.note == "64 images/s"
    speed.write(tmp_path, CPU, World(size=2))
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found == {"images_per_second": 64.0, "seconds": 0.0, "workers": 2, "device": "cpu"}


def test_the_time_of_a_training_counts_what_earlier_processes_took(tmp_path: Path) -> None:
    now = [0.0]
    for first, last in ((0.0, 40.0), (100.0, 102.5)):
        now[0] = first
        speed, before = SpeedMeter(batch=8, clock=lambda: now[0]), seconds_before(tmp_path)
        speed.begin()
        now[0] = last
        speed.write(tmp_path, CPU, World(), before)
    assert seconds_before(tmp_path) == 42.5


def test_nothing_is_said_of_what_was_not_timed(tmp_path: Path) -> None:
    speed = SpeedMeter(batch=32)
    speed.stepped()
    speed.waited()
    assert speed.note == ""
    speed.write(tmp_path, CPU, World())
    assert "images_per_second" not in json.loads((tmp_path / "speed.json").read_text())
