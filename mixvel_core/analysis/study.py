"""Study: how far samplers end from the mixture's own flow, against steps and expert evaluations (E.3); study.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict

from mixvel_core.analysis.cells import StudyCell, cells_of
from mixvel_core.analysis.convergence import QUANTITIES, distances, power_law, statistics
from mixvel_core.analysis.inversion import InversionTask, cell_name
from mixvel_core.analysis.likelihood import likelihood_of
from mixvel_core.analysis.records import SlopeRow, StudyResult, StudyRow, write_record
from mixvel_core.analysis.references import Reference, reference_of
from mixvel_core.analysis.settings import StudySettings, study_settings
from mixvel_core.cost.flops import model_flops
from mixvel_core.device import threads
from mixvel_core.pipeline.loaded import Loaded, models_key
from mixvel_core.pipeline.opened import Run
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.grids import grid_name


def study(run: Run, registry: Registry, out: Path, progress: Progress) -> StudyResult:
    """Measures every curve that the recipe of a run names, and writes ``study.json`` to ``out``.

    What was measured before is not measured again: references are kept in ``references/`` of the run, samples in
    ``study/``. ``registry``: for selectors and integrators that the recipe does not name.

    Raises:
        UsageError: the run has nothing to study.
        SamplingError: an expert, router or selector returned something that cannot be used.
    """
    settings = study_settings(run, registry)
    with threads(run.recipe.sample.threads):
        found = _measured(run, settings, registry, progress)
    write_record(found, out)
    return found


def _measured(run: Run, settings: StudySettings, registry: Registry, progress: Progress) -> StudyResult:
    key = models_key(run.models, settings.router, by_weaker=settings.by_weaker)
    flops = model_flops(run.models, run.folder, progress)
    loaded = Loaded(run.models, run.recipe.sample)
    likelihood = likelihood_of(run, settings, loaded, run.folder / "study", progress)
    reference = reference_of(settings, loaded, key, run.folder / "references", progress)
    cells = cells_of(settings, loaded, key, run.folder / "study", progress)
    inversion = InversionTask(settings=settings, loaded=loaded, shards=run.shards, key=key, folder=run.folder / "study")
    errors = inversion.round_trips(progress)
    floor = distances(reference.looser, reference.x)
    return StudyResult(
        rows=tuple(
            StudyRow(
                **cell.curve.names,
                grid=grid_name(cell.curve.grid),
                steps=cell.steps,
                evaluations=float(cell.evaluations.mean()),
                round_trip=errors.get(cell_name(cell.curve, cell.steps)),
                flops=flops.of_usage(
                    cell.usage, float(cell.evaluations.mean()), settings.router, by_weaker=settings.by_weaker
                ),
                **asdict(statistics(distances(cell.x, reference.x))),
            )
            for cell in cells
        ),
        slopes=tuple(_slopes(cells, reference, floor, settings)),
        floor=statistics(floor),
        reference=reference.about,
        conditions={**_conditions(run, settings, loaded.shape), **likelihood.conditions},
        likelihood=likelihood.rows,
        interpolation=inversion.interpolation(registry, progress),
        timings=tuple(cell.seconds for cell in cells),
    )


def _slopes(
    cells: Sequence[StudyCell], reference: Reference, floor: np.ndarray, settings: StudySettings
) -> list[SlopeRow]:
    found = []
    for curve in settings.curves:
        mine = [cell for cell in cells if cell.curve is curve and cell.steps in settings.fitted]
        apart = np.stack([distances(cell.x, reference.x) for cell in mine])
        for quantity in QUANTITIES:
            law = power_law(settings.fitted, apart, quantity, floor, settings.seed)
            if law is not None:
                found.append(SlopeRow(**curve.names, grid=grid_name(curve.grid), quantity=quantity, **asdict(law)))
    return found


def _conditions(run: Run, settings: StudySettings, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "run": run.recipe.name,
        **({} if run.shards.codec is None else {"latents of": run.shards.codec.stated}),
        "schedule": label(run.recipe.schedule),
        "expert": run.recipe.expert.name,
        "experts": len(run.models.experts),
        "router": settings.router,
        "shape": list(shape),
        "count": settings.count,
        "seed": settings.seed,
        "delta": settings.delta,
        "precision": settings.precision,
        "weights": plain(run.recipe.sample.weights),
        **settings.given(),
        "round_trip": f"||decoded - x|| / ||x|| of {settings.round_trip} items, median",
        "error": "||x_N - x*||, Euclidean over all coordinates of a sample, from the same noise",
    }
