"""Error budgets: trajectories beside the exact flow from the same noise, every step's increment in its parts. And what
of the bounds is measured at points: errors of experts and router by time, and v along exact trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from attrs import asdict, frozen
from torch import Tensor

from mixvel_core.analysis.records import BudgetRow, EpsilonRow, LipschitzRow
from mixvel_core.analysis.references import noised
from mixvel_core.analysis.settings import Curve, TheorySettings
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import Run
from mixvel_core.randomness import key, uniform
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.sampling.weights import WeightTransform
from mixvel_core.theory.exact import ApproximateMixture, Exact, ExactField
from mixvel_core.theory.increments import PARTS, Increment, increments
from mixvel_core.theory.lipschitz import L_v_paper, L_v_sharp
from mixvel_core.theory.measured import Products, epsilon, local_lipschitz
from mixvel_core.theory.rates import rates_at

TIMES, FEW = 16, 8
"""Local Lipschitz constants are computed at so many times, in so many points each."""
ITERATIONS = 30
BUCKETS = 8
POINTS = 128
"""For epsilon, in each bucket of times."""


@frozen(kw_only=True, eq=False)
class ExactTrajectories:
    """The exact flow of ``field`` at ``times``, ``path`` (N + 1, n, *data) float64, and ``along``: where exact steps of
    one integrator take its points."""

    field: ExactField
    times: list[float]
    path: Tensor
    along: list[Tensor]


@frozen(kw_only=True, eq=False)
class ErrorBudget:
    """``x``: where the samples end, (n, *data), and ``error`` their distances to the exact ends, (n,). ``evaluations``:
    the mean of expert calls. ``rows``: one a step, of mean squares. ``method``, ``network``: norms of what truncation
    with selection, and networks, add over all steps, (n,). ``C_tr``: the largest truncation in units of h^2. ``C_sig``:
    the largest mean square of the selection part in units of h^2.
    """

    curve: Curve
    steps: int
    x: np.ndarray
    error: np.ndarray
    evaluations: float
    rows: tuple[BudgetRow, ...]
    method: np.ndarray
    network: np.ndarray
    C_tr: float
    C_sig: float


def is_exact(sampler: Sampler, field: ExactField, x: Tensor) -> bool:
    """Whether experts and router are the exact ones, compared in a few points at three times."""
    if sampler.weights != WeightTransform() or sampler.router.start(x, x.new_ones(len(x))) is not None:
        return False
    for time in (0.2, 0.5, 0.9):
        t = x.new_full((len(x),), time)
        a, m_k = field.exact.parts(x, t)
        found = torch.stack([expert.denoise(x, t) for expert in sampler.experts], dim=1)
        pairs = ((sampler.router.weights(x, t, None)[0].to(a), a), (found.to(m_k), m_k))
        if not all(torch.allclose(one, other, rtol=0, atol=1e-12) for one, other in pairs):
            return False
    return True


@torch.no_grad()
def error_budget(curve: Curve, sampler: Sampler, beside: ExactTrajectories, seed: int, exact: bool) -> ErrorBudget:
    """The trajectories of a sampler from where the exact ones start, ``beside`` them on its grid. ``seed``: of the
    selector. ``exact``: experts and router are exact, so that there is no network part to compute."""
    x, times = beside.path[0], beside.times
    draws = SampleDraws(seed=seed, index=torch.arange(len(x), device=x.device))
    selected = sampler.start(x, times[0], draws)
    mixture = ApproximateMixture(
        schedule=sampler.schedule,
        experts=sampler.experts,
        router=sampler.router,
        weights=sampler.weights,
        state=sampler.router.start(x, x.new_full((len(x),), times[0])),
    )
    method, network, end = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    rows: list[BudgetRow] = []
    C_tr = C_sig = 0.0
    for one in increments(
        integrator=sampler.integrator,
        times=times,
        path=beside.path,
        along=beside.along,
        selected=selected,
        mixture=beside.field if exact else mixture,
        exact=beside.field,
    ):
        rows.append(_row(curve, len(times) - 1, one))
        method += one.truncation + one.selection
        network += one.network
        h = one.t - one.s
        C_tr = max(C_tr, float(_norms(one.truncation).max()) / h**2)
        C_sig = max(C_sig, rows[-1].selection / h**2)
        end = one.after
    selected.check()
    return ErrorBudget(
        curve=curve,
        steps=len(times) - 1,
        x=(end + beside.path[-1]).cpu().numpy(),
        error=_norms(end).cpu().numpy(),
        evaluations=float(selected.evaluations.double().mean()),
        rows=tuple(rows),
        method=_norms(method).cpu().numpy(),
        network=_norms(network).cpu().numpy(),
        C_tr=C_tr,
        C_sig=C_sig,
    )


def _row(curve: Curve, steps: int, one: Increment) -> BudgetRow:
    squares: dict[str, Any] = {
        name: float(_norms(part).square().mean()) for name, part in zip(PARTS, one.parts, strict=True)
    }
    return BudgetRow(
        **curve.names,
        steps=steps,
        t=one.t,
        **squares,
        error=float(_norms(one.after).square().mean()),
        dominant=max(PARTS, key=lambda name: squares[name]),
    )


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = x.flatten(1).norm(dim=1)
    return norms


def epsilons(
    run: Run, loaded: Loaded, exact: Exact, sampler: Sampler, settings: TheorySettings
) -> tuple[EpsilonRow, ...]:
    """er and ec of the experts and the router, by time."""
    delta, rows = settings.delta, []
    ends = [delta + (1.0 - delta) * b / BUCKETS for b in range(BUCKETS + 1)]
    index = torch.arange(POINTS, device=loaded.device)
    for b, (low, high) in enumerate(pairwise(ends)):
        t = low + (high - low) * uniform(key(settings.seed, "theory", "time"), index, b)
        x = noised(run, loaded, t, settings.seed + b)
        found = epsilon(exact, sampler.experts, sampler.router, sampler.weights, x, t)
        rows.append(EpsilonRow(low=low, high=high, **asdict(found)))
    return tuple(rows)


@frozen(kw_only=True, eq=False)
class AlongFlow:
    """Of exact trajectories. ``L_v``: the largest local Lipschitz constant, and ``integral``: of the largest over time.
    ``C_v``: the largest ||v|| / (1 + ||x||). ``reach``: the largest ||x||."""

    rows: tuple[LipschitzRow, ...]
    L_v: float
    integral: float
    C_v: float
    reach: float


def along_flow(field: ExactField, times: Sequence[float], path: Tensor, R: float, products: Products) -> AlongFlow:
    """Measures v along exact trajectories ``path``, (len(times), n, *data), at falling times. ``R``: for the bounds
    that the local constants are put beside."""
    spaced = torch.linspace(0, len(times) - 1, min(TIMES, len(times))).tolist()
    chosen = sorted({round(i) for i in spaced}, reverse=True)
    points = torch.cat([path[i, :FEW] for i in chosen])
    t = torch.tensor([times[i] for i in chosen], dtype=path.dtype, device=path.device)
    each = t.repeat_interleave(len(points) // len(chosen))
    local = local_lipschitz(lambda x: field.v(x, each), points, products=products, iterations=ITERATIONS)
    by_time = local.reshape(len(chosen), -1).cpu()
    largest, median = by_time.amax(1), by_time.median(1).values
    rates = rates_at(field.schedule, t.cpu())
    columns = (t, median, largest, L_v_paper(rates, R), L_v_sharp(rates, R))
    with torch.no_grad():
        v = field.v(points, each).flatten(1).norm(dim=1)
    return AlongFlow(
        rows=tuple(
            LipschitzRow(t=at, median=middle, largest=most, paper=paper, sharp=sharp)
            for at, middle, most, paper, sharp in zip(*(column.tolist() for column in columns), strict=True)
        ),
        L_v=float(largest.max()),
        integral=float(torch.trapezoid(largest, t.cpu())),
        C_v=float((v / (1 + points.flatten(1).norm(dim=1))).max()),
        reach=float(path.flatten(2).norm(dim=2).max()),
    )
