"""The exact denoiser of a Gaussian mixture (D3), anisotropic components included.

Component j of the noisy data is N(alpha mu_j, alpha^2 S_j + sigma^2 I). In the axes of S_j that covariance is
diagonal, so nothing is inverted but numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from mixvel_core.field.conversions import point_for
from mixvel_core.protocols import GaussianLaw, Moments, NoiseSchedule


@frozen(kw_only=True, eq=False)
class GaussianExpert:
    """The expert of a law with J components: ``weights`` (J,), ``means`` (J, D), axes and variances of each.

    ``variances``: eigenvalues of the covariances, (J, D). ``axes``: eigenvectors as columns, (J, D, D). All
    float64; answers have the dtype of x.
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
