"""K shards taken for mixtures of Gaussians: densities, denoisers and second moments in closed form (D3).

Component j of shard k is N(mu, S) with S = U diag(lambda) U^T + rho (I - U U^T), r principal components and one
variance for the rest, or with r = 0 a variance of each coordinate, S = diag(rho). With d = x - alpha mu, z = U^T d,
c_i = alpha^2 lambda_i + sigma^2 and c_0 = alpha^2 rho + sigma^2 the density of x_t is

    log N = -1/2 [ sum_i (z_i^2/c_i + log c_i) + (|d|^2 - |z|^2)/c_0 + (D - r) log c_0 ],

up to what all share, and nothing of size D x D is ever made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from attrs import fields_dict, frozen
from torch import Tensor

from mixvel_core.errors import ArtifactError
from mixvel_core.protocols import SchedulePoint

_AT_ONCE = 1 << 23
"""Numbers of (experts, components, points, D) that are in memory together."""


@frozen(kw_only=True, eq=False)
class ShardGaussians:
    """One shard as J Gaussians; float32 where they are stored.

    ``weights``: of the components, (J,), sum 1. ``means``: mu, (J, D). ``rest``: rho, (J, D) where r = 0, else (J, 1).
    ``axes``: U, (J, D, r), orthonormal columns. ``variances``: lambda, (J, r).
    """

    weights: Tensor
    means: Tensor
    rest: Tensor
    axes: Tensor
    variances: Tensor

    @property
    def rank(self) -> int:
        """r of the principal components of each Gaussian; 0 where variances are of coordinates."""
        return self.axes.shape[-1]

    @property
    def components(self) -> int:
        """J, how many Gaussians each shard has."""
        return self.weights.shape[-1]

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name, as they are stored."""
        return {name: getattr(self, name).float().contiguous() for name in NAMES}


NAMES = tuple(fields_dict(ShardGaussians))
"""Of the tensors of a shard."""
_ROUNDING = 1e-3
"""By how much axes and weights in float32 may miss the identity and 1."""


def check_gaussians(tensors: Mapping[str, Tensor], D: int, rank: int, components: int, where: str) -> None:
    """Raises ArtifactError, beginning with ``where``, where tensors from elsewhere are no ``ShardGaussians`` of
    ``rank`` r and J ``components`` for items of ``D`` numbers: names, types, shapes, finite numbers, positive
    variances, weights of sum 1 and orthonormal axes."""
    shapes = {
        "weights": (components,),
        "means": (components, D),
        "rest": (components, 1 if rank > 0 else D),
        "axes": (components, D, rank),
        "variances": (components, rank),
    }
    found = {name: tuple(value.shape) if value.dtype == torch.float32 else None for name, value in tensors.items()}
    if found != shapes:
        raise _no_gaussians(where, f"not float32 tensors of rank {rank} and {components} components for {D} numbers")
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise _no_gaussians(where, "numbers that are not finite")
    if not all(bool((tensors[name] > 0.0).all()) for name in ("rest", "variances")):
        raise _no_gaussians(where, "variances that are not above 0")
    weights, axes = tensors["weights"].double(), tensors["axes"].double()
    if bool((weights < 0.0).any()) or abs(float(weights.sum()) - 1.0) > _ROUNDING:
        raise _no_gaussians(where, "weights that are negative or not of sum 1")
    off = axes.mT @ axes - torch.eye(rank, dtype=torch.float64)
    if off.numel() and float(off.abs().max()) > _ROUNDING:
        raise _no_gaussians(where, "axes that are not orthonormal")


def _no_gaussians(where: str, what: str) -> ArtifactError:
    return ArtifactError(f"{where}: {what}; ask its owner for it again")


@frozen(kw_only=True, eq=False)
class GaussianAnswers:
    """At B points, of K shards, float64: ``log_density`` up to what all share, (B, K); ``m``: the denoisers,
    (B, K, D); ``trace``: tr Cov[x_0 given x_t], (B, K)."""

    log_density: Tensor
    m: Tensor
    trace: Tensor


