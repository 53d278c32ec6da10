"""What docs/theory/guidance.md says of guided flows: their law, their Jacobian, and whose weights the reference has."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from labelled import classes, labelled
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import GaussianLaw, Guidance, NoiseSchedule
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.ode import flow
from mixvel_core.sampling.sampler import Sampler
from mixvel_guidance.guidance import ClassifierFree
from mixvel_integrators.integrators import DDIM
from mixvel_oracles.labelled import LabelledExpert, LabelledRouter, labelled_expert
from mixvel_schedules.schedules import Cosine, Linear, Rectified
from mixvel_selectors.selectors import Mixture

SCALES = [0.0, 2.0, 3.0, 7.5]
SCHEDULE = Cosine()
PROBLEM = labelled(SCHEDULE)


def guided(
    x: Tensor, t: float, guidance: Guidance, experts: tuple[LabelledExpert, ...], fractions: tuple[float, ...]
) -> Tensor:
    made = Sampler(
        schedule=SCHEDULE,
        experts=experts,
        router=LabelledRouter(experts=experts, fractions=fractions),
        selector=Mixture(),
        integrator=DDIM(),
        steps=1,
        guidance=guidance,
    )
    return made.start(x, 1.0, SampleDraws(seed=0, index=torch.arange(len(x))), classes(len(x))).denoise(x, t)


def points(dimension: int, count: int = 20) -> Tensor:
    return torch.randn(count, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("w", "t"), list(product(SCALES, [0.2, 0.5, 0.8, 1.0])))
def test_routes_differ_by_what_the_class_says_of_the_shard(w: float, t: float) -> None:
    """M_shared - M_own = (1 - w) sum_k (a_k(c) - a_k) m_k, at most abs(1 - w) times R sum_k abs(a_k(c) - a_k)."""
    x = points(4)
    times = x.new_full((len(x),), t)
    own, shared = (
        guided(x, t, ClassifierFree(scale=w, route=route), PROBLEM.experts, PROBLEM.fractions)
        for route in ("own", "shared")
    )
    a, _ = PROBLEM.router.weights(x, times, None)
    a_c, _ = PROBLEM.router.given(classes(len(x))).weights(x, times, None)
    m = torch.stack([expert.denoise(x, times) for expert in PROBLEM.experts])
    wanted = (1.0 - w) * torch.einsum("bk,kbd->bd", a_c - a, m)
    torch.testing.assert_close(shared - own, wanted, rtol=0, atol=1e-12)
    largest = m.norm(dim=2).amax(0)
    assert bool(((shared - own).norm(dim=1) <= abs(1.0 - w) * largest * (a_c - a).abs().sum(1) + 1e-12).all())


@pytest.mark.parametrize("w", SCALES)
def test_a_shared_route_guides_within_experts(w: float) -> None:
    """It is the mixture of experts each of which guides itself; where a class names its shard, that is no guidance."""
    x, t = points(4), 0.5
    times, guidance = x.new_full((len(x),), t), ClassifierFree(scale=w, route="shared")
    a_c, _ = PROBLEM.router.given(classes(len(x))).weights(x, times, None)
    each = torch.stack(
        [
            one.denoise(x, times) + w * (one.given(classes(len(x))).denoise(x, times) - one.denoise(x, times))
            for one in PROBLEM.experts
        ]
    )
    found = guided(x, t, guidance, PROBLEM.experts, PROBLEM.fractions)
    torch.testing.assert_close(found, torch.einsum("bk,kbd->bd", a_c, each), rtol=0, atol=1e-12)

    law = GaussianLaw(weights=np.ones(1), means=np.zeros((1, 4)), covariances=np.eye(4)[None])
    other = GaussianLaw(weights=np.ones(1), means=np.ones((1, 4)), covariances=0.5 * np.eye(4)[None])
    named = tuple(labelled_expert(one, np.array([k]), SCHEDULE, count=2) for k, one in enumerate((law, other)))
    found = guided(x, t, guidance, named, (0.3, 0.7))
    whole = torch.stack([named[i % 2].denoise(x[i : i + 1], times[:1])[0] for i in range(len(x))])
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", [Cosine(), Linear(), Rectified()], ids=["cosine", "linear", "rectified"])
@pytest.mark.parametrize("w", [0.5, 2.0, 3.0])
def test_a_guided_gaussian_is_scaled_by_powers_of_both_deviations(schedule: NoiseSchedule, w: float) -> None:
    """Of N(0, S^2) and, under the class, N(0, s^2): a deviation of s^w S^(1-w), not that of p(x)^(1-w) p(x | c)^w."""
    s, S = 1.0, 2.0
    law = GaussianLaw(weights=np.ones(1), means=np.zeros((1, 1)), covariances=np.full((1, 1, 1), s**2))
    under = labelled_expert(law, np.array([0]), schedule)
    null = labelled_expert(
        GaussianLaw(weights=np.ones(1), means=np.zeros((1, 1)), covariances=np.full((1, 1, 1), S**2)),
        np.array([0]),
        schedule,
    )

    def denoise(x: Tensor, t: float) -> Tensor:
        at_t = x.new_full((len(x),), t)
        return null.denoise(x, at_t) + w * (under.denoise(x, at_t) - null.denoise(x, at_t))

    first, last = 0.95, 1e-3
    x = torch.ones(1, 1, dtype=torch.float64)
    end = float(flow(denoise, x, schedule=schedule, times=(first, last), rtol=1e-9, atol=1e-9)[-1])

    def deviation(t: float) -> float:
        p = at_time(schedule, t)
        ratio = float(p.alpha / p.sigma)
        return float(p.sigma) * float((1 + (ratio * s) ** 2) ** (w / 2) * (1 + (ratio * S) ** 2) ** ((1 - w) / 2))

    assert end == pytest.approx(deviation(last) / deviation(first), rel=1e-6)
    assert deviation(last) == pytest.approx(s**w * S ** (1 - w), rel=1e-2)
    if w > 1.0:
        tilted = (w / s**2 + (1 - w) / S**2) ** -0.5
        assert deviation(last) < 0.8 * tilted


@pytest.mark.parametrize("w", [1.0, 3.0, 7.5])
def test_the_jacobian_of_a_guided_field_has_its_eigenvalues_between_the_bounds(w: float) -> None:
    """Those of grad v lie in [r - w kappa, r + (w - 1) kappa], kappa = alpha c R^2/sigma^2, for data in a ball R."""
    items = points(2, count=8)
    items, labels = items / items.norm(dim=1).max(), torch.arange(8) % 2
    R = 1.0

    def m(x: Tensor, t: float, kept: Tensor) -> Tensor:
        p = at_time(SCHEDULE, t)
        distance = ((x[:, None] - p.alpha * items[kept]) ** 2).sum(2)
        found: Tensor = (-distance / (2 * p.sigma**2)).softmax(1) @ items[kept]
        return found

    everyone = torch.ones(8, dtype=torch.bool)
    reached = 0.0
    for t in (0.1, 0.3, 0.6, 0.9):
        p = at_time(SCHEDULE, t)
        r = float(p.d_sigma / p.sigma)
        kappa = float(p.alpha * abs(p.d_alpha - p.alpha * r) * R**2 / p.sigma**2)

        def v(x: Tensor, t: float = t) -> Tensor:
            M = m(x[None], t, everyone) + w * (m(x[None], t, labels == 0) - m(x[None], t, everyone))
            found: Tensor = velocity(M, x[None], at_time(SCHEDULE, t))[0]
            return found

        for x in 0.7 * points(2, count=12):
            J = torch.func.jacrev(v)(x)
            found = torch.linalg.eigvalsh((J + J.T) / 2)
            assert r - w * kappa - 1e-9 <= float(found[0])
            assert float(found[-1]) <= r + (w - 1.0) * kappa + 1e-9
            reached = max(reached, (float(found[-1]) - r) / kappa)
    # A denoiser's own Jacobian is a covariance, never negative. A guided one brings points together that differ.
    assert (reached > 0.05) == (w > 1.0)


def test_the_estimates_errors_enter_by_w_and_what_they_share_cancels() -> None:
    """w e_c + (1 - w) e_r: 2 w - 1 times one of them if they are opposite, one of them if they are equal."""
    guidance, e = ClassifierFree(scale=3.0), points(4)
    zero = torch.zeros_like(e)
    torch.testing.assert_close(guidance.combine(e, e, 0.5) - guidance.combine(zero, zero, 0.5), e)
    torch.testing.assert_close(guidance.combine(e, -e, 0.5), 5.0 * e)
