"""Networks from (x_t, t) to logits of the posterior, and to log-rates: an encoder for images, a perceptron for vectors.

    logits = log pi + 4 r(t) net(x, t),   r = alpha / sqrt(alpha^2 + sigma^2),

which is pi, as the posterior is, where alpha = 0; r is alpha wherever the schedule preserves variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import loaded
from mixvel_core.errors import RecipeError
from mixvel_core.protocols import NoiseSchedule, RouterConfig
from mixvel_networks.denoiser import for_use
from mixvel_networks.encoder import make_encoder, make_perceptron
from mixvel_routers.fixed import log_prior
from mixvel_routers.options import USUAL_CHANNELS, ClassifierOptions

REACH = 4.0
"""Logits are several nats apart: with this factor a network's outputs need not grow as far, and it learns faster."""
FASTEST = 30.0
"""The largest value of the clock (see ``clock``), which is infinite at t = 0."""


def clock(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """|alpha' - alpha sigma'/sigma| / sigma^2 at t, at most ``FASTEST``: how fast log posteriors change, float64."""
    p = schedule.at(t.double())
    # alpha' sigma - alpha sigma' has no quotient; at t = 0 both sigma and, perhaps, 1/sigma' are zero.
    speed = (p.d_alpha * p.sigma - p.alpha * p.d_sigma).abs() / p.sigma**3
    return speed.nan_to_num(nan=FASTEST, posinf=FASTEST).clamp_max(FASTEST)


class PosteriorLogits(nn.Module):
    """Logits of a from a network that starts at zero. ``fractions``: pi, any positive multiple of it."""

    def __init__(self, network: nn.Module, schedule: NoiseSchedule, fractions: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.log_pi: Tensor
        # No weight: a network that was trained is used with the fractions of its shards.
        self.register_buffer("log_pi", log_prior(fractions), persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, K) at x, (B, *data), and t, (B,), in the type of x."""
        return self.logits(self.network(x, t), t)

    def logits(self, output: Tensor, t: Tensor) -> Tensor:
        """log pi + 4 r(t) ``output``, (B, K)."""
        p = self.schedule.at(t.double())
        r = p.alpha / (p.alpha**2 + p.sigma**2).sqrt()
        return self.log_pi.to(output) + REACH * r.to(output.dtype)[:, None] * output


class PosteriorAndRate(PosteriorLogits):
    """Logits of a, and log-rates of mean zero in units of the clock, (B, 2 K), on one trunk."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, 2 K) at x, (B, *data), and t, (B,), in the type of x; see ``halves``."""
        output, rates = self.network(x, t).chunk(2, dim=1)
        speed = clock(self.schedule, t).to(x.dtype)[:, None]
        return torch.cat([self.logits(output, t), speed * (rates - rates.mean(1, keepdim=True))], dim=1)


def halves(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of a and log-rates, (B, K) each, from the (B, 2 K) of ``PosteriorAndRate``."""
    logits, rates = outputs.chunk(2, dim=1)
    return logits, rates


def check_items(shape: tuple[int, ...], what: str) -> None:
    """Raises RecipeError where no network here reads items of this shape; ``what`` is the plugin, for the message."""
    if len(shape) not in (1, 3):
        raise RecipeError(f"{what}: items must be images (C, H, W) or vectors (D,), not {shape}")


def make_trunk(options: ClassifierOptions, shape: tuple[int, ...], outputs: int, seed: int, what: str) -> nn.Module:
    """A fresh network with ``outputs`` numbers for each item of ``shape``, on the CPU in float32."""
    check_items(shape, what)
    if len(shape) == 3:
        return make_encoder(shape, options.channels or USUAL_CHANNELS, options.stride, outputs, seed)
    return make_perceptron(shape[0], options.width, options.depth, outputs, seed)


def load_classifier(
    design: ClassifierOptions, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule, what: str
) -> nn.Module:
    """The trained logits of a router, for use, on the device of ``tensors``; ArtifactError where they do not fit."""

    def make() -> PosteriorLogits:
        # Any seed: every weight is replaced.
        trunk = make_trunk(design, config.shape, len(config.fractions), 0, what)
        return PosteriorLogits(trunk, schedule, config.fractions)

    return for_use(loaded(make, tensors, what), next(iter(tensors.values())).device)
