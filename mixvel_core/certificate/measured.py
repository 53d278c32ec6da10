"""What is measured at points instead of along sampled trajectories: local Lipschitz constants, growth, and epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from attrs import asdict, frozen
from torch import Tensor

from mixvel_core.certificate.oracle import noised
from mixvel_core.certificate.setting import Setting
from mixvel_core.finished import Finished
from mixvel_core.randomness import key, uniform
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.stages.sample import Loaded
from mixvel_core.theory.epsilon import epsilon
from mixvel_core.theory.exact import Exact, ExactField
from mixvel_core.theory.lipschitz import L_v_paper, L_v_sharp
from mixvel_core.theory.rates import rates_at
from mixvel_core.theory.spectral import Products, local_lipschitz

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
    finished: Finished, loaded: Loaded, exact: Exact, sampler: Sampler, setting: Setting
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
