"""A run of the digits that is killed anywhere ends as if it had not been; `nox -s soak` kills it much more often."""

from __future__ import annotations

import random
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest
from kills_of_runs import differences, stopped_often, straight

PLAN = [
    ("partition", SIGKILL),
    ("routers", SIGTERM),
    ("experts", SIGKILL),
    ("sample", SIGINT),
    ("sample", SIGKILL),
    ("report", SIGKILL),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
# The reader of events tells of the steps that a later process has done again.
@pytest.mark.filterwarnings("ignore:Detected out of order")
def test_killed_again_and_again(tmp_path: Path) -> None:
    like = straight(tmp_path / "straight")
    stops = stopped_often(like, tmp_path / "run", PLAN, random.Random(8), within=0.2)
    assert [one for one in stops if not one.is_clean] == []
    assert sum(one.by is SIGKILL for one in stops) >= 3
    assert len(stops) >= 5
    assert differences(tmp_path / "run", tmp_path / "straight") == []
    assert (tmp_path / "straight.err").read_text() == ""
