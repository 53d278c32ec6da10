"""Error budgets: trajectories beside the exact flow from the same noise, every step's increment in its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.analysis.records import BudgetRow
from mixvel_core.analysis.settings import Curve
from mixvel_core.sampling.routed_field import WeightTransform, start_field
from mixvel_core.sampling.sampler import SampleDraws, Sampler
from mixvel_core.theory.exact import ApproximateMixture, ExactField
from mixvel_core.theory.increments import PARTS, Increment, increments


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
    """The trajectories of a sampler from where the exact ones start.

    Args:
        curve: which sampler it is.
        sampler: its parts.
        beside: the exact flow on its grid, and the steps of its integrator along it.
        seed: of the selector.
        exact: experts and router are exact: then there is no network part to compute.
    """
    x, times = beside.path[0], beside.times
    selected = start_field(
        schedule=sampler.schedule,
        experts=sampler.experts,
        router=sampler.router,
        selector=sampler.selector,
        x=x,
        t=times[0],
        draws=SampleDraws(seed=seed, index=torch.arange(len(x), device=x.device)),
        weights=sampler.weights,
        autocast=sampler.autocast,
    )
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
