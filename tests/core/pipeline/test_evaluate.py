"""Evaluation: which real items are compared with which, what is read of them, and how several scores are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from attrs import define, field, frozen

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.evaluate import evaluate
from mixvel_core.pipeline.sample import SampleSpec, StoredSamples
from mixvel_core.pipeline.shards import Shards, StoredShard
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


@frozen
class Named:
    """In the place of a recipe's metric."""

    metric: Metric
    name: str = "recorder"
    options: None = None

    def build(self) -> Metric:
        return self.metric


def shards(folder: Path, count: int) -> Shards:
    items = np.arange(count * 4, dtype=np.uint8).reshape(count, 1, 2, 2)
    (folder / "shards" / "0").mkdir(parents=True)
    np.save(folder / "shards" / "0" / "items.npy", items)
    part = StoredShard(folder=folder / "shards" / "0", index=0, count=count, fraction=1.0, shape=(1, 2, 2))
    return Shards(key="k", parts=(part,), about={})


def samples(folder: Path, count: int) -> StoredSamples:
    artifact = Artifact(folder=folder / "samples", key="s", name="steps-1-seed-0")
    artifact.folder.mkdir()
    x = np.random.default_rng(0).uniform(-1, 1, (count, 1, 2, 2)).astype(np.float32)
    np.savez(artifact.folder / "steps-1-seed-0.npz", x=x, evaluations=np.ones(count))
    artifact.commit(["steps-1-seed-0.npz"])
    draw = SampleSpec.__new__(SampleSpec)
    for name, value in {"method": "m", "steps": 1, "seed": 0}.items():
        object.__setattr__(draw, name, value)
    return StoredSamples(draw=draw, artifact=artifact)


@pytest.mark.parametrize(("reference", "compared"), [("same", 12), ("rest", 28)])
def test_held_out_items_and_the_reference_are_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, compared: int
) -> None:
    monkeypatch.setattr("mixvel_core.pipeline.evaluate.plain", str)
    recorder = Recorder()
    options = EvaluateOptions(metrics=(Named(recorder),), reference=reference)  # type: ignore[arg-type]  # in its place
    real = shards(tmp_path, 40)
    scores = evaluate([samples(tmp_path, 12)], real, options, tmp_path, Silent())
    floor, noise, drawn = recorder.shown
    (against,) = recorder.references
    assert (len(floor), len(noise), len(drawn), len(against)) == (12, 12, 12, compared)
    everything = {tuple(row) for row in to_float(real.as_one.items[:]).reshape(40, 4).tolist()}
    held, others = ({tuple(row) for row in part.reshape(-1, 4).tolist()} for part in (floor, against))
    assert held <= everything
    assert others <= everything
    assert not held & others
    assert [(row["metric"], row["larger_is_better"]) for row in scores.rows] == [("near", False), ("covered", True)]
    assert [row["metric"] for row in scores.floors] == ["near", "covered"]