@frozen(kw_only=True, eq=False)
class Gaussians:
    """The Gaussians of K shards, with J and r of all alike. The fields are those of ``ShardGaussians`` with K in front.

    Computed in float64, because log densities of many dimensions are differences of large numbers.
    """

    weights: Tensor
    means: Tensor
    rest: Tensor
    axes: Tensor
    variances: Tensor

    def log_density(self, x: Tensor, p: SchedulePoint) -> Tensor:
        """log p_t^k(x) up to what all shards share, (B, K) float64.

        Args:
            x: noisy points, (B, *data).
            p: the schedule at their times, (B,) float64.
        """
        flat = x.flatten(1).double()
        found = [self._parts(p, some, self._offs(flat, p, some)).logsumexp(0) for some in self._groups(flat)]
        return torch.cat(found).T

    def shares(self, x: Tensor, p: SchedulePoint) -> Tensor:
        """The posterior of each component within its shard at the noisy points x, (B, *data): (B, K, J) float64."""
        flat = x.flatten(1).double()
        found = [self._parts(p, some, self._offs(flat, p, some)).softmax(0) for some in self._groups(flat)]
        return torch.cat(found, dim=1).permute(2, 1, 0)

    def answers(self, x: Tensor, p: SchedulePoint) -> GaussianAnswers:
        """Densities, denoisers and second moments at the noisy points x, (B, *data)."""
        flat = x.flatten(1).double()
        found = [self._answers(flat, p, some) for some in self._groups(flat)]
        log_density, m, trace = (torch.cat([one[i] for one in found]).transpose(0, 1) for i in range(3))
        return GaussianAnswers(log_density=log_density, m=m, trace=trace)

    def _groups(self, flat: Tensor) -> Iterator[slice]:
        """Shards a few at a time, so that memory is bounded."""
        step = max(1, _AT_ONCE // (flat.numel() * self.weights.shape[1]))
        return (slice(k, k + step) for k in range(0, len(self.weights), step))

    def _offs(self, flat: Tensor, p: SchedulePoint, some: slice) -> Iterator[tuple[Tensor, Tensor]]:
        """d, (some, B, D), and z, (some, B, r), of each component."""
        for j in range(self.weights.shape[1]):
            d = flat - p.alpha[:, None] * self.means[some, j, None]
            yield d, d @ self.axes[some, j]

    def _parts(self, p: SchedulePoint, some: slice, offs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """log (w_j N_j) of each component, (J, some, B)."""
        alpha2, sigma2 = p.alpha[:, None] ** 2, p.sigma[:, None] ** 2
        rows = []
        for j, (d, z) in enumerate(offs):
            c, c_0 = (alpha2 * v[some, j, None] + sigma2 for v in (self.variances, self.rest))
            left = ((d * d / c_0).sum(-1) - (z * z / c_0[..., :1]).sum(-1)).clamp_min(0.0)
            free = (d.shape[-1] - z.shape[-1]) / c_0.shape[-1]
            total = (z * z / c + c.log()).sum(-1) + left + free * c_0.log().sum(-1)
            rows.append(self.weights[some, j, None].log() - 0.5 * total)
        return torch.stack(rows)

    def _answers(self, flat: Tensor, p: SchedulePoint, some: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Density (some, B), denoiser (some, B, D) and second moment (some, B)."""
        offs = tuple(self._offs(flat, p, some))
        parts = self._parts(p, some, offs)
        shares = parts.softmax(0)
        alpha, sigma2 = p.alpha[:, None], p.sigma[:, None] ** 2
        m = torch.zeros_like(flat).expand(parts.shape[1], -1, -1).clone()
        trace = torch.zeros_like(parts[0])
        square = torch.zeros_like(trace)
        for j, (share, (d, z)) in enumerate(zip(shares, offs, strict=True)):
            kept, rest = (
                (v[some, j, None] / (alpha**2 * v[some, j, None] + sigma2)).nan_to_num(0.0)
                for v in (self.variances, self.rest)
            )
            gain, gain_0 = alpha * kept, alpha * rest
            one = self.means[some, j, None] + gain_0 * d + (gain * z - gain_0[..., :1] * z) @ self.axes[some, j].mT
            m += share[..., None] * one
            free = (flat.shape[1] - z.shape[-1]) / rest.shape[-1]
            square += share * (one * one).sum(-1)
            trace += share * sigma2[:, 0] * (kept.sum(-1) + free * rest.sum(-1))
        # The law of total variance: what is left within components, and how far these are apart.
        return parts.logsumexp(0), m, trace + (square - (m * m).sum(-1)).clamp_min(0.0)


def gaussians_of_tensors(tensors: Mapping[str, Tensor]) -> Gaussians:
    """The Gaussians of K shards from tensors that begin with K, in float64; weights are brought to sum 1."""
    made = {name: tensors[name].double() for name in NAMES}
    return Gaussians(**{**made, "weights": made["weights"] / made["weights"].sum(1, keepdim=True)})
