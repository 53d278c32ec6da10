"""Logits of the posterior and log-rates: the prior at t = 1, other fractions than trained, the clock."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mixvel_core.protocols import NoiseSchedule
from mixvel_routers.classifier import FASTEST, PosteriorAndRate, PosteriorLogits, clock, halves
from mixvel_schedules.schedules import Cosine, Linear, Rectified

PI = (2.0, 5.0, 3.0)


class Fixed(nn.Module):
    """Answers the same numbers everywhere."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = numbers

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x.new_tensor(self.numbers).expand(len(x), -1)


@pytest.mark.parametrize("schedule", [Cosine(), Rectified()])
def test_the_posterior_is_the_prior_where_there_are_no_data(schedule: NoiseSchedule) -> None:
    network = PosteriorLogits(Fixed(7.0, -3.0, 1.0), schedule, PI)
    x = torch.randn(4, 2)
    a = network(x, torch.ones(4)).softmax(1)
    torch.testing.assert_close(a, torch.tensor([[0.2, 0.5, 0.3]]).expand(4, 3))
    assert network(x, torch.zeros(4)).softmax(1)[0, 0] > 0.99


def test_other_fractions_change_the_posterior_as_bayes_says() -> None:
    x, t = torch.randn(4, 2, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    one, other = (PosteriorLogits(Fixed(0.3, -0.2, 0.1), Cosine(), pi)(x, t).softmax(1) for pi in (PI, (1, 1, 8)))
    wanted = one / torch.tensor([0.2, 0.5, 0.3]) * torch.tensor([0.1, 0.1, 0.8])
    torch.testing.assert_close(other, (wanted / wanted.sum(1, keepdim=True)).double())


def test_fractions_are_no_weights() -> None:
    assert list(PosteriorLogits(nn.Linear(2, 3), Cosine(), PI).state_dict()) == ["network.weight", "network.bias"]


@given(st.floats(0.3, 1.0))
def test_the_clock_of_the_cosine_is_known(t: float) -> None:
    found = float(clock(Cosine(), torch.tensor([t])))
    assert found == pytest.approx(min(0.5 * math.pi / math.sin(0.5 * math.pi * t) ** 3, FASTEST), rel=1e-5)


@pytest.mark.parametrize("schedule", [Cosine(), Linear(), Rectified()])
def test_the_clock_is_finite_at_data(schedule: NoiseSchedule) -> None:
    speed = clock(schedule, torch.tensor([0.0, 1e-6, 0.01]))
    assert speed.tolist() == [FASTEST] * 3


def test_log_rates_have_mean_zero_and_run_by_the_clock() -> None:
    network = PosteriorAndRate(Fixed(0.0, 0.0, 0.0, 1.0, 2.0, 6.0), Cosine(), PI)
    x, t = torch.randn(2, 2), torch.tensor([0.5, 1.0])
    logits, rates = halves(network(x, t))
    torch.testing.assert_close(logits.softmax(1), torch.tensor([[0.2, 0.5, 0.3]]).expand(2, 3))
    torch.testing.assert_close(rates, clock(Cosine(), t).float()[:, None] * torch.tensor([[-2.0, -1.0, 3.0]]))
