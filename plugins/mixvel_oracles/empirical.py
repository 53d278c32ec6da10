"""The exact denoiser of a finite data set (D2), or of the same set with a Gaussian of width b at every point."""

from __future__ import annotations

from attrs import field, frozen
from torch import Tensor

from mixvel_core.field.conversions import expand
from mixvel_core.field.posterior import PosteriorEngine, widened
from mixvel_core.protocols import Moments, NoiseSchedule

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
