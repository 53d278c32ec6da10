"""Callables of others as functions of (x, t): their schedule by autograd, the time they expect, and errors in one line.

It need not begin at clean data or end at pure noise; ``mixvel_core.sampling.snr_matched`` knows what to do there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import RecipeError, SamplingError
from mixvel_core.protocols import NoiseSchedule, SchedulePoint


@frozen(kw_only=True)
class ByAutograd:
    """``pair``: t -> (alpha, sigma), of the shape of t, alpha/sigma falling."""

    pair: Callable[[Tensor], tuple[Tensor, Tensor]]

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha and sigma as they are told, and their derivatives."""
        with torch.inference_mode(False), torch.enable_grad():
            u = t.detach().clone().requires_grad_()
            alpha, sigma = self.pair(u)
            d_alpha, d_sigma = _slope(alpha, u), _slope(sigma, u)
            dd_alpha = _slope(d_alpha, u)
        return SchedulePoint(
            alpha=alpha.detach(),
            sigma=sigma.detach(),
            d_alpha=d_alpha.detach(),
            d_sigma=d_sigma.detach(),
            dd_alpha=dd_alpha.detach(),
        )


def _slope(value: Tensor, u: Tensor) -> Tensor:
    # A constant, as alpha of variance exploding paths, knows of no u.
    if not value.requires_grad:
        return torch.zeros_like(u)
    (slope,) = torch.autograd.grad(value.sum(), u, create_graph=True, allow_unused=True)
    return torch.zeros_like(u) if slope is None else slope


def schedule_of(denoiser: object, what: str) -> NoiseSchedule:
    """The schedule that an azula denoiser carries. Raises RecipeError where it carries none, or one that rises."""
    pair = getattr(denoiser, "schedule", None)
    if not callable(pair):
        raise RecipeError(f"{what}: the denoiser has no schedule; the factory must return an azula.denoise.Denoiser")
    schedule = ByAutograd(pair=pair)
    p = schedule.at(torch.linspace(0.0, 1.0, 33, dtype=torch.float64))
    angle = torch.atan2(p.sigma, p.alpha)
    if not bool((angle[1:] > angle[:-1]).all()):
        raise RecipeError(f"{what}: alpha/sigma of its schedule does not fall with t")
    return schedule


@frozen(kw_only=True)
class TimeConvention:
    """``time``: t itself, T t, or T t - 1, which is the entry of a table of ``length`` T, counted from 0.

    ``rounded``: whether it is rounded to an integer (and stays a float), as in training.
    """

    time: Literal["unit", "scaled", "entries"]
    length: int
    rounded: bool

    def __call__(self, t: Tensor) -> Tensor:
        """For times (B,) in [0, 1]; entries do not fall below 0, where a table begins."""
        if self.time == "unit":
            return t
        # Of float64: 1000 t in float32 is off by more than the rounding it is to survive.
        told = self.length * t.double()
        if self.time == "entries":
            told = (told - 1.0).clamp_min(0.0)
        return (told.round() if self.rounded else told).to(t.dtype)


class Clocked(nn.Module):
    """A network that is told of time in its own way."""

    def __init__(self, network: nn.Module, *, told: TimeConvention) -> None:
        super().__init__()
        self.network = network
        self.told = told

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's answer."""
        answer: Tensor = self.network(x, self.told(t))
        return answer


class Called(nn.Module):
    """A user's own callable ``inner`` of (x, time); ``name`` of it for errors.

    A module computes in the type of its parameters. ``mean``: whether the answer is a distribution, as azula's
    denoisers give, of which the mean is meant.
    """

    def __init__(self, inner: Callable[[Tensor, Tensor], Any], *, name: str, mean: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.name = name
        self.mean = mean

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The answer in the type of x. Raises SamplingError where there is none."""
        dtype = self._dtype(x)
        try:
            answer = self.inner(x.to(dtype), time.to(dtype))
            answer = answer.mean if self.mean else answer
        # Whatever a user's own code raises is told as such.
        except Exception as error:
            raise SamplingError(
                f"{self.name} raised {type(error).__name__} for x of shape {tuple(x.shape)}: {error}"
            ) from error
        if not isinstance(answer, Tensor):
            raise SamplingError(f"{self.name} returned a {type(answer).__name__}, not a tensor")
        return answer.to(x.dtype)

    def _dtype(self, x: Tensor) -> torch.dtype:
        parameters = self.inner.parameters() if isinstance(self.inner, nn.Module) else ()
        return next((p.dtype for p in parameters if p.is_floating_point()), x.dtype)
