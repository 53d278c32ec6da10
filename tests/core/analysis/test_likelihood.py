"""The likelihood and the round trips of a study: closed forms, what is kept, and what cannot be measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Command
from whole_runs import EXACT, TRAINED, recipe_of, run

from mixvel_core.analysis.commands import measure_recipe, measure_run
from mixvel_core.analysis.records import StudyResult, read_study
from mixvel_core.analysis.study import study
from mixvel_core.errors import UsageError
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import open_run
from mixvel_core.protocols import DensityExpert
from mixvel_core.protocols.progress import Silent

DELTA, COUNT = 0.05, 3
SMALL = (
    "study.selectors=[mixture, iid]",
    "study.integrators=[pc]",
    "study.grids=[chebyshev]",
    "study.steps=[10, 20]",
    "study.count=4",
    "study.round_trip=3",
    "study.tolerance=1e-8",
)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a study of closed forms, with likelihoods."""
    folder = tmp_path_factory.mktemp("exact") / "run"
    for stage in ("routers", "monolith", "experts"):
        run(EXACT, folder, stage=stage)
    line = (*SMALL, f"sample.delta={DELTA}", f"study.likelihood={{count: {COUNT}}}")
    measure_run(study, folder, line, progress=Silent())
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of small networks on images."""
    folder = tmp_path_factory.mktemp("images") / "run"
    for stage in ("routers", "monolith", "experts"):
        run(TRAINED, folder, stage=stage)
    return folder


def found_in(folder: Path) -> StudyResult:
    found = read_study(folder)
    assert found is not None
    return found


def test_likelihoods_are_those_of_the_law(exact: Path) -> None:
    opened = open_run(exact)
    loaded = Loaded(opened.models, opened.recipe.sample)
    items = opened.shards.as_one.items
    rows = np.random.default_rng(0).choice(len(items), COUNT, replace=False)
    x = torch.from_numpy(np.asarray(items[rows])).double()
    t = torch.full((COUNT,), DELTA, dtype=torch.float64)
    size = math.prod(opened.shards.shape)
    parts = []
    for expert, pi in zip(opened.models.experts, opened.shards.fractions, strict=True):
        one = expert.load(loaded.device)
        assert isinstance(one, DensityExpert)
        parts.append(one.log_density(x, t) - 0.5 * size * math.log(2 * math.pi) + math.log(pi))
    bits = -torch.stack(parts, dim=1).logsumexp(1) / (size * math.log(2.0))
    made = {row.model: row for row in found_in(exact).likelihood}
    for model in ("mixture", "experts"):
        assert made[model].nll == pytest.approx(float(bits.mean()), abs=1e-6)
        assert made[model].error == pytest.approx(float(bits.std()) / COUNT**0.5, abs=1e-6)
    conditions = found_in(exact).conditions
    assert (conditions["nll trace"], conditions["nll levels"], conditions["nll items"]) == ("exact", None, COUNT)


def test_round_trips_are_of_curves_that_follow_an_ode(exact: Path) -> None:
    trips = {(row.selector, row.steps): row.round_trip for row in found_in(exact).rows}
    assert trips["iid", 10] is None
    assert trips["iid", 20] is None
    first, second = trips["mixture", 10], trips["mixture", 20]
    assert first is not None
    assert second is not None
    assert 0 < second < first < 0.1


def test_what_is_measured_is_kept(exact: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (exact / "study").iterdir()}
    line = (*SMALL, f"sample.delta={DELTA}", f"study.likelihood={{count: {COUNT}}}")
    before = found_in(exact)
    assert measure_run(study, exact, line, progress=Silent()) == before
    assert {path: path.stat().st_mtime_ns for path in (exact / "study").iterdir()} == kept


def test_networks_on_images_are_measured_and_shown(mixvel: Command, images: Path) -> None:
    line = (*SMALL, "study.steps=[2]", "study.likelihood={count: 2, levels: 17}", "study.interpolations=2")
    done = mixvel("study", str(images), *line, "study.tolerance=0.05")
    assert done.code == 0, done.err
    found = found_in(images)
    assert [row.model for row in found.likelihood] == ["mixture", "experts", "monolith"]
    assert all(math.isfinite(row.nll) for row in found.likelihood)
    assert found.conditions["nll trace"] == "Hutchinson, 1 probe"
    assert "nll, bits per dimension, of 2 items" in done.out
    with np.load(images / "study" / found.interpolation["file"]) as arrays:
        items, between = arrays["items"], arrays["between"]
    assert items.shape == (4, 1, 8, 8)
    assert between.shape == (2 * found.interpolation["parts"], 1, 8, 8)
    assert np.isfinite(between).all()


def test_what_has_no_likelihood_is_refused(images: Path, exact: Path) -> None:
    for folder in (images, exact):
        with pytest.raises(UsageError, match=r"sample\.delta is 0, where a flow has no density"):
            measure_run(
                study,
                folder,
                ("sample.delta=0", "study.reference=ddim-1000", "study.likelihood={}", *SMALL),
                progress=Silent(),
            )


def test_without_delta_there_is_no_round_trip(tmp_path: Path) -> None:
    text = EXACT.replace("steps: [2, 3]", "steps: [2, 3]\n  delta: 0") + (
        "study: {selectors: [mixture], integrators: [ddim], steps: [2], count: 2, reference: ddim-1000}\n"
    )
    measure_recipe(study, recipe_of(text), tmp_path / "run", progress=Silent())
    assert [row.round_trip for row in found_in(tmp_path / "run").rows] == [None]
