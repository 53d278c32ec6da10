"""Denoisers of K shards in closed form (D3), summed with weights: a guess of their experts that costs no evaluation.

For one Gaussian N(mu, S) a shard with S = U diag(lambda) U^T + rho (I - U U^T), d = x - alpha mu and the gains
h = alpha lambda/(alpha^2 lambda + sigma^2) of axes and h_0 = alpha rho/(alpha^2 rho + sigma^2) of the rest,

    g = mu + h_0 d + U (h - h_0) U^T d,

is affine in x: the sum over k is made of products with the weights, and nothing of size (B, K, D) is. Of several
Gaussians a shard it is the mean under their posterior.
"""

from __future__ import annotations

import torch
from attrs import evolve, frozen
from torch import Tensor
from torch.nn.functional import one_hot

from mixvel_core.field.gaussians import Gaussians
from mixvel_core.field.mixture import gaussian_denoiser
from mixvel_core.protocols import SchedulePoint


@frozen(kw_only=True, eq=False)
class DiagonalGuess:
    """One Gaussian a shard with a variance of each coordinate: ``mean`` and ``variance``, (K, D)."""

    mean: Tensor
    variance: Tensor

    def weighted(self, x: Tensor, p: SchedulePoint, weights: Tensor) -> Tensor:
        """sum_k weights_k g_k(x), (B, D), at x, (B, D), and one point p of the schedule; weights are (B, K)."""
        constant = gaussian_denoiser(torch.zeros_like(self.mean), p, self.mean, self.variance)
        slope = gaussian_denoiser(torch.ones_like(self.mean), p, self.mean, self.variance) - constant
        return weights @ constant + x * (weights @ slope)

    def of(self, x: Tensor, p: SchedulePoint, expert: Tensor, sample: Tensor) -> Tensor:
        """g_k(x) of one shard for each point, (E, D): k are ``expert``, (E,), x is (E, D)."""
        return gaussian_denoiser(x, p, self.mean[expert], self.variance[expert])


@frozen(kw_only=True, eq=False)
class GaussianGuess:
    """J Gaussians a shard: ``gaussians`` in float64, for their posterior, and the same in the dtype of the points."""

    gaussians: Gaussians
    means: Tensor
    rest: Tensor
    axes: Tensor
    variances: Tensor

    def weighted(self, x: Tensor, p: SchedulePoint, weights: Tensor) -> Tensor:
        """sum_k weights_k g_k(x), (B, D), at x, (B, D), and one point p of the schedule; weights are (B, K)."""
        total = torch.zeros_like(x)
        for j, share in enumerate(self._shares(x, p)):
            w, mu, U = weights * share, self.means[:, j], self.axes[:, j]
            h, h_0 = (
                (p.alpha * v[:, j] / (p.alpha**2 * v[:, j] + p.sigma**2)).nan_to_num(0.0)
                for v in (self.variances, self.rest)
            )
            total += w @ (mu - p.alpha * h_0 * mu) + x * (w @ h_0)
            if U.shape[-1]:
                z = torch.einsum("bd,kdr->bkr", x, U) - p.alpha * torch.einsum("kd,kdr->kr", mu, U)
                total += torch.einsum("bkr,kdr->bd", w[..., None] * (h - h_0) * z, U)
        return total

    def of(self, x: Tensor, p: SchedulePoint, expert: Tensor, sample: Tensor) -> Tensor:
        """g_k(x) of one shard for each point, (E, D): k are ``expert``, (E,), x is (E, D)."""
        return self.weighted(x, p, one_hot(expert, len(self.means)).to(x))

    def _shares(self, x: Tensor, p: SchedulePoint) -> list[Tensor]:
        """The posterior of each Gaussian within its shard, (B, K), for j = 1 to J."""
        if self.means.shape[1] == 1:
            return [x.new_ones(())]
        alpha, sigma = (
            torch.full((len(x),), float(one), dtype=torch.float64, device=x.device) for one in (p.alpha, p.sigma)
        )
        at = evolve(p, alpha=alpha, sigma=sigma)
        return [share.to(x) for share in self.gaussians.shares(x, at).unbind(-1)]


def gaussian_guess(gaussians: Gaussians, x: Tensor) -> GaussianGuess:
    """The guess by ``gaussians`` at points like x, of its dtype and on its device."""
    return GaussianGuess(
        gaussians=gaussians,
        means=gaussians.means.to(x),
        rest=gaussians.rest.to(x),
        axes=gaussians.axes.to(x),
        variances=gaussians.variances.to(x),
    )
