"""The expert against closed forms: an oracle in place of the network gives the exact denoiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from mixvel_core.field.conversions import Prediction, expand, point_for
from mixvel_core.protocols import Moments, NoiseSchedule
from mixvel_networks.denoiser import LEAST_ALPHA, NetworkDenoiser
from mixvel_schedules.schedules import Cosine, Linear, Rectified

MEAN = torch.linspace(-0.5, 0.5, 12, dtype=torch.float64).reshape(3, 2, 2)
VARIANCE = 0.04
MOMENTS = Moments(mean=MEAN, variance=torch.full_like(MEAN, VARIANCE))
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)


def exact(schedule: NoiseSchedule, x: Tensor, t: Tensor) -> Tensor:
    p = point_for(schedule, t, x)
    gain = p.alpha * VARIANCE / (p.alpha**2 * VARIANCE + p.sigma**2)
    return MEAN + gain * (x - p.alpha * MEAN)


def oracle(schedule: NoiseSchedule, prediction: Prediction) -> Callable[[Tensor, Tensor], Tensor]:
    """E[target given x_t]: each target is affine in x_0 at fixed x, eps being (x - alpha x_0) / sigma."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        p, m = point_for(schedule, t, x), exact(schedule, x, t)
        eps = (x - p.alpha * m) / p.sigma
        outputs = {"x0": m, "eps": eps, "v": p.alpha * eps - p.sigma * m, "flow": eps - m}
        return outputs[prediction]

    return network


def expert(schedule: NoiseSchedule, prediction: Prediction, clip: bool = False) -> NetworkDenoiser:
    return NetworkDenoiser(
        schedule=schedule, moments=MOMENTS, network=oracle(schedule, prediction), prediction=prediction, clip=clip
    )


def points(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *MEAN.shape, dtype=torch.float64, generator=generator)
    return x, torch.linspace(0.01, 0.99, count, dtype=torch.float64)


@pytest.mark.parametrize("schedule", [Cosine(), Linear(), Rectified()], ids=["cosine", "linear", "rectified"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_an_exact_prediction_gives_the_exact_denoiser(schedule: NoiseSchedule, prediction: Prediction) -> None:
    x, t = points(20)
    before = x.clone()
    m = expert(schedule, prediction).denoise(x, t)
    torch.testing.assert_close(m, exact(schedule, x, t), rtol=0, atol=1e-11)
    assert torch.equal(x, before)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_at_pure_noise_the_denoiser_is_the_mean(prediction: Prediction) -> None:
    x, _ = points(5)
    m = expert(Cosine(), prediction).denoise(x, torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(m, MEAN.expand(5, 3, 2, 2), rtol=0, atol=1e-12)


def test_noise_prediction_says_the_mean_where_alpha_is_lost_and_gradients_stay_finite() -> None:
    schedule = Cosine()
    x, _ = points(3)
    x.requires_grad_()
    # alpha = 0, just below the edge, just above it.
    t = torch.tensor([1.0, 1 - 0.9 * LEAST_ALPHA * 2 / torch.pi, 1 - 1.1 * LEAST_ALPHA * 2 / torch.pi]).double()
    wrong = NetworkDenoiser(
        schedule=schedule,
        moments=MOMENTS,
        network=lambda x, t: oracle(schedule, "eps")(x, t) + 0.01,
        prediction="eps",
        clip=False,
    )
    m = wrong.denoise(x, t)
    torch.testing.assert_close(m[:2], MEAN.expand(2, 3, 2, 2))
    # An error of 0.01 in the noise is one of 0.01 sigma/alpha, about 9, in the denoiser.
    alpha = expand(schedule.at(t[2:]).alpha, x[2:])
    torch.testing.assert_close(m[2:], exact(schedule, x[2:], t[2:]) - 0.01 * (1 - alpha**2).sqrt() / alpha)
    (gradient,) = torch.autograd.grad(m.sum(), x)
    assert gradient.isfinite().all()


def test_gradients_are_those_of_the_exact_denoiser() -> None:
    x, t = points(4)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(expert(Linear(), "v").denoise(x, t).sum(), x)
    p = point_for(Linear(), t, x)
    slope = p.alpha * VARIANCE / (p.alpha**2 * VARIANCE + p.sigma**2)
    torch.testing.assert_close(gradient, slope.expand_as(x), rtol=1e-9, atol=1e-11)


def test_clip_keeps_the_denoiser_in_the_range_of_the_data() -> None:
    x, t = points(6)
    x = 100 * x
    free, kept = expert(Cosine(), "x0").denoise(x, t), expert(Cosine(), "x0", clip=True).denoise(x, t)
    assert free.abs().max() > 1
    assert torch.equal(kept, free.clamp(-1, 1))
