"""The exact denoiser of a finite data set (D2), or of the same set with a Gaussian of width b at every point."""

from __future__ import annotations

import torch
from attrs import field, frozen
from torch import Tensor

from mixvel_core.field.conversions import point_for
from mixvel_core.field.posterior import posterior
from mixvel_core.protocols import Moments, NoiseSchedule


@frozen(kw_only=True, eq=False)
class EmpiricalExpert:
    """The expert of ``items`` (n, *data), each blurred by ``bandwidth`` b >= 0.

    With b = 0 its flow ends on the items themselves. The factor that all experts of a data set share (the same b
    and D) is left out of the density.
    """

    schedule: NoiseSchedule
    items: Tensor
    bandwidth: float = 0.0
    moments: Moments = field(init=False)
    _centred: Tensor = field(init=False)
    _norms: Tensor = field(init=False)

    @moments.default
    def _moments_of_items(self) -> Moments:
        return Moments(mean=self.items.mean(0), variance=self.items.var(0, unbiased=False) + self.bandwidth**2)

    @_centred.default
    def _centred_items(self) -> Tensor:
        return (self.items - self.moments.mean).flatten(1)

    @_norms.default
    def _squared_norms(self) -> Tensor:
        return (self._centred**2).sum(1)

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data): the posterior mean of the items, moved towards x where they have a width."""
        m, _ = self._solve(x, t)
        return m

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) without the factor (2 pi (alpha^2 b^2 + sigma^2))^(-D/2), (B,)."""
        _, log_density = self._solve(x, t)
        return log_density

    def _solve(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        p = point_for(self.schedule, t, x.flatten(1))
        variance = p.sigma**2 + (p.alpha * self.bandwidth) ** 2
        # At t = 0 without width every item but x itself has weight zero; the smallest normal number says the same.
        s = variance.clamp_min(torch.finfo(x.dtype).tiny ** 0.5).sqrt()
        mean = self.moments.mean.to(x).flatten()
        y = x.flatten(1) - p.alpha * mean
        found = posterior(y, p.alpha, s, self._centred.to(x), self._norms.to(x))
        pull = p.alpha * self.bandwidth**2 / s**2
        m = mean + found.mean + pull * (y - p.alpha * found.mean)
        return m.reshape(x.shape), found.log_density
