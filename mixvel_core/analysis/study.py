"""Study: how far samplers end from the mixture's own flow, against steps and expert evaluations (E.3); study.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen

from mixvel_core.analysis.cells import Cell, cells_of, sampler_of
from mixvel_core.analysis.convergence import QUANTITIES, distances, power_law, statistics
from mixvel_core.analysis.references import Place, Reference, reference_of
from mixvel_core.analysis.settings import Setting, setting_of
from mixvel_core.artifacts.files import read_sealed_json, write_sealed_json
from mixvel_core.errors import ArtifactError
from mixvel_core.pipeline.opened import Finished
from mixvel_core.pipeline.sample import Loaded, models_key
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.dump import plain

FILE = "study.json"


@frozen(kw_only=True)
class Study:
    """``rows``: {selector, integrator, grid, steps, evaluations, rms, median, mean_square, p90}, evaluations being the
    mean of expert calls per sample. ``slopes``: {selector, integrator, grid, quantity, slope, low, high, r2, range,
    flattens, at_floor} (see ``PowerLaw``). ``floor``: the same statistics of the reference against a looser one, an
    estimate of its own error. ``reference``: how it was made. ``conditions``: everything the numbers hold for.
    """

    rows: tuple[dict[str, Any], ...]
    slopes: tuple[dict[str, Any], ...]
    floor: Mapping[str, float]
    reference: Mapping[str, Any]
    conditions: Mapping[str, Any]


def write_study(study: Study, folder: Path) -> Path:
    """Writes ``study.json``; the same study gives the same bytes."""
    write_sealed_json(folder / FILE, asdict(study))
    return folder / FILE


def read_study(folder: Path) -> Study | None:
    """The study of a run; None where there is none. Raises ArtifactError where it is damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    found = read_sealed_json(path)
    try:
        return Study(
            rows=tuple(found["rows"]),
            slopes=tuple(found["slopes"]),
            floor=found["floor"],
            reference=found["reference"],
            conditions=found["conditions"],
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not a study's ({error}); `mixvel study {folder}` makes it again") from None


def study(finished: Finished, registry: Registry, out: Path, progress: Progress) -> Study:
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
    setting = setting_of(finished, registry)
    key = models_key(finished.models, setting.router)
    loaded = Loaded(finished.models, finished.recipe.sample)
    reference = reference_of(
        setting,
        sampler_of(setting.curves[0], 1, setting, loaded),
        key,
        Place(shape=loaded.shape, device=loaded.device),
        finished.folder / "references",
        progress,
    )
    cells = cells_of(setting, loaded, key, finished.folder / "study", progress)
    made = Study(
        rows=tuple(_row(cell, reference) for cell in cells),
        slopes=tuple(_slopes(cells, reference, setting)),
        floor=asdict(statistics(distances(reference.looser, reference.x))),
        reference=reference.about,
        conditions=_conditions(finished, setting, loaded.shape),
    )
    write_study(made, out)
    return made


def _row(cell: Cell, reference: Reference) -> dict[str, Any]:
    return {
        **cell.curve.names,
        "steps": cell.steps,
        "evaluations": float(cell.evaluations.mean()),
        **asdict(statistics(distances(cell.x, reference.x))),
    }


def _slopes(cells: Sequence[Cell], reference: Reference, setting: Setting) -> list[dict[str, Any]]:
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


def _conditions(finished: Finished, setting: Setting, shape: tuple[int, ...]) -> dict[str, Any]:
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
