"""Studies under conditions and guidance: the reference against the law itself, and a line where a theorem has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from whole_runs import LABELLED, recipe_of, registry, run

import mixvel_core as mx
from mixvel_core.analysis.records import read_study
from mixvel_core.analysis.settings import study_settings, theory_settings
from mixvel_core.analysis.study import study
from mixvel_core.cost.estimate import sampling
from mixvel_core.cost.flops import ModelFlops
from mixvel_core.errors import UsageError
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.shards import JoinedShard
from mixvel_core.protocols import CLASS, Condition
from mixvel_core.protocols.progress import Silent
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.ode import flow
from mixvel_guidance.guidance import ClassifierFree
from mixvel_oracles.labelled import labelled_expert

STUDY = (
    LABELLED
    + """\
study:
  selectors: [mixture]
  integrators: [ddim]
  steps: [16, 32]
  count: 12
  tolerance: 1.0e-6
  round_trip: 4
"""
)
SCALES = {
    "guided": "study.guidance={use: cfg, scale: 3}",
    "shared": "study.guidance={use: cfg, scale: 3, route: shared}",
    "away": "study.guidance={use: autoguidance, scale: 2}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose models are made."""
    made = tmp_path_factory.mktemp("labelled") / "run"
    for stage in ("routers", "monolith", "experts"):
        run(STUDY, made, stage=stage)
    return made


def opened(folder: Path, *overrides: str) -> Run:
    return mx.open_run(folder, overrides)


@pytest.mark.parametrize("guidance", SCALES)
def test_samples_end_at_the_guided_flow_as_steps_become_short(folder: Path, guidance: str, tmp_path: Path) -> None:
    found = study(opened(folder, SCALES[guidance]), registry(), tmp_path, Silent())
    # Of few samples, one that ends in another component would be all of the mean.
    error = [row.median for row in found.rows]
    assert error[0] > 1.7 * error[1]
    assert found.conditions["condition"] == "balanced"
    assert found.conditions["guidance"]["use"] == {"away": "autoguidance"}.get(guidance, "cfg")
    assert all(row.round_trip is not None and row.round_trip < 0.5 for row in found.rows)
    assert read_study(tmp_path) == found


def test_the_reference_is_the_guided_flow_of_the_law(folder: Path, tmp_path: Path) -> None:
    opening = opened(folder, SCALES["guided"])
    study(opening, registry(), tmp_path, Silent())
    settings = study_settings(opening, registry())
    kept = [np.load(path) for path in (folder / "references").glob("*.npz")]
    law = JoinedShard(parts=opening.shards.parts).law
    assert law is not None
    assert law.classes is not None
    schedule, guidance = opening.models.schedule.build(), ClassifierFree(scale=3.0)
    whole = labelled_expert(law, law.classes, schedule, 2)
    given = whole.given(Condition(values={CLASS: torch.arange(settings.count) % 2}))

    def denoise(x: torch.Tensor, t: float) -> torch.Tensor:
        at_t = x.new_full((len(x),), t)
        return guidance.combine(given.denoise(x, at_t), whole.denoise(x, at_t), t)

    x = SampleDraws(seed=0, index=torch.arange(settings.count)).noise((3,), torch.float64)
    end = flow(denoise, x, schedule=schedule, times=(1.0, settings.delta), rtol=1e-7, atol=1e-7)[-1].numpy()
    assert min(float(np.abs(one["x"] - end).max()) for one in kept) < 1e-4


def test_what_holds_without_guidance_alone_is_refused_in_a_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sample\.guidance is cfg: the bounds hold for a mixture's own flow"):
        theory_settings(opened(folder, "sample.guidance=cfg"), registry())
    assert theory_settings(opened(folder), registry()).condition is None
    with pytest.raises(UsageError, match=r"study\.likelihood: is that of items without a condition"):
        study(opened(folder, "study.likelihood={count: 4}"), registry(), tmp_path, Silent())


def test_guided_samples_are_planned_and_counted_with_both_halves() -> None:
    def planned(*overrides: str) -> str:
        methods = ("sample.methods={mixed: {}}", "sample.steps=[4]", "sample.count=100")
        return sampling(recipe_of(LABELLED, *methods, *overrides), [], 3)

    assert "400 to 1.2 k evaluations" in planned()
    assert "800 to 2.4 k evaluations" in planned("sample.guidance=cfg")
    assert "800 to 1.6 k evaluations" in planned("sample.guidance=autoguidance")
    # The uniform grid from 1 begins two of its four steps at t of at least 0.6.
    assert "600 to 1.8 k evaluations" in planned("sample.guidance={use: cfg, low: 0.6}")
    flops = ModelFlops(experts=(10, 20), monolith=7, routers={"a": 3})
    usage = np.ones((2, 2), np.float32)
    assert flops.of_usage(usage, 8.0, "a") == pytest.approx(60 + 6 + 4 * 15)
    assert flops.of_usage(usage, 6.0, "a", by_weaker=True) == pytest.approx(60 + 6 + 2 * 7)
