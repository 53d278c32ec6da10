"""Whole studies: known orders, costs, what is kept, what the report shows, and what a wrong request gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import asdict, evolve
from command import Command
from trainable import Watching
from whole_runs import EXACT, TRAINED, Bomb, KilledError, recipe_of, registry, run, snapshot

from mixvel_core.analysis.commands import measure_recipe, measure_run
from mixvel_core.analysis.records import SlopeRow, StudyResult, StudyRow, read_study
from mixvel_core.analysis.settings import study_settings
from mixvel_core.analysis.study import study
from mixvel_core.errors import MixvelError, UsageError
from mixvel_core.pipeline.opened import open_run
from mixvel_core.protocols.progress import Silent

CURVES = (
    EXACT.replace("steps: [2, 3]", "steps: [2, 3]\n  delta: 0.05")
    + """\
study:
  selectors: [mixture, cached, {use: cached, tolerance: 0.3}, iid]
  integrators: [euler, 2m]
  steps: [80, 20, 40]
  count: 40
"""
)
SMALL = (
    "study.selectors=[mixture, iid]",
    "study.integrators=[ddim]",
    "study.steps=[2, 3, 4]",
    "study.count=5",
    "study.tolerance=1e-4",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a study with known answers."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    measure_recipe(study, recipe_of(CURVES), folder, progress=Silent())
    return folder


@pytest.fixture(scope="module")
def made(whole: Path) -> StudyResult:
    """What it found, read back."""
    found = read_study(whole)
    assert found is not None
    return found


def models(folder: Path) -> Path:
    for stage in ("routers", "monolith", "experts"):
        run(EXACT, folder, stage=stage)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A run whose models are made, to be studied in a moment."""
    return models(tmp_path / "run")


def test_a_study_computes_with_the_threads_of_sampling(small: Path) -> None:
    seen: set[int] = set()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        watching = Watching(on_update=lambda done, note: seen.add(torch.get_num_threads()))
        measure_recipe(study, recipe_of(EXACT, *SMALL, "sample.threads=1"), small, progress=watching)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == {1}


def rows_of(found: StudyResult, selector: str, integrator: str) -> list[StudyRow]:
    return [row for row in found.rows if (row.selector, row.integrator) == (selector, integrator)]


def slope_of(found: StudyResult, integrator: str) -> SlopeRow:
    [slope] = (s for s in found.slopes if (s.selector, s.integrator, s.quantity) == ("mixture", integrator, "median"))
    return slope


def test_orders_of_the_full_mixture_are_measured(made: StudyResult) -> None:
    euler, second = slope_of(made, "euler"), slope_of(made, "2m")
    assert euler.slope == pytest.approx(-1.0, abs=0.2)
    # With 20 steps the last ones are so unequal that 2M bounds its extrapolation: that error lies below the line.
    assert second.slope < -1.4
    for slope, straight in ((euler, 0.99), (second, 0.98)):
        assert slope.low <= slope.slope <= slope.high
        assert slope.r2 is not None
        assert slope.r2 > straight
        assert (slope.range, slope.at_floor, slope.flattens) == ((20, 80), (), False)


def test_every_curve_has_its_rows_and_slopes(made: StudyResult) -> None:
    curves = [
        (selector, integrator, "uniform")
        for selector in ("mixture", "cached", "cached tolerance=0.3", "iid")
        for integrator in ("euler", "2m")
    ]
    wanted = [(*curve, n) for curve in curves for n in (20, 40, 80)]
    assert [(r.selector, r.integrator, r.grid, r.steps) for r in made.rows] == wanted
    assert [(s.selector, s.integrator, s.grid, s.quantity) for s in made.slopes] == [
        (*curve, quantity) for curve in curves for quantity in ("median", "rms", "mean_square")
    ]


def test_evaluations_are_counted(made: StudyResult) -> None:
    for row in made.rows:
        if row.selector == "mixture":
            assert row.evaluations == 3 * row.steps
        elif row.selector == "cached tolerance=0.3":
            assert row.steps < row.evaluations < 3 * row.steps
        else:
            assert row.evaluations == row.steps


def test_one_expert_a_step_follows_the_mixture_if_it_remembers_the_others(made: StudyResult) -> None:
    mixture, cached, iid = (rows_of(made, name, "2m")[-1].median for name in ("mixture", "cached", "iid"))
    assert cached < 2 * mixture < 0.2 * iid


