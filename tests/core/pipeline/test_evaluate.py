"""Evaluation: which real items are compared with which, what is read of them, and how several scores are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from attrs import define, field, frozen
from report_runs import VECTORS, scored
from whole_runs import LABELLED

from mixvel_core.pipeline.evaluate import evaluate
from mixvel_core.protocols import Items, Metric, Score
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.model import EvaluateOptions


@define
class Recorder:
    """A metric that notes what it is shown."""

    references: list[np.ndarray] = field(factory=list)
    shown: list[np.ndarray] = field(factory=list)

    def score(self, samples: Items, reference: Items) -> Score:
        return self.against(reference).scores(samples)[0]

    def against(self, reference: Items) -> Recorder:
        self.references.append(reference[:])
        return self

    def scores(self, samples: Items) -> Sequence[Score]:
        self.shown.append(samples[:])
        return Score(name="near", value=1.0), Score(name="covered", value=0.5, larger_is_better=True)


@define
class Classes(Recorder):
    """One that also scores samples by their class."""

    labels: list[list[int]] = field(factory=list)

    def class_scores(self, samples: Items, labels: np.ndarray) -> Sequence[Score]:
        self.labels.append(labels.tolist())
        return (Score(name="agreement", value=float(len(samples))),)


@frozen
class Named:
    """In the place of a recipe's metric."""

    metric: Metric
    name: str = "recorder"
    options: None = None

    def build(self) -> Metric:
        return self.metric


@pytest.mark.parametrize("labelled", [True, False])
def test_samples_under_labels_are_scored_by_their_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled: bool
) -> None:
    run = scored(LABELLED, tmp_path / "run")
    for module in ("evaluate", "scores"):
        monkeypatch.setattr(f"mixvel_core.pipeline.{module}.keyed", lambda value: "")
    metric = Classes()
    options = EvaluateOptions(metrics=(Named(metric),))  # type: ignore[arg-type]  # in its place
    scores = evaluate(run.samples, run.shards, options, run.flops, tmp_path, Silent(), labelled=labelled)
    assert metric.labels == ([[0, 1] * 4] * len(run.samples) if labelled else [])
    found = [row["value"] for row in scores.rows if row["metric"] == "agreement"]
    assert found == ([8.0] * len(run.samples) if labelled else [])
    assert not [row for row in (*scores.floors, *scores.noise) if row["metric"] == "agreement"]


@pytest.mark.parametrize(("reference", "compared"), [("same", 8), ("rest", 52)])
def test_held_out_items_and_the_reference_are_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, compared: int
) -> None:
    run = scored(VECTORS, tmp_path / "run")
    for module in ("evaluate", "scores"):
        monkeypatch.setattr(f"mixvel_core.pipeline.{module}.keyed", lambda value: "")
    recorder = Recorder()
    options = EvaluateOptions(metrics=(Named(recorder),), reference=reference)  # type: ignore[arg-type]  # in its place
    scores = evaluate(run.samples[:1], run.shards, options, run.flops, tmp_path, Silent())
    floor, noise, drawn = recorder.shown
    (against,) = recorder.references
    assert (len(floor), len(noise), len(drawn), len(against)) == (8, 8, 8, compared)
    everything = {tuple(row) for row in run.shards.as_one.items[:].tolist()}
    held, others = ({tuple(row) for row in part.tolist()} for part in (floor, against))
    assert held <= everything
    assert others <= everything
    assert not held & others
    assert [(row["metric"], row["larger_is_better"]) for row in scores.rows] == [("near", False), ("covered", True)]
    assert [row["metric"] for row in scores.floors] == ["near", "covered"]
