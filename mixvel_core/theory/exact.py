"""The exact field that samplers are measured against (D2, D3), and the approximate mixture beside it (D1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.conversions import point_for, velocity
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import DensityExpert, Expert, NoiseSchedule, Router
from mixvel_core.sampling.observation import all_answers
from mixvel_core.sampling.weights import WeightTransform


class Exact(Protocol):
    """A mixture whose weights a_k and denoisers m_k are exact."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The path that x and t lie on."""
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
        """a_k, (B, K), by Bayes' rule from the experts' densities, and m_k, (B, K, *data), their own."""
        log_pi = torch.tensor(self.fractions, dtype=torch.float64).log().to(x)
        log_p = torch.stack([expert.log_density(x, t) for expert in self.experts], dim=1)
        return (log_p + log_pi).softmax(1), torch.stack([expert.denoise(x, t) for expert in self.experts], dim=1)


@frozen(kw_only=True, eq=False)
class EmpiricalLaw:
    """The law of the shards' items themselves (D2), which a network that generalises does not learn."""

    schedule: NoiseSchedule
    engine: PosteriorEngine

    def parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """a_k, (B, K), and m_k, (B, K, *data), sums of softmax weights over the items (D2)."""
        answer = self.engine.at(x, self.schedule.at(t.double()))
        # The engine leaves m_k out on request only.
        return answer.a, cast(Tensor, answer.m_k)


@frozen(kw_only=True, eq=False)
class ExactField:
    """The exact mixture's m and v (D1, V1): a field for integrators, and functions of points and times."""

    exact: Exact

    @property
    def schedule(self) -> NoiseSchedule:
        """The path of the exact mixture."""
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
    """sum_k a_k m_k of K experts and a router, for one set of trajectories; ``state``: the router's at their start."""

    schedule: NoiseSchedule
    experts: Sequence[Expert]
    router: Router
    weights: WeightTransform
    _state: Any

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """M, (B, *data): K expert calls."""
        a, answers, self._state = all_answers(self.router, self.experts, x, t, self._state)
        return weighted_sum(self.weights(a.to(x.dtype), x.new_full((len(x),), t)), answers)
