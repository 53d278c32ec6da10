"""Exact denoisers and posteriors: Gaussian mixtures (D3) and finite data sets (D2).

Component j of the noisy data is N(alpha mu_j, alpha^2 S_j + sigma^2 I). In the axes of S_j that covariance is
diagonal, so nothing is inverted but numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from mixvel_core.field.conversions import expand, point_for
from mixvel_core.field.posterior import PosteriorEngine, widened
from mixvel_core.protocols import DensityExpert, GaussianLaw, Moments, NoiseSchedule

_NARROWEST = 1e-100
"""A width that has a logarithm, for t = 0."""


@frozen(kw_only=True, eq=False)
class EmpiricalExpert:
    """The expert of ``items`` (n, *data), each blurred by ``bandwidth`` b >= 0.

    With b = 0 its flow ends on the items themselves.
    """

    schedule: NoiseSchedule
    items: Tensor
    bandwidth: float = 0.0
    moments: Moments = field(init=False)
    _engine: PosteriorEngine = field(init=False)

    @moments.default
    def _moments_of_items(self) -> Moments:
        return Moments(mean=self.items.mean(0), variance=self.items.var(0, unbiased=False) + self.bandwidth**2)

    @_engine.default
    def _engine_of_items(self) -> PosteriorEngine:
        return PosteriorEngine(shards=(self.items,))

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data): the posterior mean of the items, moved towards x where they have a width."""
        p = widened(self.schedule.at(t.double()), self.bandwidth)
        found = self._engine.at(x, p).m
        if self.bandwidth == 0.0:
            return found
        alpha, s = (expand(value.to(x), x) for value in (p.alpha, p.sigma))
        return found + alpha * self.bandwidth**2 / s**2 * (x - alpha * found)

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) without the factor (2 pi)^(-D/2), (B,) float64: in many dimensions it is large."""
        p = widened(self.schedule.at(t.double()), self.bandwidth)
        kernels = self._engine.at(x, p, means=False).log_density[:, 0]
        # Shared by experts of one schedule and width, but not by all that may stand in a mixture.
        return kernels - x[0:1].numel() * p.sigma.clamp_min(_NARROWEST).log()


@frozen(kw_only=True, eq=False)
class GaussianExpert:
    """The expert of a Gaussian mixture of J components: ``weights`` (J,), ``means`` (J, D), axes and variances.

    ``variances``: eigenvalues of the covariances, (J, D). ``axes``: eigenvectors as columns, (J, D, D). All
    float64; denoisers have the type of x.
    """

    schedule: NoiseSchedule
    weights: Tensor
    means: Tensor
    variances: Tensor
    axes: Tensor
    moments: Moments = field(init=False)

    @moments.default
    def _moments(self) -> Moments:
        mean = self.weights @ self.means
        within = torch.einsum("jde,je->jd", self.axes**2, self.variances)
        return Moments(mean=mean, variance=self.weights @ (within + (self.means - mean) ** 2))

    def _parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """log (w_j N(x; alpha mu_j, ...)) without the factor (2 pi)^(-D/2), (B, J), and all m_j, (B, J, D)."""
        p = point_for(self.schedule, t, x[:, :, None])
        means, axes, variances = self.means.to(x), self.axes.to(x), self.variances.to(x)
        total = p.alpha**2 * variances + p.sigma**2
        rotated = torch.einsum("bjd,jde->bje", x[:, None, :] - p.alpha * means, axes)
        log_parts = self.weights.to(x).log() - 0.5 * (rotated**2 / total + total.log()).sum(-1)
        m = means + torch.einsum("bje,jde->bjd", p.alpha * variances / total * rotated, axes)
        return log_parts, m

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t) = sum_j p_j m_j, (B, D)."""
        log_parts, m = self._parts(x, t)
        return torch.einsum("bj,bjd->bd", log_parts.softmax(-1), m)

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) without the factor (2 pi)^(-D/2), (B,)."""
        return self._parts(x, t)[0].logsumexp(-1)


def gaussian_expert(law: GaussianLaw, schedule: NoiseSchedule) -> GaussianExpert:
    """The expert of ``law`` under ``schedule``."""
    variances, axes = np.linalg.eigh(law.covariances)
    return GaussianExpert(
        schedule=schedule,
        weights=torch.from_numpy(np.asarray(law.weights, dtype=np.float64)),
        means=torch.from_numpy(np.asarray(law.means, dtype=np.float64)),
        variances=torch.from_numpy(np.maximum(variances, 0.0)),
        axes=torch.from_numpy(axes),
    )


@frozen(kw_only=True, eq=False)
class OracleRouter:
    """a_k = pi_k p_t^k(x) / p_t(x). ``experts``: K experts in closed form. ``fractions``: pi, (K,)."""

    experts: tuple[DensityExpert, ...]
    fractions: tuple[float, ...]

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        log_pi = torch.tensor(self.fractions, dtype=torch.float64).log().to(x)
        return (torch.stack([e.log_density(x, t) for e in self.experts], dim=1) + log_pi).softmax(1), None


@frozen(kw_only=True, eq=False)
class ItemsRouter:
    """D2 on the items of all shards, each with a Gaussian of width ``bandwidth``: one pass for all K."""

    schedule: NoiseSchedule
    engine: PosteriorEngine
    bandwidth: float

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        p = widened(self.schedule.at(t.double()), self.bandwidth)
        return self.engine.at(x, p, means=False).a, None
