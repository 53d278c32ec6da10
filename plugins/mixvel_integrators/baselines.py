"""The field's multistep samplers, as baselines: UniPC, DPM-Solver++(3M), DEIS and iPNDM; one evaluation a step.

Each holds M, or its noise, in a step of more than log 4 of log(alpha/sigma), where other code lowers the order by the
number of steps that are left.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import Field
from mixvel_integrators.multistep import LOG_SNR, History, LogSNR, estimate_of, exponential_integrals, step


@frozen(kw_only=True)
class BHRule(LogSNR):
    """UniPC's coefficients: those of ``LogSNR`` but for two nodes, where half of B(h) takes the place of the integral
    of the slope: x_s = (DDIM step) + alpha_s B(h)/2 (M_u - M_t)/r, r = (u - lambda_t)/h.

    ``variant``: bh1, B = h; bh2, B = 1 - e^-h, with which the predictor of order 2 is 2M.
    """

    variant: Literal["bh1", "bh2"] = "bh2"

    def coefficients(self, nodes: Sequence[float], start: float, end: float) -> list[float]:
        """c_i; at two nodes one of them is ``start``."""
        if len(nodes) != 2 or start not in nodes or math.inf in nodes:
            return super().coefficients(nodes, start, end)
        [other] = [u for u in nodes if u != start]
        h, held = end - start, math.exp(end) - math.exp(start)
        if math.isinf(start):
            # The corrector of the step from pure noise: r = 1 and B = 1. Its predictor has one node.
            return [0.5 * held, 0.5 * held] if other == end else super().coefficients(nodes, start, end)
        B = h if self.variant == "bh1" else -math.expm1(-h)
        slope = 0.5 * B * math.exp(end) * h / (other - start)
        return [held - slope if u == start else slope for u in nodes]


@frozen(kw_only=True)
class UniPC:
    """UniPC (Zhao et al. 2023) on the denoiser: predictor of ``nodes`` p, corrector of one more."""

    nodes: int = 3
    variant: Literal["bh1", "bh2"] = "bh2"

    evaluations: int = 1

    @property
    def order(self) -> int:
        """p + 1, the corrector's. The first step is one of order 2 and leaves 3 of it with bh1; with bh2 its part in
        the error is too small to be measured."""
        return min(self.nodes + 1, 3 if self.variant == "bh1" else 4)

    def step(self, field: Field, x: Tensor, t: float, s: float, history: History | None) -> tuple[Tensor, History]:
        """x_s, (B, *data), and what the next step needs."""
        return step(BHRule(variant=self.variant), (self.nodes, self.nodes + 1), field, x, t, s, history)


@frozen(kw_only=True)
class ThirdOrderMultistep:
    """DPM-Solver++(3M) (Lu et al. 2022): M a parabola in log(alpha/sigma) through the last three estimates.

    Of order 2 as a whole, because the first step is one of order 1. The usual code (diffusers among it) takes half of
    the parabola's square term.
    """

    order: int = 2
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: History | None) -> tuple[Tensor, History]:
        """x_s, (B, *data), and what the next step needs."""
        return step(LOG_SNR, (3, 0), field, x, t, s, history)


@frozen(kw_only=True, eq=False)
class NoiseHistory:
    """(lambda, predicted noise) of the last steps, newest first."""

    nodes: tuple[tuple[float, Tensor], ...]


@frozen(kw_only=True)
class NoiseMultistep(ABC):
    """A method on the noise eps = (x - alpha M)/sigma of the last ``nodes`` steps, newest first: the DDIM step with
    sum_i w_i eps_i, sum_i w_i = 1, in place of the newest.
    """

    nodes: int

    evaluations: int = 1

    @property
    def order(self) -> int:
        """As many as nodes, and 2 at most."""
        return min(self.nodes, 2)

    @abstractmethod
    def weights(self, nodes: Sequence[float], start: float, end: float) -> Sequence[float]:
        """w_i of the nodes in lambda, newest first, in a step from ``start`` to ``end``."""

    def step(
        self, field: Field, x: Tensor, t: float, s: float, history: NoiseHistory | None
    ) -> tuple[Tensor, NoiseHistory]:
        """x_s, (B, *data), and what the next step needs."""
        estimate, p_t, p_s = estimate_of(field, x, t), at_time(field.schedule, t), at_time(field.schedule, s)
        M = estimate.smooth if estimate.jump is None else estimate.smooth + estimate.jump
        moved = ddim_step(M, x, p_t, p_s)
        u_t, u_s = LOG_SNR.coordinate(p_t), LOG_SNR.coordinate(p_s)
        nodes = ((u_t, (x - p_t.alpha * estimate.smooth) / p_t.sigma), *(history.nodes if history else ()))
        if len(nodes) > 1 and not LOG_SNR.is_steep(u_t, u_s):
            # alpha_s int d(sigma/alpha): what eps is multiplied by in a step.
            scale = float(p_s.sigma - p_s.alpha * (p_t.sigma / p_t.alpha))
            for w, (_, eps) in zip(self.weights([u for u, _ in nodes], u_t, u_s)[1:], nodes[1:], strict=True):
                moved = moved + scale * w * (eps - nodes[0][1])
        return moved, NoiseHistory(nodes=nodes[: self.nodes - 1])


@frozen(kw_only=True)
class DEIS(NoiseMultistep):
    """DEIS (Zhang & Chen 2022), log-rho: eps is a polynomial in log(sigma/alpha),

        x_s/alpha_s = x_t/alpha_t + sum_i c_i eps_i,    c_i = int l_i d(sigma/alpha).

    Its order ends at 2 because the first step is one of order 1.
    """

    nodes: int = 3

    def weights(self, nodes: Sequence[float], start: float, end: float) -> list[float]:
        """c_i / int d(sigma/alpha); a node at pure noise has none, for the polynomial cannot pass through it."""
        c = exponential_integrals(nodes, start, end, -1.0)
        return [value / sum(c) for value in c]


ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Of orders 1 to 4, for equal steps; newest first."""


@frozen(kw_only=True)
class IPNDM(NoiseMultistep):
    """iPNDM (Zhang & Chen 2022, after Liu et al. 2022): the weights of Adams and Bashforth, as if steps were equally
    long.

    Its order ends at 2 because the weights take no account of how sigma/alpha bends within a step.
    """

    nodes: int = 4

    def weights(self, nodes: Sequence[float], start: float, end: float) -> Sequence[float]:
        """Those of as many nodes as there are."""
        return ADAMS_BASHFORTH[len(nodes) - 1]
