"""Networks from (x_t, t) to logits of the posterior, and to log-rates: an encoder for images, a perceptron for vectors.

    logits = log pi + 4 r(t) net(x, t),   r = alpha / sqrt(alpha^2 + sigma^2),

which is pi, as the posterior is, where alpha = 0; r is alpha wherever the schedule preserves variance. Under a class c
log p(k | c) takes the place of log pi.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import loaded
from mixvel_core.data.conditions import class_spec
from mixvel_core.errors import RecipeError
from mixvel_core.protocols import NoiseSchedule, RouterConfig
from mixvel_networks.denoiser import for_use
from mixvel_networks.encoder import make_encoder, make_perceptron
from mixvel_networks.transformer_size import TransformerSize
from mixvel_routers.class_prior import ClassPrior, class_prior
from mixvel_routers.fixed import log_prior
from mixvel_routers.options import USUAL_CHANNELS, ClassifierOptions, RouterTraining

REACH = 4.0
"""Logits are several nats apart: with this factor a network's outputs need not grow as far, and it learns faster."""
NEVER = -1e4
"""log p(k | c) of shards without the class: no infinity, whose product with a weight of zero is no number."""
FASTEST = 30.0
"""The largest value of the clock (see ``clock``), which is infinite at t = 0."""


def clock(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """|alpha' - alpha sigma'/sigma| / sigma^2 at t, at most ``FASTEST``: how fast log posteriors change, float64."""
    p = schedule.at(t.double())
    # alpha' sigma - alpha sigma' has no quotient; at t = 0 both sigma and, perhaps, 1/sigma' are zero.
    speed = (p.d_alpha * p.sigma - p.alpha * p.d_sigma).abs() / p.sigma**3
    return speed.nan_to_num(nan=FASTEST, posinf=FASTEST).clamp_max(FASTEST)


def called(network: nn.Module, x: Tensor, t: Tensor, classes: Tensor | None) -> Tensor:
    """What a network gives at (x, t), under classes where there are some."""
    output: Tensor = network(x, t) if classes is None else network(x, t, classes)
    return output


class PosteriorLogits(nn.Module):
    """Logits of a from a network that starts at zero. ``fractions``: pi, any positive multiple of it. ``by_class``:
    p(k | c), for a network that reads classes."""

    def __init__(
        self,
        network: nn.Module,
        schedule: NoiseSchedule,
        fractions: Sequence[float],
        by_class: ClassPrior | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.log_pi: Tensor
        self.log_by_class: Tensor | None
        # No weights: a network that was trained is used with the fractions of its shards.
        self.register_buffer("log_pi", log_prior(fractions), persistent=False)
        table = None if by_class is None else by_class.table.log().clamp_min(NEVER)
        self.register_buffer("log_by_class", table, persistent=False)

    def forward(self, x: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """(B, K) at x, (B, *data), t, (B,), and perhaps classes, (B,), in the type of x."""
        return self.logits(called(self.network, x, t, classes), t, classes)

    def logits(self, output: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """log pi, or log p(k | c), + 4 r(t) ``output``, (B, K)."""
        p = self.schedule.at(t.double())
        r = p.alpha / (p.alpha**2 + p.sigma**2).sqrt()
        log_prior = self.log_pi if classes is None or self.log_by_class is None else self.log_by_class[classes]
        return log_prior.to(output) + REACH * r.to(output.dtype)[:, None] * output


class PosteriorAndRate(PosteriorLogits):
    """Logits of a, and log-rates of mean zero in units of the clock, (B, 2 K), on one trunk."""

    def forward(self, x: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """(B, 2 K) at x, (B, *data), t, (B,), and perhaps classes, (B,), in the type of x; see ``halves``."""
        output, rates = called(self.network, x, t, classes).chunk(2, dim=1)
        speed = clock(self.schedule, t).to(x.dtype)[:, None]
        return torch.cat([self.logits(output, t, classes), speed * (rates - rates.mean(1, keepdim=True))], dim=1)


def halves(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of a and log-rates, (B, K) each, from the (B, 2 K) of ``PosteriorAndRate``."""
    logits, rates = outputs.chunk(2, dim=1)
    return logits, rates


def check_items(shape: tuple[int, ...], what: str) -> None:
    """Raises RecipeError where no network here reads items of this shape; ``what`` is the plugin, for the message."""
    if len(shape) not in (1, 3):
        raise RecipeError(f"{what}: items must be images (C, H, W) or vectors (D,), not {shape}")


def check_design(options: RouterTraining, shape: tuple[int, ...], what: str) -> None:
    """Raises RecipeError where the network of these options reads no items of this shape; ``what``: the plugin."""
    if isinstance(options, TransformerSize):
        options.check_images(shape, what)
    check_items(shape, what)


def make_trunk(options: RouterTraining, config: RouterConfig, seed: int, what: str, *, each: int = 1) -> nn.Module:
    """A fresh network with ``each`` numbers for each of the K shards, for items of ``config``, on the CPU in float32.

    It reads the class where items have one.
    """
    check_design(options, config.shape, what)
    spec = class_spec(config.conditions)
    classes = 0 if spec is None else spec.classes
    outputs = each * len(config.fractions)
    if isinstance(options, TransformerSize):
        # diffusers takes seconds to import: only where it is needed.
        from mixvel_networks.transformer import make_pooled_transformer

        return make_pooled_transformer(options, config.shape, outputs, seed, what, classes)
    if not isinstance(options, ClassifierOptions):
        raise TypeError(f"{what}: {type(options).__name__} describes no network of a router")
    if len(config.shape) == 3:
        channels = options.channels or USUAL_CHANNELS
        return make_encoder(config.shape, channels, options.stride, outputs, seed, classes)
    return make_perceptron(config.shape[0], options.width, options.depth, outputs, seed, classes)


def make_logits(
    design: RouterTraining, config: RouterConfig, schedule: NoiseSchedule, seed: int, what: str
) -> PosteriorLogits:
    """Fresh logits of a; ``what`` is the plugin, for errors."""
    return PosteriorLogits(make_trunk(design, config, seed, what), schedule, config.fractions, class_prior(config))


def load_classifier(
    design: RouterTraining, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule, what: str
) -> nn.Module:
    """The trained logits of a router, for use, on the device of ``tensors``; ArtifactError where they do not fit."""

    def make() -> PosteriorLogits:
        # Any seed: every weight is replaced.
        return make_logits(design, config, schedule, 0, what)

    return for_use(loaded(make, tensors, what), next(iter(tensors.values())).device)
