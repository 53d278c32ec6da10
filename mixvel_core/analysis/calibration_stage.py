"""What a report needs of calibration: every router of a run measured once, and the floor beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from attrs import asdict

from mixvel_core.analysis.calibration import BUCKETS, STEPS, BucketCalibration, measure
from mixvel_core.analysis.floor import HALF, half_of_items
from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.data.conditions import class_spec, items_by_class
from mixvel_core.device import best_device
from mixvel_core.field.class_posterior import ClassPosterior
from mixvel_core.pipeline.experts import StoredExpert
from mixvel_core.pipeline.routers import StoredRouter
from mixvel_core.pipeline.shards import Shards
from mixvel_core.plugin.definition import ScheduleUse
from mixvel_core.protocols import Progress, Router
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.dump import keyed

_COUNT, _FEW = 128, 64
_LARGE = 1 << 27
"""Numbers in a data set from which on fewer points are looked at."""


def calibrate(
    routers: Mapping[str, StoredRouter],
    schedule: ScheduleUse,
    shards: Shards,
    seed: int,
    folder: Path,
    points: int | None = None,
    experts: Sequence[StoredExpert] = (),
    progress: Progress = SILENT,
) -> tuple[BucketCalibration, ...]:
    """Measures every router that is not measured yet, and keeps what it finds in ``calibration/`` of the run.

    Args:
        shards: whose items define the exact posterior.
        seed: of the points, which are the same for all routers.
        points: noised items in each bucket of times, and trajectories of the flow; absent: 128, or 64 of large data.
        experts: whose answers routers that observe are given along the flow.
        progress: a bar over times; none where all is known.

    Returns:
        The rows of each router, and last those of the floor, whose router is called ``HALF``; none without routers.
    """
    if not routers:
        return ()
    if points is None:
        numbers = sum(part.count for part in shards.parts) * math.prod(shards.shape)
        points = _FEW if numbers > _LARGE else _COUNT
    keys = {**{name: router.key for name, router in routers.items()}, HALF: HALF}
    observing = {name for name, router in routers.items() if router.family.definition.observes}
    artifacts = {
        name: Artifact(
            folder=folder / "calibration",
            key=key_of(
                router=router_key,
                shards=shards.key,
                schedule=keyed(schedule),
                seed=seed,
                steps=STEPS,
                points=points,
                **({"experts": [one.key for one in experts]} if name in observing else {}),
                **({"by_class": True} if class_spec(shards.conditions) else {}),
            ),
            # Names of routers begin with a letter or a digit.
            name="_half-done" if name == HALF else f"{name}-done",
        )
        for name, router_key in keys.items()
    }
    todo = [name for name, artifact in artifacts.items() if not artifact.is_done()]
    if todo:
        device, built, together = best_device(), schedule.build(), shards.as_one
        by_class = items_by_class(shards.parts)
        posterior = ClassPosterior(parts=(*by_class, [part.items for part in shards.parts]))
        loaded: dict[str, Router] = {
            name: half_of_items(shards, built, seed) if name == HALF else routers[name].load(device) for name in todo
        }
        answering = [one.load(device) for one in experts] if observing & set(todo) else []
        conditions = together.condition_values() if by_class else None
        times = (1 + bool(by_class)) * (BUCKETS + STEPS + 1)
        with torch.inference_mode(), progress.task("calibration", times, "times") as bar:
            found = measure(
                loaded,
                built,
                posterior,
                together.items,
                seed,
                points,
                device,
                answering,
                bar.update,
                conditions=conditions,
            )
        for name, made in found.items():
            write_json(_rows_file(artifacts[name]), [asdict(row) for row in made])
            artifacts[name].commit([_rows_file(artifacts[name]).name])
    rows = (row for artifact in artifacts.values() for row in read_json(_rows_file(artifact)))
    return tuple(BucketCalibration(**row) for row in rows)


def _rows_file(artifact: Artifact) -> Path:
    return artifact.folder / f"{artifact.name.removesuffix('-done')}.json"
