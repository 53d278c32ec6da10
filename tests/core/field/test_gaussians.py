"""Gaussians of shards against the exact mixtures of the oracles (D3), and against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from exact import all_schedules
from gaussian_shards import gaussians_of
from torch import Tensor

from mixvel_core.field import gaussians as module
from mixvel_core.field.gaussians import Gaussians
from mixvel_core.protocols import GaussianLaw
from mixvel_oracles.denoisers import GaussianExpert, gaussian_expert
from mixvel_oracles.law import random_law

SCHEDULES = all_schedules()
COSINE = SCHEDULES["vp-cosine"]


def two_each(seed: int, dimension: int = 4) -> list[GaussianExpert]:
    """Three shards of two Gaussians each."""
    law = random_law(components=6, dimension=dimension, seed=seed)
    parts = [slice(2 * k, 2 * k + 2) for k in range(3)]
    laws = [
        GaussianLaw(
            weights=law.weights[part] / law.weights[part].sum(),
            means=law.means[part],
            covariances=law.covariances[part],
        )
        for part in parts
    ]
    return [gaussian_expert(one, COSINE) for one in laws]


def points(dimension: int = 4, count: int = 32) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, torch.linspace(0.02, 1.0, count, dtype=torch.float64)


def test_densities_and_denoisers_are_those_of_the_exact_mixtures() -> None:
    experts = two_each(seed=3)
    x, t = points()
    found = gaussians_of(experts).answers(x, COSINE.at(t))
    for k, expert in enumerate(experts):
        torch.testing.assert_close(found.log_density[:, k], expert.log_density(x, t), rtol=0, atol=1e-10)
        torch.testing.assert_close(found.m[:, k], expert.denoise(x, t), rtol=0, atol=1e-10)


def test_second_moments_are_the_divergence_of_the_denoisers() -> None:
    """tr Cov_k = (sigma^2/alpha) div m_k."""
    experts = two_each(seed=5)
    x, t = points()
    x, t = x[:-1], t[:-1]
    p = COSINE.at(t)
    found = gaussians_of(experts).answers(x, p).trace
    for k, expert in enumerate(experts):
        slopes = torch.func.vmap(
            torch.func.jacrev(lambda one, at, expert=expert: expert.denoise(one[None], at[None])[0])
        )(x, t)
        divergence = slopes.diagonal(dim1=1, dim2=2).sum(1)
        torch.testing.assert_close(found[:, k], p.sigma**2 / p.alpha * divergence, rtol=0, atol=1e-9)


def test_a_variance_of_each_coordinate_is_the_covariance_with_these_on_its_diagonal() -> None:
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(2, 2, 3, dtype=torch.float64, generator=generator)
    variances = torch.rand(2, 2, 3, dtype=torch.float64, generator=generator) + 0.05
    weights = torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=torch.float64)
    nothing = means.new_zeros(2, 2, 3, 0)
    plain = Gaussians(weights=weights, means=means, rest=variances, axes=nothing, variances=nothing[:, :, 0])
    eye = torch.eye(3, dtype=torch.float64).expand(2, 2, 3, 3)
    turned = Gaussians(weights=weights, means=means, rest=variances[..., :1], axes=eye, variances=variances)
    x, t = points(3)
    one, other = (g.answers(x, COSINE.at(t)) for g in (plain, turned))
    for name in ("log_density", "m", "trace"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-10)


def test_shards_a_few_at_a_time_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians = gaussians_of(two_each(seed=2))
    x, t = points()
    whole = gaussians.answers(x, COSINE.at(t))
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    apart = gaussians.answers(x, COSINE.at(t))
    torch.testing.assert_close(apart.m, whole.m, rtol=0, atol=1e-14)
    torch.testing.assert_close(gaussians.log_density(x, COSINE.at(t)), whole.log_density, rtol=0, atol=1e-14)
