"""Selectors on real digits with exact kernel experts: K = 10 shards, a Gaussian of width 0.15 on every item."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from timing import Row

from mixvel_core.protocols import Selector
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.ode import reference
from mixvel_core.sampling.sampler import Sampler
from mixvel_data.numpy_source import Digits
from mixvel_integrators.integrators import Multistep
from mixvel_oracles.denoisers import EmpiricalExpert, OracleRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid, Mixture, Nucleus

COUNT, DELTA, WIDTH = 60, 0.1, 0.15
SELECTORS: dict[str, Selector] = {
    "mixture": Mixture(),
    "cached": Cached(),
    "cached, tolerance 0.3": Cached(tolerance=0.3),
    "nucleus 0.99": Nucleus(mass=0.99),
    "nucleus 0.9": Nucleus(mass=0.9),
    "iid": Iid(),
}
AT_EIGHTY = [("mixture", 8), ("nucleus 0.99", 14), ("nucleus 0.9", 25)]
"""Steps at which these take about as many evaluations as `cached` with tolerance 0.3 takes in 40."""


def digits_rows() -> Iterator[Row]:
    """Median and RMS distance to the exact end of the trajectory, with 2M on the uniform grid."""
    sampler = _sampler(Mixture(), 20)
    draws = SampleDraws(seed=0, index=torch.arange(COUNT))
    x = draws.noise((1, 8, 8), torch.float64)
    end = reference(
        x,
        schedule=sampler.schedule,
        experts=sampler.experts,
        router=sampler.router,
        delta=DELTA,
        rtol=1e-9,
        atol=1e-9,
    )
    cells = [(name, steps) for steps in (20, 40, 80) for name in SELECTORS]
    for name, steps in (*cells, *AT_EIGHTY):
        got, field = _sampler(SELECTORS[name], steps).trajectory(x, draws)
        distance = (got - end).flatten(1).norm(dim=1)
        low, median, high = np.percentile(distance.numpy(), [25, 50, 75])
        yield Row(
            name=f"digits, exact experts, {name}, {steps} steps",
            value=float(median),
            low=float(low),
            high=float(high),
            unit="median",
            conditions={
                "evaluations": f"{float(field.evaluations.double().mean()):.4g}",
                "rms": f"{float(distance.square().mean().sqrt()):.3g}",
                "range": "quartiles",
            },
        )


def _sampler(selector: Selector, steps: int) -> Sampler:
    data = Digits().load()
    if data.labels is None:
        raise RuntimeError("digits come with labels")
    shards = [torch.from_numpy(data.items[data.labels == k]).double() for k in range(10)]
    experts = tuple(EmpiricalExpert(schedule=Cosine(), items=items, bandwidth=WIDTH) for items in shards)
    fractions = tuple(len(items) / len(data.items) for items in shards)
    return Sampler(
        schedule=Cosine(),
        experts=experts,
        router=OracleRouter(experts=experts, fractions=fractions),
        selector=selector,
        integrator=Multistep(),
        steps=steps,
        delta=DELTA,
    )
