"""The learning rate and the decay of the average, as functions of the step: nothing to save, nothing to resume."""

from __future__ import annotations

from mixvel_core.training.options import TrainOptions


def learning_rate(step: int, options: TrainOptions) -> float:
    """The rate of step ``step`` in 0..steps-1: linear warm-up to the peak, then linear decay to zero at ``steps``."""
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    if not options.decay:
        return options.learning_rate
    return options.learning_rate * (options.steps - step) / (options.steps - options.warmup)


def ema_decay(step: int, options: TrainOptions) -> float:
    """The weight of the past in the average at step ``step`` in 0..steps-1: min(ema, (1 + step) / (10 + step)).

    The warm-up keeps the initial weights from lingering in the average of a short training.
    """
    return min(options.ema, (1 + step) / (10 + step))
