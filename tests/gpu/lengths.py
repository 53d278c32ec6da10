"""How long the trainings of `fashion` may be, and what they compute in: a probe of all processes at once decides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from attrs import asdict, evolve, frozen
from ledger import Ledger
from work import Place, probe

from mixvel_core.plugin.definition import Use
from mixvel_core.recipe.model import Recipe

PROBED = 3.0
"""Seconds of each probe."""
SETTINGS = {
    "bfloat16, channels last, CUDA graphs": {"precision": "bfloat16", "channels_last": "true", "cuda_graphs": "true"},
    "float32, CUDA graphs": {"precision": "float32", "channels_last": "false", "cuda_graphs": "true"},
    "float32": {"precision": "float32", "channels_last": "false", "cuda_graphs": "false"},
}
UNKNOWN = 0.25
"""Part of the steps where the probe found nothing out."""
OTHERS = 0.6
"""Of that rate what is left where routers compute the posteriors of all items beside: measured on an H200."""
LEAST = 10
"""Steps of a training, however short the time."""


@frozen(kw_only=True)
class Pace:
    """The fastest way that was found. ``rate``: images a second of ``workers`` trainings side by side."""

    setting: str
    workers: int
    rate: float


def lengths(
    ledger: Ledger, pool: ProcessPoolExecutor, workers: int, place: Place, experts: int, end: float
) -> tuple[Place, int]:
    """The same place with the fastest setting and with step counts that fit, and how many trainings side by side.

    What an earlier session found, or began to train, stays.
    """
    recipe = place.load()
    if ledger.toy:
        return place, workers
    pace = paced(ledger, pool, workers, place)
    record = place.folder.parent / f"{place.folder.name}-lengths.json"
    if record.exists():
        return evolve(place, overrides=(*place.overrides, *json.loads(record.read_text()))), pace.workers
    wanted = sum(count for _, count in trainings(recipe, experts).values())
    part = min(1.0, max(0.0, (end - time.monotonic()) * OTHERS * pace.rate / wanted)) if pace.rate else UNKNOWN
    ledger.figure("part of the recipe's steps that is trained", part, "times", images=wanted, setting=pace.setting)
    steps = {name: max(LEAST, round(part * steps)) for name, (steps, _) in trainings(recipe, experts).items()}
    ledger.note("steps", steps)
    chosen = [*_set(recipe, pace.setting), *(f"{name}.train.steps={count}" for name, count in steps.items())]
    record.write_text(json.dumps(chosen))
    return evolve(place, overrides=(*place.overrides, *chosen)), pace.workers


def paced(ledger: Ledger, pool: ProcessPoolExecutor, workers: int, place: Place) -> Pace:
    """The fastest of all settings, with all processes and with fewer; as an earlier session measured it, if one did."""
    record, recipe = place.folder.parent / "pace.json", place.load()
    if record.exists():
        return Pace(**json.loads(record.read_text()))
    found = []
    for name in SETTINGS:
        tried = evolve(place, overrides=(*place.overrides, *_set(recipe, name)))
        for many in (workers, 3) if "graphs" in name and workers > 3 else (workers,):
            each = [one.result() for one in [pool.submit(probe, tried, PROBED) for _ in range(many)]]
            ledger.figure(f"training side by side, {many} processes, {name}", sum(each), "images/s", each=each)
            found.append(Pace(setting=name, workers=many, rate=sum(each)))
    best = max(found, key=lambda pace: pace.rate)
    record.write_text(json.dumps(asdict(best)))
    return best


def trainings(recipe: Recipe, experts: int) -> dict[str, tuple[int, int]]:
    """Of each part of the recipe that is trained, by its key: steps of a network, and images of all its networks."""
    uses: dict[str, Use[Any] | None] = {"expert": recipe.expert, "monolith": recipe.monolith}
    uses |= {f"routers.{name}": use for name, use in recipe.routers.items()}
    found = {}
    for name, use in uses.items():
        options = getattr(use.options, "train", None) if use is not None else None
        if options is not None:
            networks = experts if name == "expert" else 1
            found[name] = options.steps, networks * options.steps * options.batch
    return found


def _set(recipe: Recipe, setting: str) -> Iterator[str]:
    for name in trainings(recipe, 1):
        for key, value in SETTINGS[setting].items():
            yield f"{name}.train.{key}={value}"
