"""Scores of random halves: what they are of, that they pair between methods, and that they leave other scores alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report_runs import VECTORS, scored

from mixvel_core.data.items import Chosen
from mixvel_core.pipeline.halves import half_rows, half_values
from mixvel_core.pipeline.scores import CELLS_FILE
from mixvel_core.protocols import SubsetScorer
from mixvel_metrics.comparison import Frechet
from mixvel_metrics.wasserstein import SlicedWasserstein2


def test_halves_are_halves_and_the_same_for_all_sets_of_one_size() -> None:
    rows = half_rows(21, 3, seed=5)
    assert [len({*half.tolist()}) for half in rows] == [10, 10, 10]
    assert max(int(half.max()) for half in rows) < 21
    assert len({tuple(half.tolist()) for half in rows}) == 3
    assert all(np.array_equal(a, b) for a, b in zip(rows, half_rows(21, 3, seed=5), strict=True))
    assert half_rows(15, 3, seed=5) == []


@pytest.mark.parametrize("metric", [Frechet(further=("kernel", "precision")), SlicedWasserstein2(projections=8)])
def test_values_are_the_scores_of_the_samples_in_each_half(metric: Frechet | SlicedWasserstein2) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)).astype(np.float32), rng.standard_normal((30, 3)).astype(np.float32)
    rows = half_rows(40, 4, seed=0)
    scorer = metric.against(y) if isinstance(metric, Frechet) else None
    assert (scorer is None) != isinstance(scorer, SubsetScorer)
    found = half_values(metric, scorer, x, y, rows)
    parts = [Chosen(source=x, rows=half)[:] for half in rows]
    each = [scorer.scores(part) if scorer else (metric.score(part, y),) for part in parts]
    for values, scores in zip(found, zip(*each, strict=True), strict=True):
        assert values == pytest.approx([score.value for score in scores], rel=1e-4)
    assert len(found) == len(each[0])


def test_a_single_seed_has_halves_and_several_have_none(tmp_path: Path) -> None:
    text = VECTORS.replace("count: 8", "count: 24")
    one = scored(text, tmp_path / "one", "sample.seeds=[0]", "evaluate.halves=3")
    assert [len(row["halves"]) for row in one.scores.rows] == [3] * len(one.scores.rows)
    assert all("halves" not in row for row in (*one.scores.floors, *one.scores.noise))
    # Random halves of samples that are far from each other are not all alike.
    assert all(len(set(row["halves"])) == 3 for row in one.scores.rows)
    none = scored(text, tmp_path / "none", "sample.seeds=[0]", "evaluate.halves=0")
    several = scored(text, tmp_path / "several", "sample.seeds=[0, 1]")
    for other in (none, several):
        assert not any("halves" in row for row in other.scores.rows)
    bare = [{name: value for name, value in row.items() if name != "halves"} for row in one.scores.rows]
    assert bare == list(none.scores.rows)
    # Values of all samples are kept under the keys that they have without halves.
    cells = [json.loads((tmp_path / name / CELLS_FILE).read_text())["cells"] for name in ("one", "none")]
    assert cells[1].keys() <= cells[0].keys()
