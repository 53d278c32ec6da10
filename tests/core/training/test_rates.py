"""Rates at the ends of their ranges."""

from __future__ import annotations

import pytest

from mixvel_core.training.options import TrainOptions
from mixvel_core.training.state import ema_decay, learning_rate


def test_rate_rises_to_the_peak_and_falls_to_zero() -> None:
    options = TrainOptions(steps=10, warmup=4, learning_rate=1.0)
    rates = [learning_rate(step, options) for step in range(10)]
    assert rates == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_rate_stays_at_the_peak_without_decay() -> None:
    options = TrainOptions(steps=5, warmup=0, learning_rate=0.3, decay=False)
    assert [learning_rate(step, options) for step in range(5)] == [0.3] * 5


def test_a_warm_up_longer_than_the_training_only_rises() -> None:
    options = TrainOptions(steps=3, warmup=10, learning_rate=1.0)
    assert [learning_rate(step, options) for step in range(3)] == pytest.approx([0.1, 0.2, 0.3])


def test_average_forgets_its_beginning_first() -> None:
    options = TrainOptions(ema=0.5)
    assert [ema_decay(step, options) for step in (0, 2, 8, 1000)] == pytest.approx([1 / 10, 3 / 12, 0.5, 0.5])
