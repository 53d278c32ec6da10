"""How fast this machine trains a network: a few steps, taken once for each design and kept in the user's cache."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, frozen

from mixvel_core.artifacts.files import digest_of, read_json, write_json
from mixvel_core.errors import ArtifactError, MixvelError
from mixvel_core.machine import data_home
from mixvel_core.protocols import ConditionedTask, Job, TrainTask

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mixvel_core.protocols import ConditionSpec, Items, NoiseSchedule
    from mixvel_core.protocols.training import Objective
    from mixvel_core.training.options import TrainOptions

FILE = "speeds.json"
STEPS = 4
"""Steps that are timed, after one that allocates; fewer where they take long."""
LONG = 2.0
"""Seconds after which no further step is begun."""
_MOST_FLOPS = 4e11
"""Of a step that is timed: some seconds of a slow processor. Larger batches are timed in part."""


@frozen(kw_only=True)
class _SmallerBatch:
    """A task whose batches have ``batch`` rows."""

    task: TrainTask
    batch: int

    @property
    def items(self) -> Items:
        return self.task.items

    @property
    def shards(self) -> np.ndarray | None:
        return self.task.shards

    @property
    def schedule(self) -> NoiseSchedule:
        return self.task.schedule

    @property
    def options(self) -> TrainOptions:
        return evolve(self.task.options, batch=self.batch)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        return self.task.conditions if isinstance(self.task, ConditionedTask) else ()

    def condition_values(self) -> Mapping[str, Items]:
        return self.task.condition_values() if isinstance(self.task, ConditionedTask) else {}

    def objective(self, seed: int) -> Objective:
        return self.task.objective(seed)


def images_per_second(
    task: TrainTask, design: str, flops: int, device: torch.device, threads: int | None
) -> float | None:
    """The rate of one worker training ``task`` on this machine.

    Args:
        task: what is trained; nothing is written but what was measured, in the user's cache.
        design: of its network, for the key of the cache.
        flops: of an image forwards and backwards.
        device: where.
        threads: of torch; its own number if None.

    Returns:
        Images a second; None where even one would take too long, the network is to be compiled, or fails.
    """
    options = task.options
    batch = min(options.batch, int(_MOST_FLOPS / max(flops, 1)))
    if batch < 1 or options.compile:
        return None
    cached, key = _cached(), _key(task, design, batch, device, threads)
    if key not in cached:
        from mixvel_core.device import threads as torch_threads

        try:
            with torch_threads(threads):
                found = _timed(_SmallerBatch(task=task, batch=batch), device)
        # A plugin's network may fail in any way; whoever trains it gets the error.
        except (MixvelError, RuntimeError, TypeError, ValueError, AttributeError, OSError):
            return None
        cached = {**cached, key: found}
        _keep(cached)
    return float(cached[key])


def _timed(task: TrainTask, device: torch.device) -> float:
    import torch

    from mixvel_core.training.batches import Batches
    from mixvel_core.training.state import TrainState
    from mixvel_core.training.step import Step, called, placed
    from mixvel_core.training.world import World

    world, options, seed = World(), task.options, 0
    objective = task.objective(seed)
    state = TrainState(placed(objective.network, options, device), options)
    step = Step(objective=objective, network=called(state.network, options, world), state=state, options=options)
    batches = Batches(Job(name="measured", task=task, seed=seed, folder=Path()), device, world)

    def take(number: int) -> None:
        step.take(batches.at(number))
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with closing(batches):
        take(0)
        began, taken = perf_counter(), 0
        while taken < STEPS and (taken == 0 or perf_counter() - began < LONG):
            taken += 1
            take(taken)
        return options.batch * taken / (perf_counter() - began)


def _key(task: TrainTask, design: str, batch: int, device: torch.device, threads: int | None) -> str:
    """Of the design and the machine."""
    import torch

    from mixvel_core.device import device_name

    options = asdict(task.options)
    of_speed = {name: options[name] for name in ("precision", "microbatch", "channels_last", "cuda_graphs", "held_out")}
    return digest_of(
        {
            "network": design,
            "task": type(task).__qualname__,
            "shape": list(task.items.shape[1:]),
            "batch": batch,
            **of_speed,
            "device": device_name(device),
            "threads": threads,
            "machine": [platform.node(), platform.machine(), torch.__version__],
        }
    )


def _place() -> Path | None:
    try:
        return data_home(None) / FILE
    except MixvelError:
        return None


def _cached() -> Mapping[str, Any]:
    place = _place()
    with suppress(ArtifactError, OSError):
        if place is not None and place.exists() and isinstance(found := read_json(place), dict):
            return {key: rate for key, rate in found.items() if isinstance(rate, float)}
    return {}


def _keep(speeds: Mapping[str, Any]) -> None:
    """Writes the cache; where it cannot be written, the next call measures again."""
    place = _place()
    with suppress(ArtifactError, OSError):
        if place is not None:
            write_json(place, dict(speeds))