def test_the_floor_lies_far_below_and_conditions_say_what_holds(made: StudyResult) -> None:
    assert made.floor.rms < 1e-6 < 1e-2 * min(row.rms for row in made.rows)
    assert made.reference["kind"] == "dopri5"
    assert made.reference["rtol"] == 1e-9
    wanted = {"run": "exact", "router": "exact", "count": 40, "seed": 0, "delta": 0.05, "precision": "float64"}
    assert {name: made.conditions[name] for name in wanted} == wanted


def test_the_same_study_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    measure_run(study, small, SMALL, out=first, progress=Silent())
    again = models(tmp_path / "again")
    measure_run(study, again, (*SMALL, "sample.batch=2"), progress=Silent())
    # But for how long it took, with which the checksum differs.
    found = [read_study(folder) for folder in (first, again)]
    assert None not in found
    assert [evolve(one, timings=()) for one in found if one] == 2 * [evolve(found[0], timings=())]  # type: ignore[misc]  # it is there


def test_another_count_does_not_change_a_samples_reference(small: Path) -> None:
    def references(count: int) -> np.ndarray:
        before = set((small / "references").glob("*.npz"))
        measure_run(study, small, (*SMALL, f"study.count={count}"), progress=Silent())
        [new] = set((small / "references").glob("*.npz")) - before
        x: np.ndarray = np.load(new)["x"]
        return x

    few, many = references(3), references(7)
    assert many.shape == (7, 4)
    assert np.array_equal(few, many[:3])


def test_a_study_goes_on_where_it_was_killed(small: Path) -> None:
    counting = Bomb()
    measure_run(study, small, (*SMALL, "study.seed=1"), progress=counting)
    assert counting.events > 40
    with pytest.raises(KilledError):
        # Eight events were those of counting FLOPs, which is done once a run.
        measure_run(study, small, SMALL, progress=Bomb(fuse=counting.events - 8 - 12))
    kept = {name: facts for name, facts in snapshot(small).items() if name.endswith(".npz")}
    done = measure_run(study, small, SMALL, progress=Silent())
    after = snapshot(small)
    assert {name: after[name] for name in kept} == kept
    # Of two seeds: six cells, and the round trips of the three of them that follow an ODE.
    assert len([name for name in after if name.startswith("study/") and name.endswith(".npz")]) == 2 * (6 + 3)
    # And a third time nothing is made at all.
    calm = Bomb()
    assert measure_run(study, small, SMALL, progress=calm) == done
    assert {n: f for n, f in snapshot(small).items() if n.endswith(".npz")} == {
        n: f for n, f in after.items() if n.endswith(".npz")
    }
    assert calm.events < 5


def test_another_reference_makes_no_sample_again(small: Path) -> None:
    first = measure_run(study, small, SMALL, progress=Silent())
    before = {name: facts for name, facts in snapshot(small).items() if name.startswith("study/")}
    second = measure_run(study, small, (*SMALL, "study.reference=ddim-1000"), progress=Silent())
    assert {name: facts for name, facts in snapshot(small).items() if name.startswith("study/")} == before
    assert second.reference["kind"] == "ddim-1000"
    # Two references of one flow differ by the error of the coarser one, which it knows about itself.
    assert second.rows[0].median == pytest.approx(first.rows[0].median, abs=3 * second.floor.p90)
    assert second.floor.median > 10 * first.floor.median > 0


def test_the_reference_is_of_the_mixture_with_the_weights_that_are_sampled(small: Path) -> None:
    line = (*SMALL, "study.selectors=[mixture]", "study.integrators=[2m]", "study.steps=[80]", "sample.delta=0.05")
    sharp = measure_run(study, small, (*line, "sample.weights.temperature=0.3"), progress=Silent())
    plain = measure_run(study, small, line, progress=Silent())
    assert sharp.rows[0].median < 0.05
    assert sharp.rows != plain.rows


def test_networks_are_studied_in_float32(tmp_path: Path) -> None:
    two = "partition.groups=[[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]"
    cheap = ("monolith=null", "sample.methods={mixed: {}}", "study.tolerance=0.1", "study.steps=[2, 4]")
    recipe = recipe_of(TRAINED, two, *SMALL, *cheap)
    made = measure_recipe(study, recipe, tmp_path / "run", progress=Silent())
    assert made.conditions["precision"] == "float32"
    assert [row.evaluations for row in made.rows] == [4, 8, 2, 4]
    assert all(np.isfinite(row.rms) and row.rms > 0 for row in made.rows)
    [reference] = (tmp_path / "run" / "references").glob("*.npz")
    assert np.load(reference)["x"].dtype == np.float32
    finished = open_run(tmp_path / "run", ["study.tolerance=null"])
    assert study_settings(finished, registry()).tolerance == 1e-5


