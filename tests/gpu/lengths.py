"""How long the trainings of `fashion` may be, and what they compute in: a probe of all processes at once decides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from attrs import evolve
from ledger import Ledger
from work import Place, probe

from mixvel_core.plugin.definition import Use
from mixvel_core.recipe.model import Recipe

PROBED = 3.5
"""Seconds of each probe."""
SETTINGS = {
    "bfloat16, channels last": {"precision": "bfloat16", "channels_last": "true"},
    "bfloat16": {"precision": "bfloat16", "channels_last": "false"},
    "float32": {"precision": "float32", "channels_last": "false"},
}
UNKNOWN = 0.25
"""Part of the steps where the probe found nothing out."""
LEAST = 10
"""Steps of a training, however short the time."""


def lengths(ledger: Ledger, pool: ProcessPoolExecutor, workers: int, place: Place, experts: int, end: float) -> Place:
    """The same place with the fastest setting and with step counts that fit; those of an earlier session if any."""
    record = place.folder.parent / f"{place.folder.name}-lengths.json"
    if record.exists():
        return evolve(place, overrides=(*place.overrides, *json.loads(record.read_text())))
    recipe = place.load()
    if ledger.toy:
        return place
    rates = {}
    for name in SETTINGS:
        tried = evolve(place, overrides=(*place.overrides, *_set(recipe, name)))
        each = [one.result() for one in [pool.submit(probe, tried, PROBED) for _ in range(workers)]]
        rates[name] = sum(each)
        ledger.figure(f"training side by side, {workers} processes, {name}", rates[name], "images/s", each=each)
    fastest = max(rates, key=lambda name: rates[name])
    wanted = sum(count for _, count in trainings(recipe, experts).values())
    part = min(1.0, max(0.0, (end - time.monotonic()) * rates[fastest] / wanted)) if rates[fastest] else UNKNOWN
    ledger.figure("part of the recipe's steps that is trained", part, "times", images=wanted, setting=fastest)
    steps = {name: max(LEAST, round(part * steps)) for name, (steps, _) in trainings(recipe, experts).items()}
    ledger.note("steps", steps)
    chosen = [*_set(recipe, fastest), *(f"{name}.train.steps={count}" for name, count in steps.items())]
    record.write_text(json.dumps(chosen))
    return evolve(place, overrides=(*place.overrides, *chosen))


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
