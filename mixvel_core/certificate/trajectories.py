"""One selector and integrator at one step count: its trajectories beside the exact ones, and their budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.certificate.setting import Pair, Setting
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.field import start_field
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.sampling.weights import WeightTransform
from mixvel_core.stages.sample import Draw, Loaded
from mixvel_core.theory.exact import ExactField
from mixvel_core.theory.increments import PARTS, Increment, increments
from mixvel_core.theory.whole import whole_mixture


@frozen(kw_only=True, eq=False)
class Travelled:
    """``x``: where the samples end, (n, *data), and ``error`` their distances to the exact ends, (n,). ``evaluations``:
    the mean of expert calls. ``rows``: one a step, of mean squares. ``method``, ``network``: norms of what truncation
    with selection, and networks, add over all steps, (n,). ``C_tr``: the largest truncation in units of h^2. ``C_sig``:
    the largest mean square of the selection part in units of h^2.
    """

    pair: Pair
    steps: int
    x: np.ndarray
    error: np.ndarray
    evaluations: float
    rows: tuple[dict[str, Any], ...]
    method: np.ndarray
    network: np.ndarray
    C_tr: float
    C_sig: float


def sampler_of(pair: Pair, steps: int, setting: Setting, loaded: Loaded) -> Sampler:
    """The sampler of the sample stage, on the uniform grid of the theory."""
    draw = Draw(
        method="theory",
        steps=steps,
        seed=setting.seed,
        selector=pair.selector,
        integrator=pair.integrator,
        router=setting.router,
        weights=loaded.options.weights,
    )
    return evolve(loaded.sampler(draw), grid="uniform")


def is_exact(sampler: Sampler, field: ExactField, x: Tensor) -> bool:
    """Whether experts and router are the exact ones, looked at in a few points at three times."""
    if sampler.weights != WeightTransform() or sampler.router.start(x, x.new_ones(len(x))) is not None:
        return False
    for time in (0.2, 0.5, 0.9):
        t = x.new_full((len(x),), time)
        a, m_k = field.exact.parts(x, t)
        found = torch.stack([expert.denoise(x, t) for expert in sampler.experts], dim=1)
        if not torch.allclose(sampler.router.weights(x, t, None)[0].to(a), a, rtol=0, atol=1e-12):
            return False
        if not torch.allclose(found.to(m_k), m_k, rtol=0, atol=1e-12):
            return False
    return True


@frozen(kw_only=True, eq=False)
class Exactly:
    """What all selectors are measured beside: ``path``, the exact flow at ``times``, (N + 1, n, *data) float64, of
    ``field``, and ``along``, where exact steps of one integrator take its points."""

    field: ExactField
    times: list[float]
    path: Tensor
    along: list[Tensor]


@torch.no_grad()
def travel(pair: Pair, sampler: Sampler, beside: Exactly, seed: int, exact: bool) -> Travelled:
    """The trajectories of a sampler from where the exact ones start.

    Args:
        pair: which sampler it is.
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
    whole = whole_mixture(
        schedule=sampler.schedule,
        experts=sampler.experts,
        router=sampler.router,
        weights=sampler.weights,
        x=x,
        t=times[0],
    )
    method, network = torch.zeros_like(x), torch.zeros_like(x)
    rows: list[dict[str, Any]] = []
    C_tr = C_sig = 0.0
    end = x
    steps = increments(
        integrator=sampler.integrator,
        times=times,
        path=beside.path,
        along=beside.along,
        selected=selected,
        whole=beside.field if exact else whole,
        exact=beside.field,
    )
    for one in steps:
        row = _row(one)
        rows.append(row)
        method += one.truncation + one.selection
        network += one.network
        h = one.t - one.s
        C_tr = max(C_tr, float(_norms(one.truncation).max()) / h**2)
        C_sig = max(C_sig, row["selection"] / h**2)
        end = one.after
    return Travelled(
        pair=pair,
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


def _row(one: Increment) -> dict[str, Any]:
    squares = {name: float(_norms(part).square().mean()) for name, part in zip(PARTS, one.parts, strict=True)}
    return {
        "t": one.t,
        **squares,
        "error": float(_norms(one.after).square().mean()),
        "dominant": max(PARTS, key=lambda name: squares[name]),
    }


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = x.flatten(1).norm(dim=1)
    return norms
