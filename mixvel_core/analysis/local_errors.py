"""What of the bounds is measured at points: errors of experts and router by time, and v along exact trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from attrs import asdict, frozen
from torch import Tensor

from mixvel_core.analysis.records import EpsilonRow, LipschitzRow
from mixvel_core.analysis.references import noised
from mixvel_core.analysis.settings import TheorySettings
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample import Loaded
from mixvel_core.randomness import key, uniform
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.theory.exact import Exact, ExactField
from mixvel_core.theory.lipschitz import L_v_paper, L_v_sharp
from mixvel_core.theory.measured import Products, epsilon, local_lipschitz
from mixvel_core.theory.rates import rates_at

TIMES, FEW = 16, 8
"""Local Lipschitz constants are computed at so many times, in so many points each."""
ITERATIONS = 30
BUCKETS = 8
POINTS = 128
"""For epsilon, in each bucket of times."""


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
    """Measures v along exact trajectories.

    Args:
        field: the exact field.
        times: falling, of the path.
        path: (len(times), n, *data).
        R: radius, for the bounds that the local constants are put beside.
        products: by which kind the field is differentiated.
    """
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
