"""The field's baselines against diffusers' schedulers, on the same denoiser at the same noise levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from attrs import frozen
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    IPNDMScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from mixvel_core.protocols import Integrator, SchedulePoint
from mixvel_core.testing import run_checks
from mixvel_core.testing.integrators import TwoGaussians, follow
from mixvel_integrators.baselines import DEIS, IPNDM, ThirdOrderMultistep, UniPC
from mixvel_integrators.integrators import Multistep
from mixvel_integrators.multistep import History, LogSNR, step

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Of diffusers' own code, under numpy 2."""


@frozen(kw_only=True, eq=False)
class Levels:
    """A schedule that is known at its own stops only: alpha and sigma of stop n of N at t = 1 - n/N, n < N."""

    alpha: Tensor
    sigma: Tensor

    def at(self, t: Tensor) -> SchedulePoint:
        n = round((1.0 - float(t)) * len(self.alpha))
        none = torch.full((), math.nan, dtype=torch.float64)
        return SchedulePoint(alpha=self.alpha[n], sigma=self.sigma[n], d_alpha=none, d_sigma=none, dd_alpha=none)

    @property
    def times(self) -> list[float]:
        return [1.0 - n / len(self.alpha) for n in range(len(self.alpha))]


X = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
STEPS = 16


def ours(integrator: Integrator, alpha: Tensor, sigma: Tensor) -> Tensor:
    schedule = Levels(alpha=alpha.double(), sigma=sigma.double())
    return follow(integrator, TwoGaussians(schedule=schedule), X, schedule.times)


def theirs(cls: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Where a scheduler takes X in all but its last step, whose order it lowers, and its alpha and sigma."""
    scheduler = cls(prediction_type="sample", use_karras_sigmas=True, lower_order_final=False, **options)
    scheduler.set_timesteps(STEPS)
    ratio = scheduler.sigmas[:-1].double()
    alpha = 1.0 / (1.0 + ratio**2).sqrt()
    levels = Levels(alpha=alpha, sigma=ratio * alpha)
    flow = TwoGaussians(schedule=levels)
    x = X
    # Times of a Karras grid are rounded, and may be equal: the scheduler is to count steps instead.
    scheduler.set_begin_index(0)
    for t, time in list(zip(scheduler.timesteps, levels.times, strict=True))[:-1]:
        x = scheduler.step(flow.denoise(x, time), t, x).prev_sample
    return x, alpha, ratio * alpha


VARIANTS = [
    *(UniPC(nodes=nodes, variant=variant) for nodes in (1, 2) for variant in ("bh1", "bh2")),
    UniPC(nodes=3, variant="bh1"),
    *(method(nodes=nodes) for method in (DEIS, IPNDM) for nodes in (1, 2, 4)),
]
"""Those with the default options are checked with all plugins."""


@pytest.mark.parametrize("method", VARIANTS, ids=repr)
def test_conformance(method: Integrator) -> None:
    assert [result.what for result in run_checks("integrator", lambda: method) if result.error] == []


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
def test_unipc_is_diffusers(nodes: int, variant: Any) -> None:
    """Neither has corrected the point where they end: the next step would."""
    x, alpha, sigma = theirs(UniPCMultistepScheduler, solver_order=nodes, solver_type=variant)
    torch.testing.assert_close(ours(UniPC(nodes=nodes, variant=variant), alpha, sigma), x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_deis_is_diffusers(nodes: int) -> None:
    x, alpha, sigma = theirs(DEISMultistepScheduler, solver_order=nodes)
    torch.testing.assert_close(ours(DEIS(nodes=nodes), alpha, sigma), x, rtol=0, atol=1e-4)


def test_2m_is_diffusers() -> None:
    x, alpha, sigma = theirs(DPMSolverMultistepScheduler, solver_order=2)
    torch.testing.assert_close(ours(Multistep(), alpha, sigma), x, rtol=0, atol=1e-4)


@frozen(kw_only=True)
class HalfSquare(LogSNR):
    """A parabola whose square term is halved, [u_0, u_1, u_2] M (u - u_0)^2 / 2: diffusers' third order."""

    def coefficients(self, nodes: Sequence[float], start: float, end: float) -> list[float]:
        made = super().coefficients(nodes, start, end)
        if len(nodes) == 2:
            # Its second order is 2M.
            back = -0.5 * sum(made) * (end - start) / (start - nodes[1])
            return [sum(made) - back, back]
        if len(nodes) < 2:
            return made
        u = np.linspace(start, end, 4001)
        square = float(np.trapezoid((u - start) ** 2 * np.exp(u), u))
        others = [math.prod(a - b for b in nodes if b != a) for a in nodes]
        return [c - 0.5 * square / other for c, other in zip(made, others, strict=True)]


@frozen(kw_only=True)
class HalfSquareMultistep:
    order: int = 2
    evaluations: int = 1

    def step(self, field: Any, x: Tensor, t: float, s: float, history: History | None) -> tuple[Tensor, History]:
        return step(HalfSquare(), (3, 0), field, x, t, s, history)


def test_3m_is_diffusers_but_for_half_of_a_square_term() -> None:
    """Theirs, to 1e-4, is the parabola with half of its square term; ours integrates parabolas exactly."""
    x, alpha, sigma = theirs(DPMSolverMultistepScheduler, solver_order=3)
    torch.testing.assert_close(ours(HalfSquareMultistep(), alpha, sigma), x, rtol=0, atol=1e-4)
    nodes = [-0.3, -0.9, -1.2]
    c = LogSNR().coefficients(nodes, -0.3, 0.5)
    exact = [math.exp(u) * (u * u - 2 * u + 2) for u in (0.5, -0.3)]
    assert sum(a * u * u for a, u in zip(c, nodes, strict=True)) == pytest.approx(exact[0] - exact[1], rel=1e-12)
    assert torch.dist(ours(ThirdOrderMultistep(), alpha, sigma), x) > 1e-4


def test_ipndm_is_diffusers() -> None:
    """Its scheduler has a schedule of its own, sigma = sin^2(pi t/2). Compared from the second stop on, because at pure
    noise it makes no use of the network; and but for the last steps, in which ours holds."""
    scheduler = IPNDMScheduler()
    scheduler.set_timesteps(STEPS)
    scheduler.set_begin_index(1)
    alpha, sigma = (values.double()[1 : STEPS - 2] for values in (scheduler.alphas, scheduler.betas))
    levels = Levels(alpha=alpha, sigma=sigma)
    flow = TwoGaussians(schedule=levels)
    x = X
    for n, time in enumerate(levels.times[:-1]):
        eps = (x - alpha[n] * flow.denoise(x, time)) / sigma[n]
        # What its network predicts: sigma x + alpha output = eps.
        x = scheduler.step((eps - sigma[n] * x) / alpha[n], scheduler.timesteps[n + 1], x).prev_sample
    torch.testing.assert_close(ours(IPNDM(), alpha, sigma), x, rtol=0, atol=1e-4)
