"""Times by their noise: closed forms and the search are inverses of the schedules, to the ends."""

from __future__ import annotations

import math

import pytest
import torch
from attrs import frozen
from exact import all_schedules
from torch import Tensor

from mixvel_core.field.angle import angle_at, time_of
from mixvel_core.protocols import NoiseSchedule, SchedulePoint

SCHEDULES = all_schedules()
TIMES = [0.0, 1e-9, 1e-6, 1e-3, 0.01, 0.25, 0.5, 0.75, 0.99, 1 - 1e-6, 1.0]


@frozen(kw_only=True)
class Searched:
    """A schedule that does not tell its times."""

    inner: NoiseSchedule

    def at(self, t: Tensor) -> SchedulePoint:
        return self.inner.at(t)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("searched", [False, True])
def test_a_time_comes_back_from_its_angle(name: str, searched: bool) -> None:
    schedule = Searched(inner=SCHEDULES[name]) if searched else SCHEDULES[name]
    t = torch.tensor(TIMES, dtype=torch.float64)
    found = time_of(schedule, angle_at(schedule, t))
    # VP: sigma is a root of t, so an angle's last bit is worth little near t = 0, and alpha is flat near t = 1.
    torch.testing.assert_close(found, t, rtol=1e-9, atol=1e-13)
    assert found[0] == 0.0
    assert found[-1] == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_no_time_has_is_given_the_last_one(name: str) -> None:
    angle = torch.tensor([[0.0, 0.5 * math.pi]], dtype=torch.float64)
    for schedule in (SCHEDULES[name], Searched(inner=SCHEDULES[name])):
        found = time_of(schedule, angle)
        assert found.shape == angle.shape
        assert found.tolist() == [[0.0, 1.0]]
