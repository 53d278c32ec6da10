"""Error budgets along trajectories, local measurements along the flow, and where the networks' error takes over.

Besides drift, which acts on every error alike, a step adds a part of the method (truncation and selection), which falls
with N, and one of the networks, whose sum over all steps does not. A power law is fitted to the former and followed to
where it meets the latter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from attrs import asdict, evolve, frozen
from torch import Tensor

from mixvel_core.analysis.convergence import power_law, quantity_of
from mixvel_core.analysis.references import noised
from mixvel_core.analysis.theory_settings import Pair, TheorySettings
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample import Loaded, SampleSpec
from mixvel_core.randomness import key, uniform
from mixvel_core.sampling.routed_field import WeightTransform, start_field
from mixvel_core.sampling.sampler import SampleDraws, Sampler
from mixvel_core.theory.exact import Exact, ExactField, approximate_mixture
from mixvel_core.theory.increments import PARTS, Increment, increments
from mixvel_core.theory.lipschitz import L_v_paper, L_v_sharp
from mixvel_core.theory.measured import Products, epsilon, local_lipschitz
from mixvel_core.theory.rates import rates_at

NOTHING = 1e-9
"""A network part below this part of the method's is rounding."""
SETTLED = 0.25
"""A network part that changes by more than this between the last two step counts is no floor yet."""
FAR = 100.0
"""How many times the largest N measured a power law is believed."""


@frozen(kw_only=True)
class Takeover:
    """``steps``: N, None where it cannot be said. ``slope``: of the method's part, with its 95% interval. ``says``: in
    words, also why there is no N."""

    steps: float | None
    slope: float | None
    low: float | None
    high: float | None
    says: str


def takeover(steps: Sequence[int], method: np.ndarray, network: np.ndarray, seed: int = 0) -> Takeover:
    """Where the network part takes over.

    Args:
        steps: step counts, rising.
        method: norms of what truncation and selection add over all steps, (len(steps), n), of n trajectories.
        network: the same of the networks.
        seed: of the bootstrap.
    """
    errors, floors = quantity_of("rms", method), quantity_of("rms", network)
    floor = float(floors[-1])
    law = power_law(steps, method, "rms", seed=seed)
    slope, low, high = (None, None, None) if law is None else (law.slope, law.low, law.high)

    def told(n: float | None, says: str) -> Takeover:
        return Takeover(steps=n, slope=slope, low=low, high=high, says=says)

    if floor <= NOTHING * float(errors.max()):
        return told(None, "never: the networks add nothing, so more steps always help")
    if slope is None or high is None or len(steps) < 2:
        return told(None, "cannot be said: one step count has no slope")
    if abs(float(floors[-1] / floors[-2]) - 1.0) > SETTLED:
        return told(None, "cannot be said: the network part itself still changes with N")
    if high >= 0:
        return told(None, "cannot be said: the method's part does not fall for sure over these step counts")
    log_n, log_error = np.log(np.asarray(steps, dtype=np.float64)), np.log(errors)
    exponent = log_n.mean() + (log_error.mean() - math.log(floor)) / -slope
    if exponent > math.log(FAR * steps[-1]):
        return told(None, f"cannot be said: not before N = {FAR * steps[-1]:.0f}, too far beyond what was measured")
    n = math.exp(exponent)
    if n < steps[0]:
        return told(n, f"before N = {steps[0]}: the networks already add more than the method")
    where = "within" if n <= steps[-1] else "beyond"
    return told(n, f"about N = {n:.0f}, {where} what was measured; from there on more steps will not help")


TIMES, FEW = 16, 8
"""Local Lipschitz constants are looked at at so many times, in so many points each."""
ITERATIONS = 30
BUCKETS = 8
POINTS = 128
"""For epsilon, in each bucket of times."""


@frozen(kw_only=True, eq=False)
class AlongFlow:
    """Of exact trajectories. ``rows``: {t, median, largest, paper, sharp} of local Lipschitz constants of v, rising in
    t. ``L_v``: the largest, and ``integral``: of the largest over time. ``C_v``: the largest ||v|| / (1 + ||x||).
    ``reach``: the largest ||x||.
    """

    rows: tuple[dict[str, Any], ...]
    L_v: float
    integral: float
    C_v: float
    reach: float


def along_flow(field: ExactField, times: Sequence[float], path: Tensor, R: float, products: Products) -> AlongFlow:
    """Looks at v along exact trajectories.

    Args:
        field: the exact field.
        times: falling, of the path.
        path: (len(times), n, *data).
        R: radius, for the bounds that the local constants are put beside.
        products: by which kind the field is differentiated.
    """
    chosen = sorted(
        {round(i) for i in torch.linspace(0, len(times) - 1, min(TIMES, len(times))).tolist()}, reverse=True
    )
    points = torch.cat([path[i, :FEW] for i in chosen])
    few = len(points) // len(chosen)
    t = torch.tensor([times[i] for i in chosen], dtype=path.dtype, device=path.device)
    each = t.repeat_interleave(few)
    local = local_lipschitz(lambda x: field.v(x, each), points, products=products, iterations=ITERATIONS)
    by_time = local.reshape(len(chosen), few)
    rates = rates_at(field.schedule, t.cpu())
    largest, median = by_time.amax(1).cpu(), by_time.median(1).values.cpu()
    rows = tuple(
        {
            "t": float(t[i]),
            "median": float(median[i]),
            "largest": float(largest[i]),
            "paper": float(p),
            "sharp": float(s),
        }
        for i, (p, s) in enumerate(zip(L_v_paper(rates, R), L_v_sharp(rates, R), strict=True))
    )
    with torch.no_grad():
        v = field.v(points, each).flatten(1).norm(dim=1)
    return AlongFlow(
        rows=rows,
        L_v=float(largest.max()),
        integral=float(torch.trapezoid(largest, t.cpu())),
        C_v=float((v / (1 + points.flatten(1).norm(dim=1))).max()),
        reach=float(path.flatten(2).norm(dim=2).max()),
    )


def epsilons(
    finished: Run, loaded: Loaded, exact: Exact, sampler: Sampler, setting: TheorySettings
) -> tuple[dict[str, Any], ...]:
    """er and ec of the experts and the router, by time: {low, high} and the fields of ``Epsilon``."""
    delta, rows = setting.delta, []
    ends = [delta + (1.0 - delta) * b / BUCKETS for b in range(BUCKETS + 1)]
    index = torch.arange(POINTS, device=loaded.device)
    for b, (low, high) in enumerate(pairwise(ends)):
        t = low + (high - low) * uniform(key(setting.seed, "theory", "time"), index, b)
        x = noised(finished, loaded, t, setting.seed + b)
        found = epsilon(exact, sampler.experts, sampler.router, sampler.weights, x, t)
        rows.append({"low": low, "high": high, **asdict(found)})
    return tuple(rows)


@frozen(kw_only=True, eq=False)
class MeasuredPair:
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


def sampler_of(pair: Pair, steps: int, setting: TheorySettings, loaded: Loaded) -> Sampler:
    """The sampler of the sample stage, on the uniform grid of the theory."""
    draw = SampleSpec(
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
def travel(pair: Pair, sampler: Sampler, beside: Exactly, seed: int, exact: bool) -> MeasuredPair:
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
    whole = approximate_mixture(
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
    selected.check()
    return MeasuredPair(
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