def test_times_that_the_schedule_has_not_are_refused_before_anything_is_measured(small: Path) -> None:
    late = ("sample.delta=0.999", "study.grids=[uniform, logsnr]")
    with pytest.raises(UsageError, match=r"grid logsnr: 2 steps to delta 0\.999 do not fall strictly"):
        measure_run(study, small, (*SMALL, *late), progress=Silent())
    assert not (small / "study").exists()
    assert not (small / "references").exists()


def test_a_run_with_a_report_gets_the_study_into_it_unless_it_goes_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(EXACT, folder)
    page = folder / "report" / "index.html"
    assert '<section id="study">' not in page.read_text()
    before = snapshot(folder)
    measure_run(study, folder, SMALL, out=tmp_path / "there", progress=Silent())
    assert read_study(tmp_path / "there") is not None
    assert {name: facts for name, facts in snapshot(folder).items() if name in before} == before
    assert not (folder / "study.json").exists()

    others = {name: facts for name, facts in before.items() if not name.startswith("report/")}
    made = measure_run(study, folder, SMALL, progress=Silent())
    assert '<section id="study">' in page.read_text()
    assert json.loads((folder / "report" / "report.json").read_text())["study"]["rows"] == [
        asdict(row) for row in made.rows
    ]
    after = snapshot(folder)
    assert {name: after[name] for name in others} == others
    # It stays there when the run is run again, and nothing is done.
    run(EXACT, folder)
    assert snapshot(folder) == after


def test_a_recipe_that_differs_in_its_study_alone_goes_on_in_the_same_run(small: Path) -> None:
    before = {name: facts for name, facts in snapshot(small).items() if name.endswith(".safetensors")}
    measure_recipe(study, recipe_of(EXACT, *SMALL), small, progress=Silent())
    assert {name: facts for name, facts in snapshot(small).items() if name.endswith(".safetensors")} == before
    with pytest.raises(UsageError, match=r"made by another recipe \(seed: 0 -> 1\)"):
        measure_recipe(study, recipe_of(EXACT, *SMALL, "seed=1"), small, progress=Silent())


def test_the_command_prints_rows_slopes_and_the_floor(mixvel: Command, small: Path) -> None:
    done = mixvel("study", str(small), *SMALL)
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    # Evaluations stand before four errors and the round trip; a time and FLOPs may be one word or two.
    assert ["mixture", "ddim", "uniform", "2", "6"] in [[*line[:4], line[-6]] for line in lines if len(line) > 8]
    assert ["iid", "ddim", "uniform", "median"] in [line[:4] for line in lines]
    assert str(small / "study.json") in done.out


@pytest.mark.parametrize(
    ("override", "code", "line"),
    [
        ("study.selectors=[cachd]", 3, "study.selectors"),
        ("study.steps=[10, 10]", 2, "steps: 10 appears twice"),
        ("study.selectors=[iid, iid]", 2, "selectors: iid appears twice"),
        ("study.range=[10, 15]", 2, "10 to 15"),
        ("study.router=exat", 2, "exat"),
        ("sample.delta=0", 2, "sample.delta"),
        ("study.integrators=[ancestral]", 2, "integrator ancestral follows an SDE"),
    ],
)
def test_wrong_requests_get_a_line(mixvel: Command, whole: Path, override: str, code: int, line: str) -> None:
    before = snapshot(whole)
    done = mixvel("study", str(whole), override)
    assert done.code == code, done.err
    assert len(done.problems) == 1, done.err
    assert line in done.problems[0]
    assert snapshot(whole) == before


@pytest.mark.parametrize("spoil", [lambda text: "{", lambda text: text.replace('"rows"', '"lines"')])
def test_a_damaged_study_is_said_so(whole: Path, tmp_path: Path, spoil: Callable[[str], str]) -> None:
    (tmp_path / "study.json").write_text(spoil((whole / "study.json").read_text()))
    with pytest.raises(MixvelError, match=r"study\.json"):
        read_study(tmp_path)
