"""Every file of finished runs is damaged in some way; `nox -s soak` does so in all ways and studies again too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from damage import Finished, again, finished, some_cases


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished("exact", tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.slow
def test_it_is_named_and_made_again_as_it_was(whole: Finished, tmp_path: Path) -> None:
    rng, named, refused = np.random.default_rng(1), 0, 0
    for victim, kind in some_cases(whole, 0):
        outcome = again(whole, "run", victim, kind, tmp_path, rng)
        assert outcome.wrong == (), f"{victim}, {kind}"
        named += outcome.named
        refused += bool(outcome.refused)
    assert named > 25
    assert refused == 0  # of the recipe there is a second copy among the questions


def test_no_sample_comes_from_a_damaged_run(whole: Finished, tmp_path: Path) -> None:
    rng, refused = np.random.default_rng(2), 0
    for victim, kind in some_cases(whole, 4):
        outcome = again(whole, "sample", victim, kind, tmp_path, rng)
        assert outcome.wrong == (), f"{victim}, {kind}"
        refused += bool(outcome.refused)
    assert refused > 15
