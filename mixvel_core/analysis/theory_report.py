"""Theory report: a run's constants and bounds beside what is measured along its own trajectories; theory.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import asdict, evolve, fields
from torch import Tensor

from mixvel_core.analysis.cells import sampler_of
from mixvel_core.analysis.convergence import quantity_of, takeover
from mixvel_core.analysis.error_budget import (
    AlongFlow,
    ErrorBudget,
    ExactTrajectories,
    along_flow,
    epsilons,
    error_budget,
    is_exact,
)
from mixvel_core.analysis.records import (
    AccumulatedRow,
    ConstantRow,
    DistanceRow,
    TakeoverRow,
    TheoryReport,
    write_record,
)
from mixvel_core.analysis.references import Oracle, oracle_of
from mixvel_core.analysis.settings import TheorySettings, theory_settings
from mixvel_core.device import threads
from mixvel_core.field.transport import transport
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import Run
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.describe import label
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.ode import flow
from mixvel_core.theory.bound import LN10, TwoBounds
from mixvel_core.theory.exact import ExactField
from mixvel_core.theory.increments import exact_steps
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.table import BoundTable, bounds_of

SMOOTH_TOLERANCE, EMPIRICAL_TOLERANCE = 1e-7, 1e-6
"""Of the exact trajectories."""


def theory_report(run: Run, registry: Registry, out: Path, progress: Progress) -> TheoryReport:
    """Measures a run beside its bounds, and writes ``theory.json`` to ``out``. ``registry``: for selectors and
    integrators that the recipe does not name.

    Raises:
        UsageError: the theory has no bounds for this run.
        SamplingError: an expert, router or selector returned something that cannot be used.
    """
    settings = theory_settings(run, registry)
    loaded = Loaded(run.models, run.recipe.sample)
    oracle = oracle_of(run, loaded, registry)
    with threads(run.recipe.sample.threads):
        report = _report(run, settings, loaded, oracle, progress)
    write_record(report, out)
    return report


def _report(run: Run, settings: TheorySettings, loaded: Loaded, oracle: Oracle, progress: Progress) -> TheoryReport:
    field = ExactField(exact=oracle.exact)
    grids = {n: time_grid("uniform", loaded.schedule, n, settings.delta) for n in settings.steps}
    times = _merged(list(grids.values()))
    tolerance = settings.tolerance or (SMOOTH_TOLERANCE if oracle.is_smooth else EMPIRICAL_TOLERANCE)
    # Twice as many as are sampled: from the second half comes how far apart two independent exact sets are.
    draws = SampleDraws(seed=settings.seed, index=torch.arange(2 * settings.count, device=loaded.device))
    with progress.task("exact trajectories", 100, "%") as bar:
        both = flow(
            field.denoise,
            draws.noise(loaded.shape, torch.float64),
            schedule=loaded.schedule,
            times=times,
            rtol=tolerance,
            atol=tolerance,
            on_progress=lambda passed: bar.update(min(100, int(100 * passed))),
        )
    path, other = both[:, : settings.count], _flat(both[-1, settings.count :])
    first = sampler_of(settings.curves[0], settings.steps[0], settings, loaded)
    exact = is_exact(first, field, path[len(times) // 2, :4])
    beside: dict[tuple[str, int], ExactTrajectories] = {}
    found: list[ErrorBudget] = []
    with progress.task("error budget", len(settings.curves) * sum(settings.steps), "steps") as bar:
        for curve in settings.curves:
            for n in settings.steps:
                sampler, place = sampler_of(curve, n, settings, loaded), (curve.names["integrator"], n)
                if place not in beside:
                    here = path[[_nearest(times, t) for t in grids[n]]]
                    along = exact_steps(integrator=sampler.integrator, times=grids[n], path=here, exact=field)
                    beside[place] = ExactTrajectories(field=field, times=grids[n], path=here, along=along)
                found.append(error_budget(curve, sampler, beside[place], settings.seed, exact))
                bar.update(sum(one.steps for one in found), f"{' '.join(curve.names.values())} {n}")
    errors = epsilons(run, loaded, oracle.exact, first, settings)
    seen = along_flow(field, times, path, settings.radius, oracle.products)
    eps_r = max(row.er_sup for row in errors)
    eps_c = max((row.ec_sup for row in errors if row.ec_sup is not None), default=None)
    D, K, last = math.prod(loaded.shape), len(run.models.experts), settings.steps[-1]
    problem = BoundProblem(
        schedule=loaded.schedule,
        R=settings.radius,
        D=D,
        K=K,
        delta=settings.delta,
        steps=last,
        eps_r=eps_r,
        eps_c=eps_c or 0.0,
    )
    tables = {n: bounds_of(evolve(problem, steps=n)) for n in settings.steps}
    ends = _flat(path[-1])
    return TheoryReport(
        constants=tuple(_constants(tables[last], seen, found)),
        distances=tuple(_distance(one, tables[one.steps], ends, other, settings.seed) for one in found),
        budget=tuple(row for one in found if one.steps == last for row in one.rows),
        accumulated=tuple(
            AccumulatedRow(**one.curve.names, steps=one.steps, method=_rms(one.method), network=_rms(one.network))
            for one in found
        ),
        takeover=tuple(_takeovers(found, settings)),
        lipschitz=seen.rows,
        epsilon=errors,
        floor=transport(ends, other, seed=settings.seed),
        diameter=2.0 * settings.radius,
        warnings=tuple(finding.message for finding in tables[last].findings),
        conditions={
            "run": run.recipe.name,
            **({} if run.shards.codec is None else {"latents of": run.shards.codec.stated}),
            "schedule": label(run.recipe.schedule),
            "expert": run.recipe.expert.name,
            "router": settings.router,
            "against": oracle.about,
            **({"condition": "none: the bounds are of all items"} if run.models.conditions else {}),
            "networks": "none: experts and router are exact" if exact else "approximate",
            "R": settings.radius,
            "R is": settings.radius_source,
            "D": D,
            "K": K,
            "delta": settings.delta,
            "eps_r": eps_r,
            "eps_c": eps_c,
            "count": settings.count,
            "seed": settings.seed,
            "tolerance": tolerance,
        },
    )


def _merged(grids: Sequence[Sequence[float]]) -> list[float]:
    """The times of all grids, falling; those that differ by rounding alone once."""
    times: list[float] = []
    for t in sorted({t for grid in grids for t in grid}, reverse=True):
        if not times or times[-1] - t > 1e-12:
            times.append(t)
    return times


def _nearest(times: Sequence[float], t: float) -> int:
    return min(range(len(times)), key=lambda i: abs(times[i] - t))


def _rms(d: np.ndarray) -> float:
    return float(quantity_of("rms", d))


def _flat(x: Tensor) -> np.ndarray:
    return x.flatten(1).cpu().numpy()


def _constants(table: BoundTable, seen: AlongFlow, found: Sequence[ErrorBudget]) -> list[ConstantRow]:
    """The rows of the table; measured: at the largest step count, of iid with Euler where it is the paper's."""
    measured = {"L_v": seen.L_v, "int L_v": seen.integral, "C_v": seen.C_v, "sup norm(x_t)": seen.reach}
    for one in (one for one in found if one.steps == table.problem.steps):
        square = float(quantity_of("mean_square", one.error))
        if one.curve.bound:
            measured[one.curve.bound] = math.sqrt(square)
        if one.curve.noise:
            measured[one.curve.noise] = one.C_sig
        if one.curve.is_the_papers:
            measured |= {"C_tr": one.C_tr, "E norm(e_N)^2": square}
    logs = {name: math.log10(value) for name, value in measured.items() if value > 0}
    logs["exp(lambda T)"] = 2.0 * seen.integral / LN10
    return [
        ConstantRow(**{**asdict(bound), **_two(bound)}, measured_log10=logs.get(bound.name)) for bound in table.bounds
    ]


