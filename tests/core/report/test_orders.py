"""Orders of samplers: places and rank correlations with known answers, and which samplers are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attrs import asdict, evolve
from report_runs import VECTORS, Scored, scored

from mixvel_core.analysis.convergence import statistics
from mixvel_core.analysis.records import StudyResult, StudyRow
from mixvel_core.recipe.dump import plain
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.orders import kendall, orders, ranked


def test_places_and_rank_correlations() -> None:
    assert ranked([3.0, 1.0, 2.0, 1.0]) == [4, 1, 3, 1]
    assert kendall([1, 2, 3], [10, 20, 30]) == 1
    assert kendall([1, 2, 3], [30, 20, 10]) == -1
    # Five pairs agree, one does not.
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall([1, 1], [1, 2]) is None
    # One pair is tied in the first: 2 of sqrt(2 * 3).
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 6**0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return scored(VECTORS, tmp_path_factory.mktemp("run"))


def row(selector: str, integrator: str, steps: int, error: float) -> StudyRow:
    errors = asdict(statistics(np.array([error])))
    costs = {"evaluations": float(steps), "flops": 0.0}
    return StudyRow(selector=selector, integrator=integrator, grid="uniform", steps=steps, **errors, **costs)


def inputs(run: Scored, *rows: StudyRow, router: str = "exact") -> Inputs:
    about = {"router": router, "weights": plain(run.recipe.sample.weights)}
    timings = (0.1,) * len(rows)
    study = StudyResult(rows=rows, slopes=(), floor=rows[0], reference={}, conditions=about, timings=timings)
    return Inputs(
        recipe=run.recipe,
        shards=run.shards,
        models=run.models,
        samples=run.samples,
        flops=run.flops,
        scores=run.scores,
        folder=Path(),
        study=study,
    )


def test_samplers_of_the_study_are_found_in_the_table_and_placed_by_both(run: Scored) -> None:
    # The iid row would be worst by error; the monolith and a sampler that was not scored have no place.
    rows = [row(*one) for one in (("mixture", "ddim", 3, 0.1), ("iid", "heun", 3, 0.7), ("sum-up", "ddim", 3, 0.2))]
    found = orders(inputs(run, *rows))
    assert found is not None
    assert found.metrics == ("sliced-w2",)
    [group] = found.groups
    assert (group.steps, [one.method for one in group.rows]) == (3, ["drawn", "mixed"])
    scores: dict[str, list[float]] = {r["method"]: [] for r in run.scores.rows}
    for r in run.scores.rows:
        scores[r["method"]] += [r["value"]] if r["steps"] == 3 else []
    means = {method: float(np.mean(values)) for method, values in scores.items()}
    assert [[place.value for place in one.places] for one in group.rows] == [
        [0.7, pytest.approx(means["drawn"])],
        [0.1, pytest.approx(means["mixed"])],
    ]
    assert [one.places[0].rank for one in group.rows] == [2, 1]
    assert [one.places[1].rank for one in group.rows] == ranked([means["drawn"], means["mixed"]])
    assert group.correlations == (1.0 if means["mixed"] < means["drawn"] else -1.0,)


def test_another_router_or_a_single_sampler_give_no_order(run: Scored) -> None:
    both = [row("mixture", "ddim", 3, 0.1), row("iid", "heun", 3, 0.7)]
    assert orders(inputs(run, *both, router="prior")) is None
    assert orders(inputs(run, both[0])) is None
    assert orders(evolve(inputs(run, *both), study=None)) is None
    assert orders(evolve(inputs(run, *both), scores=evolve(run.scores, rows=()))) is None
