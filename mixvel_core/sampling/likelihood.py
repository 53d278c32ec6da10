"""Likelihood: log-densities of a flow by the change of variables along its ODE, and bits per dimension.

Along dx/dt = v(x, t) the density of the points obeys d/dt log p_t(x_t) = -div v(x_t, t), so that

    log p_delta(x) = log N(x_1; 0, I) + int_delta^1 div v(x_t, t) dt,
    div v = (sigma'/sigma) D + (alpha' - alpha sigma'/sigma) tr(dm/dx)                                         (V1)

with x_t the ODE through x, solved together with the integral (Chen et al. 2018; Song et al. 2021). The trace is exact,
D products, or Hutchinson's estimate (1/P) sum_p u_p . (dm/dx) u_p with signs u_p that are functions of (seed, point,
p, coordinate) and stay the same along a trajectory, so that the ODE remains one (Grathwohl et al. 2019).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import NoiseSchedule
from mixvel_core.randomness import bits, key, uniform
from mixvel_core.sampling.ode import Denoise, OnProgress, solve

Products: TypeAlias = Literal["backward", "forward"]


@frozen(kw_only=True)
class Trace:
    """How tr(dm/dx) is computed.

    ``probes``: P of Hutchinson's estimate; None: exactly. ``products``: ``backward`` (J^T u, which costs the field
    itself only once) of networks, or ``forward`` (J u) of fields that cannot be differentiated backwards, as that of
    an empirical law. ``seed``: of the probes.
    """

    probes: int | None = None
    products: Products = "backward"
    seed: int = 0

    def vectors(self, index: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """The vectors u, (P, B, *data): signs of points ``index``, (B,), or the D unit vectors."""
        size = math.prod(shape)
        if self.probes is None:
            unit = torch.eye(size, dtype=dtype, device=index.device)
            return unit[:, None].expand(size, len(index), size).reshape(size, len(index), *shape)
        probe = torch.arange(self.probes, device=index.device)[:, None, None]
        place = torch.arange(size, device=index.device)[None, None]
        random = bits(key(self.seed, "trace"), index[None, :, None], probe, place)
        return (random & 1).to(dtype).mul(2.0).sub(1.0).reshape(self.probes, len(index), *shape)

    def of(self, denoise: Denoise, x: Tensor, t: float, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """m(x, t), (B, *data), and the trace of its Jacobian, (B,)."""
        if self.products == "backward":
            with torch.enable_grad():
                start = x.detach().requires_grad_()
                m = denoise(start, t)
            products = (torch.autograd.grad(m, start, u, retain_graph=True)[0] for u in vectors)
        else:
            m = denoise(x, t)
            products = (_pushed(denoise, x, t, u) for u in vectors)
        total = x.new_zeros(len(x))
        for u, product in zip(vectors, products, strict=True):
            total += (u * product).flatten(1).sum(1)
        return m.detach(), total / (self.probes or 1)


def _pushed(denoise: Denoise, x: Tensor, t: float, u: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # torch scripts its own table of derivatives at the first derivative, and warns of itself.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=DeprecationWarning)
        w: Tensor = torch.func.jvp(lambda points: denoise(points, t), (x,), (u,))[1]
    return w


def log_density(
    denoise: Denoise,
    x: Tensor,
    *,
    schedule: NoiseSchedule,
    delta: float,
    trace: Trace,
    index: Tensor | None = None,
    rtol: float = 1e-9,
    atol: float = 1e-9,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """log p_delta(x) of what the flow of ``denoise`` makes of standard normal noise, by Dormand-Prince 5(4).

    Args:
        denoise: m(x, t), (B, *data), a function of x and t alone.
        x: points at ``delta``, (B, *data); float64 for closed forms.
        schedule: of the ODE.
        delta: in (0, 1).
        trace: how the divergence is computed.
        index: of the points, for the probes, (B,); 0, 1, ... if None.
        rtol, atol: tolerances. Networks in float32 carry noise of about 1e-6: give no less than 1e-5 for them.
        on_progress: called with the part of the way that is done, 0 to 1.

    Returns:
        In nats, with the factor (2 pi)^(-D/2), (B,) float64.

    Raises:
        SamplingError: the field is too rough for the tolerances.
    """
    shape, size = x.shape[1:], x[0].numel()
    points = torch.arange(len(x), device=x.device) if index is None else index
    vectors = trace.vectors(points, shape, x.dtype)

    def rate(t: float, state: Tensor) -> Tensor:
        at = state[:, :-1].reshape(x.shape)
        p = at_time(schedule, t)
        m, of_m = trace.of(denoise, at, t, vectors)
        ratio = p.d_sigma / p.sigma
        divergence = ratio * size + (p.d_alpha - p.alpha * ratio) * of_m
        return torch.cat([velocity(m, at, p).flatten(1), divergence.to(at)[:, None]], dim=1)

    start = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], dim=1)
    end = solve(rate, start, (delta, 1.0), rtol=rtol, atol=atol, on_progress=on_progress)[-1].double()
    noise, integral = end[:, :-1], end[:, -1]
    return integral - 0.5 * (noise.square().sum(1) + size * math.log(2.0 * math.pi))


def mixture_log_density(log_densities: Tensor, fractions: Sequence[float]) -> Tensor:
    """log sum_k pi_k p^k of the log-densities (B, K) of K experts, each of its own flow; (B,)."""
    log_pi = torch.tensor(fractions, dtype=torch.float64, device=log_densities.device).log()
    return (log_densities.double() + log_pi).logsumexp(1)


def bits_per_dimension(log_p: Tensor, dimension: int, levels: int | None) -> Tensor:
    """-log2 of p per dimension, of a density of items in [-1, 1].

    ``levels`` L: of values that are L steps, 2/(L - 1) apart, the probability of a step is taken as the density times
    its width, which adds log2((L - 1)/2): log2(127.5) for bytes. None: bits of the density itself.
    """
    offset = 0.0 if levels is None else math.log2(0.5 * (levels - 1))
    return -log_p / (dimension * math.log(2.0)) + offset


def dequantised(x: Tensor, levels: int, index: Tensor, seed: int) -> Tensor:
    """x, (B, *data), in [-1, 1] on ``levels`` values, each moved evenly within the width 2/(levels - 1) around it.

    The mean of ``bits_per_dimension`` over such moves bounds that of the values themselves from above (Theis et al.
    2016). ``index``: of the points, (B,); point i moves by a function of (seed, i).
    """
    place = torch.arange(x[0].numel(), device=x.device)[None]
    u = uniform(key(seed, "dequantise"), index.to(x.device)[:, None], place).reshape(x.shape)
    return x + ((u - 0.5) * (2.0 / (levels - 1))).to(x)
