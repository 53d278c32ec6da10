"""Inversion: data to noise and back by the sampling ODE, its error, and what lies between two items in the noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.field.conversions import expand
from mixvel_core.protocols import Condition, NoiseSchedule, Router, Selector
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.sampling.samples import Samples


@frozen(kw_only=True, eq=False)
class RoundTrip:
    """``encoded``: the noise of each item, with its cost. ``decoded``: what that noise is decoded to, with its cost.
    ``error``: ||decoded - x|| / ||x|| of each, Euclidean over all coordinates, (n,) float64."""

    encoded: Samples
    decoded: Samples
    error: Tensor


def round_trip(
    sampler: Sampler,
    x: Tensor,
    *,
    condition: Condition | None = None,
    batch: int = 256,
    on_step: Callable[[int], None] | None = None,
) -> RoundTrip:
    """Encodes x, (n, *data), and decodes what comes out, by the same sampler and under the same condition.

    ``condition``: of each, n rows or one; None: the null condition. ``on_step`` is called with the number of
    point-steps done, of 2 n * steps. Raises what ``Sampler.encode`` raises.
    """
    half = len(x) * sampler.steps

    def second(done: int) -> None:
        if on_step is not None:
            on_step(half + done)

    encoded = sampler.encode(x, condition=condition, batch=batch, on_step=on_step)
    decoded = sampler.decode(encoded.x, condition=condition, batch=batch, on_step=second)
    flat = x.to(decoded.x.device).double().flatten(1)
    apart = torch.linalg.vector_norm(decoded.x.double().flatten(1) - flat, dim=1)
    smallest = torch.finfo(torch.float64).tiny
    error = apart / torch.linalg.vector_norm(flat, dim=1).clamp_min(smallest)
    return RoundTrip(encoded=encoded, decoded=decoded, error=error)


def follows_ode(
    *, router: Router, selector: Selector, schedule: NoiseSchedule, shape: tuple[int, ...], device: torch.device | str
) -> bool:
    """Whether a field of this router and selector is a function of (x, t), so that it has an ODE to follow back."""
    x = torch.zeros(1, *shape, device=device)
    draws = SampleDraws(seed=0, index=torch.arange(1, device=device))
    return router.start(x, x.new_ones(1)) is None and selector.start(x, schedule, None, draws) is None


def spherical(a: Tensor, b: Tensor, parts: Tensor) -> Tensor:
    """Points between a and b on the arc around the origin, whose length changes in proportion.

    With o the angle between a and b: (sin((1 - u) o) a + sin(u o) b) / sin o for u in ``parts`` (Shoemake 1985), the
    straight line where sin o vanishes. Between two draws of standard normal noise all points are as long as noise is,
    where the straight line is shorter in its middle.

    Args:
        a, b: (n, *data).
        parts: u in [0, 1], (m,).

    Returns:
        (n, m, *data); u = 0 is a and u = 1 is b.

    Raises:
        UsageError: a and b have different shapes.
    """
    if a.shape != b.shape:
        raise UsageError(f"points of shape {tuple(a.shape)} and {tuple(b.shape)} have nothing between them")
    first, second = a.flatten(1), b.flatten(1)
    lengths = torch.linalg.vector_norm(first, dim=1) * torch.linalg.vector_norm(second, dim=1)
    angle = ((first * second).sum(1) / lengths.clamp_min(torch.finfo(a.dtype).tiny)).clamp(-1.0, 1.0).acos()[:, None]
    u = parts.to(a)[None]
    sine = angle.sin()
    straight = sine.abs() < torch.finfo(a.dtype).eps ** 0.5
    divisor = torch.where(straight, 1.0, sine)
    of_a = torch.where(straight, 1.0 - u, ((1.0 - u) * angle).sin() / divisor)
    of_b = torch.where(straight, u, (u * angle).sin() / divisor)
    return expand(of_a, a[:, None]) * a[:, None] + expand(of_b, b[:, None]) * b[:, None]
