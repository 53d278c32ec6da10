from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.pipeline.scores import Scores
from mixvel_core.report.tables import score_tables

SAME = {"samples": "8"}


def _row(method: str, steps: int, value: float, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "method": method,
        "steps": steps,
        "seed": seed,
        "evaluations": float(steps),
        "flops": 10.0 * steps,
        "metric": "w2",
        "value": value,
        "conditions": SAME,
        **more,
    }


def _scores(*rows: dict[str, Any], floors: tuple[dict[str, Any], ...] = ()) -> Scores:
    places = ({key: row[key] for key in ("method", "steps", "seed")} for row in rows)
    timings = tuple({**place, "seconds": 0.1 * (1 + place["seed"]), "device": "cpu"} for place in places)
    return Scores(rows=rows, floors=floors, noise=(), timings=timings)


def test_mean_and_spread_over_seeds_best_and_cost() -> None:
    scores = _scores(
        _row("a", 5, 1.0, seed=0, evaluations=4.0),
        _row("a", 5, 3.0, seed=1, evaluations=5.0),
        _row("b", 5, 1.5),
        _row("a", 9, 0.5),
        _row("b", 9, 0.75),
    )
    (table,) = score_tables(scores, ["b", "a"], [9, 5])
    assert table.steps == (9, 5)
    assert [row.method for row in table.rows] == ["b", "a"]
    (b9, b5), (a9, a5) = (row.cells for row in table.rows)
    assert a5 is not None
    assert a5.spread == pytest.approx(math.sqrt(2))
    assert (a5.mean, a5.values) == (2.0, {0: 1.0, 1: 3.0})
    assert (a5.evaluations, a5.flops) == (4.5, 50.0)
    assert a5.seconds == pytest.approx(0.15)
    assert b5 is not None
    assert b5.spread is None
    assert [cell is not None and cell.best for cell in (b9, a9, b5, a5)] == [False, True, True, False]


def test_best_is_compared_at_equal_cost_whatever_the_number_of_steps() -> None:
    scores = _scores(
        _row("dear", 5, 0.5, flops=900.0),  # better than all, and dearest
        _row("cheap", 5, 2.0, flops=100.0),
        _row("other", 5, 1.9, flops=104.0),  # as dear as `cheap` to within the router
        _row("dear", 9, 1.0, flops=200.0),
        _row("cheap", 9, 1.5, flops=200.0),
        _row("other", 9, 1.7, flops=90.0),  # cheapest, and better than what costs a little more
    )
    (table,) = score_tables(scores, ["dear", "cheap", "other"], [5, 9])
    best = {
        (row.method, n) for row in table.rows for n, cell in zip((5, 9), row.cells, strict=True) if cell and cell.best
    }
    assert best == {("dear", 5), ("dear", 9), ("other", 9)}


def test_means_that_look_the_same_are_equally_good() -> None:
    (table,) = score_tables(_scores(_row("a", 5, 1.0), _row("b", 5, 1.0 + 1e-9), _row("c", 5, 1.001)), "abc", [5])
    assert [cell.best for row in table.rows for cell in row.cells if cell is not None] == [True, True, False]


def test_scores_under_other_conditions_stand_in_another_table_with_their_own_references() -> None:
    other = {"samples": "9"}
    scores = _scores(
        _row("a", 5, 1.0),
        _row("b", 5, 0.1, conditions=other),
        _row("a", 5, 7.0, metric="frechet-pixels"),
        floors=({"metric": "w2", "value": 0.5, "conditions": SAME}, {"metric": "x", "value": 9.0, "conditions": other}),
    )
    tables = score_tables(scores, ["a", "b"], [5])
    assert [(t.metric, t.conditions, [r.method for r in t.rows], t.floor) for t in tables] == [
        ("w2", SAME, ["a"], 0.5),
        ("w2", other, ["b"], None),
        ("frechet-pixels", SAME, ["a"], None),
    ]
    assert all(cell is not None and cell.best for t in tables for row in t.rows for cell in row.cells)


def test_what_was_not_scored_is_empty_and_what_is_no_number_is_never_best() -> None:
    scores = _scores(_row("a", 5, math.nan), _row("b", 5, 2.0), _row("b", 9, math.nan))
    (table,) = score_tables(scores, ["a", "b"], [5, 9])
    (a5, a9), (b5, b9) = (row.cells for row in table.rows)
    assert a9 is None
    assert a5 is not None
    assert b5 is not None
    assert b9 is not None
    assert (a5.best, b5.best, b9.best) == (False, True, False)


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1, 2, 4]), st.integers(0, 3)),
        st.tuples(st.floats(0, 1e6), st.sampled_from(["w2", "frechet"]), st.sampled_from(["8", "9"])),
    )
)
def test_every_score_stands_in_one_cell_and_the_best_at_every_cost_is_marked(
    found: dict[tuple[str, int, int], tuple[float, str, str]],
) -> None:
    rows = [_row(m, n, v, seed, metric=k, conditions={"c": c}) for (m, n, seed), (v, k, c) in found.items()]
    tables = score_tables(_scores(*rows), ["a", "b", "c"], [1, 2, 4])
    told = {
        (row.method, steps, seed): (value, table.metric, table.conditions["c"])
        for table in tables
        for row in table.rows
        for steps, cell in zip(table.steps, row.cells, strict=True)
        if cell is not None
        for seed, value in cell.values.items()
    }
    assert told == found
    for table in tables:
        # Costs are those of the columns here: fewer steps, fewer FLOPs.
        for last in range(len(table.steps)):
            affordable = [cell for row in table.rows for cell in row.cells[: last + 1] if cell is not None]
            least = min((cell.mean for cell in affordable), default=None)
            for cell in (row.cells[last] for row in table.rows):
                assert cell is None or cell.best == (f"{cell.mean:.4g}" == f"{least:.4g}")
