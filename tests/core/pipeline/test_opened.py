"""A run opened again: one line to a sampler, the samples of the run's table, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from whole_runs import EXACT, run

import mixvel_core as mx
from mixvel_core.errors import RecipeError, UsageError
from mixvel_core.pipeline.opened import Run
from mixvel_core.recipe.grids import ShiftedGrid


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Exact experts, sampled; nobody changes it."""
    folder = tmp_path_factory.mktemp("opened") / "run"
    run(EXACT, folder, "sample.threads=1", stage="sample")
    return mx.open_run(folder)


def test_one_line_from_a_folder_to_samples(opened: Run) -> None:
    samples = mx.open_run(opened.folder).sampler(selector="cached", integrator="2m", steps=20).sample(64)
    assert samples.x.shape == (64, 4)
    assert samples.evaluations.tolist() == [20] * 64


def test_a_grid_may_be_a_shift_or_its_times(opened: Run) -> None:
    assert opened.sampler(steps=4, grid={"shift": 3}).grid == ShiftedGrid(shift=3.0)
    times = [1.0, 0.4, 0.1]
    sampler = opened.sampler(steps=2, grid=times, delta=0.1)
    assert sampler.sample(2).times.tolist() == times[:2]


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("mixed", {}),
        ("drawn", {"selector": "iid", "integrator": "heun"}),
        ("guessed", {"router": "prior", "selector": {"use": "topk", "k": 1}}),
        ("alone", {"monolith": True}),
    ],
)
def test_it_samples_what_the_run_did(opened: Run, method: str, given: Mapping[str, Any]) -> None:
    found = opened.sampler(steps=3, **given).sample(8)
    with np.load(opened.folder / f"samples/{method}/steps-3-seed-0.npz") as stored:
        np.testing.assert_allclose(found.x.numpy(), stored["x"], atol=1e-6)
        assert found.evaluations.tolist() == stored["evaluations"].tolist()


def test_a_run_without_conditions_has_no_guidance_and_takes_no_condition(opened: Run) -> None:
    with pytest.raises(UsageError, match="guidance leads to a condition, and the run has none"):
        opened.sampler(guidance=2)
    with pytest.raises(UsageError, match="a condition is given, and the run has none"):
        opened.condition(1)
    with pytest.raises(UsageError, match="neither experts nor router read a condition"):
        evolve(opened.sampler(), guidance=mx.build("guidance", "cfg")).sample(2)
    assert opened.sampler(guidance="none", steps=2).sample(2).x.shape[0] == 2


def test_grid_end_and_weights_are_those_given(opened: Run) -> None:
    sampler = opened.sampler(steps=4, grid="logsnr", delta=0.2, weights={"temperature": 0.5})
    assert (sampler.grid, sampler.delta, sampler.weights.temperature, sampler.weights.floor) == ("logsnr", 0.2, 0.5, 0)
    late = opened.sampler(weights={"top": 2, "from": 0.5, "soft": 3}).weights
    assert (late.top, late.from_, late.soft) == (2, 0.5, 3.0)
    assert opened.sampler().experts is sampler.experts, "models are loaded once"


@pytest.mark.parametrize(
    ("given", "error", "place"),
    [
        ({"selector": "cashed"}, RecipeError, r"selector.*cached"),
        ({"selector": {"use": "topk", "q": 3}}, RecipeError, r"selector\.q"),
        ({"integrator": {"use": "2m", "order": 3}}, RecipeError, r"integrator\.order"),
        ({"steps": 0}, RecipeError, r"steps"),
        ({"weights": {"top": 0}}, RecipeError, r"weights\.top  must be at least 1, not 0"),
        (
            {"weights": {"top": 9}},
            RecipeError,
            r"^sample\.weights\.top  must be at most 3, the number of experts, not 9$",
        ),
        ({"selector": {"use": "topk", "k": 4}}, RecipeError, r"^sample\.selector\.k  must be at most 3, .*, not 4$"),
        ({"weights": {"soft": 0.5}}, RecipeError, r"weights\.soft  must be at least 1"),
        ({"weights": {"from": 1.5}}, RecipeError, r"weights\.from  must be above 0 and at most 1"),
        ({"weights": {"from_": 0.5}}, RecipeError, r"weights\.from_ .*from"),
        ({"grid": "unifrom"}, RecipeError, r"grid.*uniform"),
        ({"weights": {"temperature": 0.0}}, RecipeError, r"weights\.temperature"),
        ({"router": "oracel"}, UsageError, r"oracel.*exact, prior"),
    ],
)
def test_what_it_cannot_have_is_named(
    opened: Run, given: Mapping[str, Any], error: type[Exception], place: str
) -> None:
    with pytest.raises(error, match=place):
        opened.sampler(**given)


def test_a_run_without_a_monolith_has_no_sampler_of_one(tmp_path: Path) -> None:
    methods = "sample.methods={mixed: {}}"
    run(EXACT, tmp_path, "monolith=null", methods, stage="sample")
    with pytest.raises(UsageError, match="no monolith"):
        mx.open_run(tmp_path).sampler(monolith=True)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.yaml"):
        mx.open_run(tmp_path)