def _distance(one: ErrorBudget, table: BoundTable, ends: np.ndarray, other: np.ndarray, seed: int) -> DistanceRow:
    """Theorem 8's right side, where it is of this method, beside its left."""
    bound = table[one.curve.bound] if one.curve.bound else None
    paired = transport(one.x, ends, paired=True, seed=seed)
    return DistanceRow(
        **one.curve.names,
        steps=one.steps,
        evaluations=one.evaluations,
        **_two(bound or NO_BOUND),
        rms=_rms(one.error),
        median=float(quantity_of("median", one.error)),
        w2=paired.value,
        w2_low=paired.low,
        w2_high=paired.high,
        independent=transport(one.x, other, seed=seed).value,
    )


def _takeovers(found: Sequence[ErrorBudget], settings: TheorySettings) -> list[TakeoverRow]:
    rows = []
    for curve in settings.curves:
        mine = [one for one in found if one.curve is curve]
        method, network = np.stack([one.method for one in mine]), np.stack([one.network for one in mine])
        rows.append(TakeoverRow(**curve.names, **asdict(takeover(settings.steps, method, network, settings.seed))))
    return rows


NO_BOUND = TwoBounds(paper_log10=None, sharp_log10=None)


def _two(bounds: TwoBounds) -> dict[str, Any]:
    """The fields of both bounds; JSON has no minus infinity, which stands for a bound of zero."""
    values = {field.name: getattr(bounds, field.name) for field in fields(TwoBounds)}
    return {name: value if value is None or math.isfinite(value) else None for name, value in values.items()}
