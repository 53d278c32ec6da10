from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve

from mixvel_core.report.answer import half_width, sentence, verdicts
from mixvel_core.report.tables import ScoreCell, ScoreRow, ScoreTable


def cell(*values: float, evaluations: float = 10.0, halves: tuple[float, ...] = ()) -> ScoreCell:
    return ScoreCell(
        values=dict(enumerate(values)),
        mean=sum(values) / len(values),
        spread=None,
        evaluations=evaluations,
        flops=1e6 * evaluations,
        seconds=1.0,
        halves=halves,
    )


def table(larger: bool = False, **methods: ScoreCell) -> ScoreTable:
    rows = tuple(ScoreRow(method=name, cells=(one,)) for name, one in methods.items())
    return ScoreTable(
        metric="w2", conditions={}, steps=(10,), rows=rows, floor=None, noise=None, larger_is_better=larger
    )


def test_differences_are_taken_seed_by_seed() -> None:
    # Seeds differ by 10, methods by 0.1 in each: nothing that seeds share makes methods alike.
    a, b = cell(1.0, 11.0, 21.0), cell(1.1, 11.1, 21.1001)
    c = cell(0.9, 11.3, 21.2)
    [found] = verdicts([table(a=a, b=b, c=c)], [])
    assert found.best.method == "a"
    assert [(one.method, one.side) for one in found.others] == [("b", "worse"), ("c", "not distinguished")]
    assert found.basis == "3 seeds"
    # The interval of a mean of three: Student's t with two degrees of freedom is 4.3027.
    assert found.best.half_width == pytest.approx(4.3027 * 10 / 3**0.5, rel=1e-4)


def test_halves_stand_for_seeds_where_there_is_one() -> None:
    a = cell(1.0, halves=(1.5, 1.7, 1.6))
    b = cell(1.2, halves=(1.71, 1.90, 1.8))
    [found] = verdicts([table(a=a, b=b)], [])
    assert (found.best.method, found.named("worse"), found.basis) == ("a", ("b",), "3 random halves of the samples")
    [found] = verdicts([table(a=a, b=evolve(b, halves=(1.4, 2.2, 1.8)))], [])
    assert found.named("not distinguished") == ("b",)
    [found] = verdicts([table(a=evolve(a, halves=()), b=b)], [])
    assert found.named("unknown") == ("b",)
    assert "without an uncertainty" in sentence([found])


def test_the_spread_of_halves_is_the_standard_error_of_a_mean() -> None:
    # Of a mean the answer is known: sigma / sqrt(n).
    rng = np.random.default_rng(0)
    values = rng.standard_normal(400)
    halves = [values[rng.permutation(400)[:200]].mean() for _ in range(4000)]
    assert np.std(halves) == pytest.approx(values.std() / 400**0.5, rel=0.05)
    assert half_width([1.0], halves=True) is None


def test_what_costs_more_is_named_and_what_saw_all_data_stands_aside() -> None:
    assert [one.floor for one in verdicts([evolve(table(a=cell(1.0)), floor=f) for f in (0.9, 1.1)], [])] == [None, 1.1]
    dear = cell(0.1, 0.2, evaluations=46.0)
    mono = cell(0.5, 0.6)
    [found] = verdicts([table(a=cell(1.0, 1.1), b=cell(2.0, 2.1, evaluations=10.4), full=dear, one=mono)], ["one"])
    assert (found.best.method, found.evaluations) == ("a", 10.0)
    assert [one.method for one in found.others] == ["b"]
    [over] = found.dearer
    assert (over.method, over.side) == ("full", "better")
    assert over.cost_ratio == pytest.approx(4.6)
    assert found.monolith is not None
    assert (found.monolith.method, found.monolith.side) == ("one", "better")


def test_larger_may_be_better_and_a_sentence_names_what_wins() -> None:
    [found] = verdicts([table(larger=True, a=cell(0.1, 0.2), b=cell(0.8, 0.9))], [])
    assert (found.best.method, found.named("worse")) == ("b", ("a",))
    assert sentence([found]) == (
        "At equal cost b is the best routed sampler by w2; every other one is worse by more than the uncertainty."
    )
    other = evolve(found, metric="recall", best=evolve(found.best, method="a"), others=())
    assert sentence([found, other]).startswith(
        "At equal cost no routed sampler is best by every score: b by w2; a by recall"
    )
    assert verdicts([table(one=cell(1.0))], ["one"]) == ()
    assert sentence([]) == ""
