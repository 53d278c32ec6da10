"""The plugin's own tests: mixvel's suite, and what only these components do."""

from __future__ import annotations

import pytest
import torch
from mixvel_external.coreset import CoresetFamily
from mixvel_external.shifted import Shifted
from mixvel_external.stratified import State, Stratified

from mixvel_core import build
from mixvel_core.protocols import NoiseSchedule, RouterFamily, Selector
from mixvel_core.testing import Suite


class TestShifted(Suite):
    kind = "schedule"

    @pytest.fixture(params=[0.5, 1.0, 3.0])
    def component(self, request: pytest.FixtureRequest) -> NoiseSchedule:
        return Shifted(shift=request.param)


class TestCoreset(Suite):
    kind = "router"

    @pytest.fixture
    def component(self) -> RouterFamily:
        return CoresetFamily(items=5)


class TestStratified(Suite):
    kind = "selector"

    @pytest.fixture
    def component(self) -> Selector:
        return Stratified()


def test_the_shift_multiplies_noise_over_signal() -> None:
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    plain, shifted = Shifted(shift=1.0).at(t), Shifted(shift=3.0).at(t)
    torch.testing.assert_close(shifted.sigma / shifted.alpha, 3.0 * plain.sigma / plain.alpha)


def test_choices_follow_the_weights_closely() -> None:
    a = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    state, counts = State(first=torch.tensor([0.3], dtype=torch.float64)), torch.zeros(3)
    for _ in range(100):
        mask, state = Stratified().select(a, 0.5, a, state)
        counts += mask[0]
    assert (counts - 100 * a[0]).abs().max() < 3, "random draws would stray by five"


def test_mixvel_builds_them_by_name() -> None:
    assert build("schedule", "shifted", {"shift": 2.0}) == Shifted(shift=2.0)
    assert build("selector", "stratified") == Stratified()
