"""What a study measures by following the ODE both ways: round trips of its curves, and images between two images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from attrs import evolve, frozen

from mixvel_core.analysis.cells import read_kept, sampler_of, write_kept
from mixvel_core.analysis.settings import Curve, StudySettings
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.data.pictures import is_image
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.encode import PATH
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.sample_conditions import given_condition
from mixvel_core.pipeline.shards import Shards
from mixvel_core.pipeline.some_items import conditions_of_some, some_items
from mixvel_core.plugin.definition import IntegratorUse, SelectorUse
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import Condition, Progress
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.grids import grid_name
from mixvel_core.sampling.inversion import follows_ode, round_trip, spherical

PARTS, STEPS = 7, 20
"""Images of a pair, the two ends among them, and steps each way: few, because no difference can be seen."""

Cell: TypeAlias = tuple[str, str, str, int]
"""Selector, integrator, grid and steps."""


def cell_name(curve: Curve, steps: int) -> Cell:
    """What a row of the study is found by."""
    return (*curve.names.values(), grid_name(curve.grid), steps)


@frozen(kw_only=True)
class InversionTask:
    """``key``: of the models. ``folder``: ``study/`` of the run, where results are kept."""

    settings: StudySettings
    loaded: Loaded
    shards: Shards
    key: str
    folder: Path

    def round_trips(self, progress: Progress) -> dict[Cell, float]:
        """The median of ||decoded - x|| / ||x|| over items, of each curve and step count that follows an ODE."""
        wanted = [
            (curve, steps)
            for curve in self.settings.curves
            if self.settings.round_trip and self._follows_ode(curve)
            for steps in self.settings.steps
        ]
        kept = [self._artifact(curve, steps, count=self.settings.round_trip) for curve, steps in wanted]
        there = [read_kept(artifact, "error") for artifact in kept]
        missing = [n for n, found in enumerate(there) if found is None]
        report_damage((kept[n].first_damaged() for n in missing), progress)
        errors = [found[0] if found is not None else None for found in there]
        # A bar only where there is work, as elsewhere in a study.
        if missing:
            with progress.task("round trips", len(missing), "curves") as bar:
                for done, n in enumerate(missing, start=1):
                    curve, steps = wanted[n]
                    errors[n] = error = self._round_trip(curve, steps)
                    write_kept(kept[n], {"error": error}, **curve.names, grid=grid_name(curve.grid), steps=steps)
                    bar.update(done)
        return {
            cell_name(*cell): float(np.median(error))
            for cell, error in zip(wanted, errors, strict=True)
            if error is not None
        }

    def interpolation(self, registry: Registry, progress: Progress) -> dict[str, Any]:
        """Pairs of images and what the arc between their noises is decoded to, in a file; empty where there is none."""
        pairs = self.settings.interpolations
        curve = path_curve(registry)
        if not (pairs and is_image(self.shards.data_shape) and self._follows_ode(curve)):
            return {}
        artifact = self._artifact(curve, STEPS, pairs=pairs, parts=PARTS)
        if not artifact.is_done():
            report_damage([artifact.first_damaged()], progress)
            with progress.task("interpolation", 3, "parts") as bar:
                items = self._items(2 * pairs)
                # Between two items there is no condition: the path is that without one.
                sampler = evolve(sampler_of(curve, STEPS, self.settings, self.loaded), guidance=None)
                noise = sampler.encode(items, batch=self.loaded.options.batch).x
                bar.update(1)
                pairs = len(items) // 2
                arcs = spherical(noise[:pairs], noise[pairs : 2 * pairs], torch.linspace(0.0, 1.0, PARTS))
                between = sampler.decode(arcs.flatten(0, 1), batch=self.loaded.options.batch).x
                bar.update(3)
            codec = None if self.shards.codec is None else self.shards.codec.load()
            found = {"items": items[: 2 * pairs], "between": between}
            made = {name: (one if codec is None else codec.decode(one)).cpu().numpy() for name, one in found.items()}
            write_kept(artifact, made, **curve.names)
        return {
            "file": f"{artifact.name}.npz",
            "parts": PARTS,
            "steps": STEPS,
            **curve.names,
            "grid": grid_name(curve.grid),
        }

    def _follows_ode(self, curve: Curve) -> bool:
        """Whether a curve can be followed back, from items that are here."""
        if self.settings.delta == 0.0 or not self.shards.are_local:
            return False
        return follows_ode(
            router=self.loaded.router(self.settings.router),
            selector=curve.selector.build(),
            schedule=self.loaded.schedule,
            shape=self.loaded.shape,
            device=self.loaded.device,
        )

    def _round_trip(self, curve: Curve, steps: int) -> np.ndarray:
        sampler = sampler_of(curve, steps, self.settings, self.loaded)
        count = self.settings.round_trip
        condition: Condition | None = None
        if self.settings.condition is not None and sampler.reads:
            own = conditions_of_some(self.shards, count, self.settings.seed)
            condition = given_condition(own, self.shards.conditions)
        moved = round_trip(sampler, self._items(count), condition=condition, batch=self.loaded.options.batch)
        return moved.error.cpu().numpy()

    def _items(self, count: int) -> torch.Tensor:
        items = to_float(some_items(self.shards, count, self.settings.seed))
        return torch.from_numpy(items).to(self.settings.dtype)

    def _artifact(self, curve: Curve, steps: int, **what: int) -> Artifact:
        options = self.loaded.options
        key = key_of(
            models=self.key,
            items=self.shards.key,
            selector=keyed(curve.selector),
            integrator=keyed(curve.integrator),
            grid=keyed(curve.grid),
            steps=steps,
            seed=self.settings.seed,
            delta=self.settings.delta,
            precision=self.settings.precision,
            weights=keyed(options.weights),
            autocast=options.autocast,
            channels_last=options.channels_last,
            compile=options.compile,
            **self.settings.given(),
            **what,
        )
        return Artifact(folder=self.folder, key=key, name=key)


def path_curve(registry: Registry) -> Curve:
    """The selector, integrator and grid that `mixvel encode` takes by default."""
    selector, integrator = registry.get("selector", PATH.selector), registry.get("integrator", PATH.integrator)
    return Curve(
        selector=SelectorUse(definition=selector, options=selector.options()),
        integrator=IntegratorUse(definition=integrator, options=integrator.options()),
        grid=PATH.grid,
    )
