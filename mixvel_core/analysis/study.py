"""Study: how far samplers end from the mixture's own flow, against steps and expert evaluations (E.3); study.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict

from mixvel_core.analysis.cells import StudyCell, cells_of, sampler_of
from mixvel_core.analysis.convergence import QUANTITIES, distances, power_law, statistics
from mixvel_core.analysis.records import StudyResult, write_study
from mixvel_core.analysis.references import Reference, Start, reference_of
from mixvel_core.analysis.settings import StudySettings, study_settings
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample import Loaded, models_key
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.dump import plain


def study(finished: Run, registry: Registry, out: Path, progress: Progress) -> StudyResult:
    """Measures every curve that the recipe of a run asks for, and writes ``study.json``.

    What was measured before is not measured again: references are kept in ``references/`` of the run, samples in
    ``study/``.

    Args:
        finished: the run.
        registry: for selectors and integrators that the recipe does not name.
        out: where ``study.json`` goes.
        progress: a bar for the reference and one for the rest.

    Raises:
        UsageError: the run has nothing to study.
        SamplingError: an expert, router or selector returned something that cannot be used.
    """
    setting = study_settings(finished, registry)
    key = models_key(finished.models, setting.router)
    loaded = Loaded(finished.models, finished.recipe.sample)
    reference = reference_of(
        setting,
        sampler_of(setting.curves[0], 1, setting, loaded),
        key,
        Start(shape=loaded.shape, device=loaded.device),
        finished.folder / "references",
        progress,
    )
    cells = cells_of(setting, loaded, key, finished.folder / "study", progress)
    made = StudyResult(
        rows=tuple(_row(cell, reference) for cell in cells),
        slopes=tuple(_slopes(cells, reference, setting)),
        floor=asdict(statistics(distances(reference.looser, reference.x))),
        reference=reference.about,
        conditions=_conditions(finished, setting, loaded.shape),
    )
    write_study(made, out)
    return made


def _row(cell: StudyCell, reference: Reference) -> dict[str, Any]:
    return {
        **cell.curve.names,
        "steps": cell.steps,
        "evaluations": float(cell.evaluations.mean()),
        **asdict(statistics(distances(cell.x, reference.x))),
    }


def _slopes(cells: Sequence[StudyCell], reference: Reference, setting: StudySettings) -> list[dict[str, Any]]:
    floor = distances(reference.looser, reference.x)
    found = []
    for curve in setting.curves:
        mine = [cell for cell in cells if cell.curve is curve and cell.steps in setting.fitted]
        apart = np.stack([distances(cell.x, reference.x) for cell in mine])
        for quantity in QUANTITIES:
            law = power_law(setting.fitted, apart, quantity, floor, setting.seed)
            if law is not None:
                found.append({**curve.names, "quantity": quantity, **_as_json(asdict(law))})
    return found


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as the lists they are read back as."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _conditions(finished: Run, setting: StudySettings, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "run": finished.recipe.name,
        "schedule": label(finished.recipe.schedule),
        "expert": finished.recipe.expert.name,
        "experts": len(finished.models.experts.parts),
        "router": setting.router,
        "shape": list(shape),
        "count": setting.count,
        "seed": setting.seed,
        "delta": setting.delta,
        "precision": setting.precision,
        "weights": plain(finished.recipe.sample.weights),
        "error": "||x_N - x*||, Euclidean over all coordinates of a sample, from the same noise",
    }
