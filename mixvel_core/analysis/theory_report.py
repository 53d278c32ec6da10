"""Theory report: a run's constants and bounds beside what is measured along its own trajectories; theory.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import asdict

from mixvel_core.analysis.convergence import quantity_of
from mixvel_core.analysis.error_budget import (
    AlongFlow,
    Exactly,
    MeasuredPair,
    along_flow,
    epsilons,
    is_exact,
    sampler_of,
    takeover,
    travel,
)
from mixvel_core.analysis.records import TheoryReport, write_theory_report
from mixvel_core.analysis.references import Oracle, oracle_of
from mixvel_core.analysis.theory_settings import CLOSED_TOLERANCE, EMPIRICAL_TOLERANCE, TheorySettings, theory_settings
from mixvel_core.device import threads
from mixvel_core.field.transport import Transport, transport
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample import Loaded
from mixvel_core.plugin.discovery import Registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.describe import label
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.ode import flow
from mixvel_core.sampling.sampler import SampleDraws
from mixvel_core.theory.exact import ExactField
from mixvel_core.theory.increments import exact_steps
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.table import BoundTable, bounds_of

MEAN_SQUARE = "E norm(e_N)^2"


def measure_theory(finished: Run, registry: Registry, out: Path, progress: Progress) -> TheoryReport:
    """Measures a run beside its bounds, and writes ``theory.json``.

    Args:
        finished: the run.
        registry: for selectors and integrators that the recipe does not name.
        out: where ``theory.json`` goes.
        progress: a bar for the exact trajectories and one for the sampled ones.

    Raises:
        UsageError: the theory says nothing of this run.
        SamplingError: an expert, router or selector returned something that cannot be used.
    """
    setting = theory_settings(finished, registry)
    loaded = Loaded(finished.models, finished.recipe.sample)
    oracle = oracle_of(finished, loaded, registry)
    with threads(finished.recipe.sample.threads):
        made = _measured(finished, setting, loaded, oracle, progress)
    write_theory_report(made, out)
    return made


def _measured(
    finished: Run, setting: TheorySettings, loaded: Loaded, oracle: Oracle, progress: Progress
) -> TheoryReport:
    field = ExactField(exact=oracle.exact)
    grids = {n: time_grid("uniform", loaded.schedule, n, setting.delta) for n in setting.steps}
    times = _merged(list(grids.values()))
    tolerance = setting.tolerance or (CLOSED_TOLERANCE if oracle.is_smooth else EMPIRICAL_TOLERANCE)
    # Twice as many as are sampled: the second half tells how far apart two independent exact sets are.
    draws = SampleDraws(seed=setting.seed, index=torch.arange(2 * setting.count, device=loaded.device))
    with progress.task("exact trajectories", 100, "%") as bar:
        both = flow(
            field.denoise,
            draws.noise(loaded.shape, torch.float64),
            schedule=loaded.schedule,
            times=times,
            rtol=tolerance,
            atol=tolerance,
            tell=lambda passed: bar.update(min(100, int(100 * passed))),
        )
    path, other = both[:, : setting.count], _flat(both[-1, setting.count :])
    first = sampler_of(setting.pairs[0], setting.steps[0], setting, loaded)
    exact = is_exact(first, field, path[len(times) // 2, :4])
    beside: dict[tuple[str, int], Exactly] = {}
    found: list[MeasuredPair] = []
    with progress.task("error budget", len(setting.pairs) * sum(setting.steps), "steps") as bar:
        for pair in setting.pairs:
            for n in setting.steps:
                sampler, place = sampler_of(pair, n, setting, loaded), (pair.names["integrator"], n)
                if place not in beside:
                    here = path[[_nearest(times, t) for t in grids[n]]]
                    along = exact_steps(integrator=sampler.integrator, times=grids[n], path=here, exact=field)
                    beside[place] = Exactly(field=field, times=grids[n], path=here, along=along)
                found.append(travel(pair, sampler, beside[place], setting.seed, exact))
                bar.update(sum(one.steps for one in found), f"{' '.join(pair.names.values())} {n}")
    epsilon = epsilons(finished, loaded, oracle.exact, first, setting)
    seen = along_flow(field, times, path, setting.R, oracle.products)
    tables = {n: bounds_of(_problem(finished, setting, loaded, epsilon, n)) for n in setting.steps}
    last = setting.steps[-1]
    ends = _flat(path[-1])
    return TheoryReport(
        constants=tuple(_constants(tables[last], seen, found)),
        distances=tuple(_distance(one, tables[one.steps], ends, other, setting) for one in found),
        budget=tuple(
            {**one.pair.names, "steps": one.steps, **row} for one in found if one.steps == last for row in one.rows
        ),
        accumulated=tuple(
            {
                **one.pair.names,
                "steps": one.steps,
                "method": float(quantity_of("rms", one.method)),
                "network": float(quantity_of("rms", one.network)),
            }
            for one in found
        ),
        takeover=tuple(_takeovers(found, setting)),
        lipschitz=seen.rows,
        epsilon=epsilon,
        floor=_with_logs(transport(ends, other, seed=setting.seed)),
        diameter=2.0 * setting.R,
        warnings=tuple(finding.message for finding in tables[last].findings),
        conditions={
            "run": finished.recipe.name,
            "schedule": label(finished.recipe.schedule),
            "expert": finished.recipe.expert.name,
            "router": setting.router,
            "against": oracle.about,
            "networks": "none: experts and router are exact" if exact else "approximate",
            "R": setting.R,
            "R is": setting.where_r,
            "D": math.prod(loaded.shape),
            "K": len(finished.models.experts.parts),
            "delta": setting.delta,
            "eps_r": max(row["er_sup"] for row in epsilon),
            "eps_c": max((row["ec_sup"] for row in epsilon if row["ec_sup"] is not None), default=None),
            "count": setting.count,
            "seed": setting.seed,
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


def _flat(x: torch.Tensor) -> np.ndarray:
    return x.flatten(1).cpu().numpy()


def _problem(
    finished: Run, setting: TheorySettings, loaded: Loaded, epsilon: Sequence[dict[str, Any]], steps: int
) -> BoundProblem:
    return BoundProblem(
        schedule=loaded.schedule,
        R=setting.R,
        D=math.prod(loaded.shape),
        K=len(finished.models.experts.parts),
        delta=setting.delta,
        steps=steps,
        eps_r=max(row["er_sup"] for row in epsilon),
        eps_c=max(row["ec_sup"] or 0.0 for row in epsilon),
    )


def _constants(table: BoundTable, seen: AlongFlow, found: Sequence[MeasuredPair]) -> list[dict[str, Any]]:
    """The rows of the table; what was measured is of the largest step count, and of iid with Euler where it says so."""
    measured = {"L_v": seen.L_v, "int L_v": seen.integral, "C_v": seen.C_v, "sup norm(x_t)": seen.reach}
    logs = {"exp(lambda T)": 2.0 * seen.integral / math.log(10.0)}
    for one in found:
        if one.steps != table.problem.steps:
            continue
        square = float(quantity_of("mean_square", one.error))
        if one.pair.bound:
            measured[one.pair.bound] = math.sqrt(square)
        if one.pair.is_the_paper_s:
            measured |= {"C_tr": one.C_tr, "C_sig": one.C_sig, MEAN_SQUARE: square}
    return [
        {
            "name": bound.name,
            "title": bound.title,
            "where": bound.where,
            "paper_log10": _finite(bound.paper_log10),
            "sharp_log10": _finite(bound.sharp_log10),
            "measured_log10": logs.get(bound.name, _log10(measured.get(bound.name))),
            "paper_vacuous": bound.paper_vacuous,
            "sharp_vacuous": bound.vacuous,
        }
        for bound in table.bounds
    ]


def _distance(
    one: MeasuredPair, table: BoundTable, ends: np.ndarray, other: np.ndarray, setting: TheorySettings
) -> dict[str, Any]:
    """Theorem 8's right side, where it is of this method, beside its left."""
    bound = table[one.pair.bound] if one.pair.bound else None
    paired = transport(one.x, ends, paired=True, seed=setting.seed)
    return {
        **one.pair.names,
        "steps": one.steps,
        "evaluations": one.evaluations,
        "paper_log10": _finite(bound.paper_log10) if bound else None,
        "sharp_log10": _finite(bound.sharp_log10) if bound else None,
        "paper_vacuous": bound.paper_vacuous if bound else None,
        "sharp_vacuous": bound.vacuous if bound else None,
        "rms": float(quantity_of("rms", one.error)),
        "median": float(quantity_of("median", one.error)),
        "w2": paired.value,
        "w2_low": paired.low,
        "w2_high": paired.high,
        "independent": transport(one.x, other, seed=setting.seed).value,
    }


def _takeovers(found: Sequence[MeasuredPair], setting: TheorySettings) -> list[dict[str, Any]]:
    rows = []
    for pair in setting.pairs:
        mine = [one for one in found if one.pair is pair]
        said = takeover(
            setting.steps,
            np.stack([one.method for one in mine]),
            np.stack([one.network for one in mine]),
            setting.seed,
        )
        rows.append({**pair.names, **asdict(said)})
    return rows


def _with_logs(found: Transport) -> dict[str, Any]:
    return {**asdict(found), "n": list(found.n)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value is not None and value > 0 else None
