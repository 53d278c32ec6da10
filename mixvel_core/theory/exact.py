"""The exact field that samplers are measured against (D2, D3), and the whole approximate mixture beside it (D1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.conversions import point_for, velocity
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import DensityExpert, Expert, NoiseSchedule, Router
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.routed_field import WeightTransform


class Exact(Protocol):
    """What is known exactly of a mixture."""

    @property
    def schedule(self) -> NoiseSchedule:
        """By which x and t are read."""
        ...

    def parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """a, (B, K), and m_k, (B, K, *data), at points (B, *data) and times (B,)."""
        ...


@frozen(kw_only=True, eq=False)
class ClosedForms:
    """K experts in closed form, ``experts``, and their weights pi, ``fractions`` (K,): a_k = pi_k p_t^k / p_t."""

    schedule: NoiseSchedule
    experts: tuple[DensityExpert, ...]
    fractions: tuple[float, ...]

    def parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """a and m_k."""
        log_pi = torch.tensor(self.fractions, dtype=torch.float64).log().to(x)
        log_p = torch.stack([expert.log_density(x, t) for expert in self.experts], dim=1)
        return (log_p + log_pi).softmax(1), torch.stack([expert.denoise(x, t) for expert in self.experts], dim=1)


@frozen(kw_only=True, eq=False)
class EmpiricalLaw:
    """The law of the shards' items themselves (D2), which a network that generalises does not learn."""

    schedule: NoiseSchedule
    engine: PosteriorEngine

    def parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """a and m_k."""
        answer = self.engine.at(x, self.schedule.at(t.double()))
        assert answer.m_k is not None  # asked for by default
        return answer.a, answer.m_k


@frozen(kw_only=True, eq=False)
class ExactField:
    """The whole mixture (D1) as an integrator sees it, and as a function of points and times."""

    exact: Exact

    @property
    def schedule(self) -> NoiseSchedule:
        """Of the exact mixture."""
        return self.exact.schedule

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """m(x, t), (B, *data), at one time."""
        return self.m(x, x.new_full((len(x),), t))

    def m(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data), at times (B,)."""
        a, m_k = self.exact.parts(x, t)
        return torch.einsum("bk,bk...->b...", a, m_k)

    def v(self, x: Tensor, t: Tensor) -> Tensor:
        """V1: v(x, t), (B, *data), at times (B,)."""
        return velocity(self.m(x, t), x, point_for(self.schedule, t, x))


@define(kw_only=True, eq=False)
class ApproximateMixture:
    """sum_k a_k m_k of K experts and a router, with the router's state; it lives as long as one set of trajectories."""

    schedule: NoiseSchedule
    experts: Sequence[Expert]
    router: Router
    weights: WeightTransform
    _state: Any

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """M, (B, *data): K expert calls."""
        a, self._state = self.router.weights(x, x.new_full((len(x),), t), self._state)
        everyone = torch.ones(len(x), len(self.experts), dtype=torch.bool, device=x.device)
        return weighted_sum(self.weights(a.to(x.dtype)), evaluate(self.experts, x, t, everyone))


def approximate_mixture(
    *, schedule: NoiseSchedule, experts: Sequence[Expert], router: Router, weights: WeightTransform, x: Tensor, t: float
) -> ApproximateMixture:
    """The mixture of trajectories that start at x, (B, *data), and time t."""
    return ApproximateMixture(
        schedule=schedule,
        experts=experts,
        router=router,
        weights=weights,
        state=router.start(x, x.new_full((len(x),), t)),
    )
