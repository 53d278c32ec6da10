"""The kit bites: broken data sources, partitioners, metrics and launchers are caught, and told what is wrong."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from attrs import evolve, frozen
from conformance import Mutant, each_mutant, require_complaint

from mixvel_core.data.items import Chosen
from mixvel_core.errors import SamplingError, TrainingError
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import Data, GaussianLaw, Job, Progress, Score
from mixvel_core.randomness import key
from mixvel_core.training.loop import train


def _data() -> Data:
    rng = np.random.default_rng(0)
    return Data(
        items=rng.uniform(-1, 1, (9, 2)).astype(np.float32),
        labels=np.arange(9) % 3,
        attributes={"old": np.arange(9)},
        provenance={"source": "a generator"},
    )


@frozen(kw_only=True)
class Source:
    change: Callable[[Data], Data] = lambda data: data

    def load(self) -> Data:
        return self.change(_data())


LAW = GaussianLaw(weights=np.full(3, 0.5), means=np.zeros((3, 2)), covariances=np.stack([np.eye(2)] * 3))
COUNT = itertools.count()


class Unsorted(Chosen):
    """Items that come back sorted, whatever order is asked for."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.source[rows if isinstance(rows, slice) else np.sort(rows)]


def _shift(data: Data) -> Data:
    return evolve(data, items=np.roll(data.items[:], next(COUNT), axis=0))


SOURCES: list[Mutant] = [
    ("nothing", Source(), ""),
    ("bytes as floats", Source(change=lambda d: evolve(d, items=d.items[:] * 127 + 127)), "items"),
    ("float64", Source(change=lambda d: evolve(d, items=d.items[:].astype(float))), "items"),
    ("NaN", Source(change=lambda d: evolve(d, items=np.where(d.items[:] > 0, np.float32("nan"), d.items[:]))), "items"),
    ("rows sorted", Source(change=lambda d: evolve(d, items=Unsorted(source=d.items, rows=np.arange(9)))), "reading"),
    ("a label short", Source(change=lambda d: evolve(d, labels=d.labels[:-1])), "labels"),  # type: ignore[index]  # there are labels
    ("labels as text", Source(change=lambda d: evolve(d, labels=np.array(list("abcabcabc")))), "labels"),
    ("attribute short", Source(change=lambda d: evolve(d, attributes={"old": np.arange(4)})), "labels"),
    ("from nowhere", Source(change=lambda d: evolve(d, provenance={})), "provenance"),
    ("weights of the law", Source(change=lambda d: evolve(d, law=LAW)), "law"),
    ("another order each time", Source(change=_shift), "repeatable"),
]


@frozen(kw_only=True)
class Split:
    """A sound partitioner: two shards at random by seed; ``change(shards, data)`` may spoil it."""

    change: Callable[[np.ndarray, Data], Any] = lambda shards, data: shards

    def assign(self, data: Data, seed: int) -> np.ndarray:
        drawn = np.random.default_rng(key(seed, "split") % 2**32).permutation(len(data.items)) % 2
        found: np.ndarray = self.change(drawn.astype(np.int64), data)
        return found


def _relabel(shards: np.ndarray, data: Data) -> np.ndarray:
    assert data.labels is not None
    data.labels[0] = 1
    return shards


PARTITIONERS: list[Mutant] = [
    ("nothing", Split(), ""),
    ("an empty shard", Split(change=lambda s, d: 2 * s), "shards"),
    ("items in no shard", Split(change=lambda s, d: s - 1), "shards"),
    ("int32", Split(change=lambda s, d: s.astype(np.int32)), "shape"),
    ("one item forgotten", Split(change=lambda s, d: s[:-1]), "shape"),
    ("a generator of its own", Split(change=lambda s, d: np.random.permutation(s)), "repeatable"),
    ("writes labels", Split(change=_relabel), "arguments"),
]


@frozen(kw_only=True)
class MeanDistance:
    """A sound metric, the distance of means; ``change(score, samples, reference)`` may spoil it."""

    change: Callable[[Score, np.ndarray, np.ndarray], Score] = lambda score, samples, reference: score
    refuses: bool = True

    reads: bool = True

    def score(self, samples: Any, reference: Any) -> Score:
        if self.reads:
            samples, reference = samples[:], reference[:]
        if self.refuses and not np.isfinite(samples).all():
            raise SamplingError("metric mean-distance: samples are not finite")
        value = float(np.linalg.norm(samples.mean(0) - reference.mean(0)))
        said = {"samples": str(len(samples)), "reference": str(len(reference))}
        return self.change(Score(name="mean-distance", value=value, conditions=said), samples, reference)


def _edit(score: Score, samples: np.ndarray, reference: np.ndarray) -> Score:
    samples -= reference.mean(0)
    return score


METRICS: list[Mutant] = [
    ("nothing", MeanDistance(), ""),
    ("a similarity", MeanDistance(change=lambda s, a, b: evolve(s, value=-s.value)), "best"),
    ("always the same", MeanDistance(change=lambda s, a, b: evolve(s, value=1.0)), "best"),
    ("NaN scored", MeanDistance(refuses=False), "not_finite"),
    ("no conditions", MeanDistance(change=lambda s, a, b: evolve(s, conditions={})), "conditions"),
    ("no numbers of items", MeanDistance(change=lambda s, a, b: evolve(s, conditions={"a": "b"})), "conditions"),
    ("drawn anew", MeanDistance(change=lambda s, a, b: evolve(s, value=s.value + np.random.rand())), "repeatable"),
    ("infinite", MeanDistance(change=lambda s, a, b: evolve(s, value=float("inf"))), "scores"),
    ("no name", MeanDistance(change=lambda s, a, b: evolve(s, name="")), "scores"),
    ("edits samples", MeanDistance(change=_edit), "arguments"),
    ("arrays only", MeanDistance(reads=False), "reading"),
]


Around = Callable[[Job, Callable[[Job], None]], None]


@frozen(kw_only=True)
class InTurn:
    """A sound launcher; ``around`` decides how a job is trained, ``most`` how many are."""

    around: Around = lambda job, train_it: train_it(job)
    most: int | None = None

    def run(self, jobs: Sequence[Job], progress: Progress) -> None:
        for job in jobs[: self.most]:
            self.around(job, lambda one: train(one, device=torch.device("cpu"), progress=progress))


def _afresh(job: Job, train_it: Callable[[Job], None]) -> None:
    if (job.folder / "state").exists():
        shutil.rmtree(job.folder / "state")
    train_it(job)


def _again(job: Job, train_it: Callable[[Job], None]) -> None:
    if job.folder.exists():
        shutil.rmtree(job.folder)
    train_it(job)


def _silently(job: Job, train_it: Callable[[Job], None]) -> None:
    try:
        train_it(job)
    except TrainingError:
        return


def _nameless(job: Job, train_it: Callable[[Job], None]) -> None:
    try:
        train_it(job)
    except TrainingError:
        raise TrainingError("a worker failed") from None


def _other_error(job: Job, train_it: Callable[[Job], None]) -> None:
    try:
        train_it(job)
    except TrainingError:
        raise RuntimeError("worker died") from None


def _other_seed(job: Job, train_it: Callable[[Job], None]) -> None:
    train_it(evolve(job, seed=0))


LAUNCHERS: list[Mutant] = [
    ("nothing", InTurn(), ""),
    ("leaves the last", InTurn(most=2), "training"),
    ("a seed of its own", InTurn(around=_other_seed), "training"),
    ("starts over", InTurn(around=_afresh), "resuming"),
    ("trains again", InTurn(around=_again), "completed"),
    ("says nothing of failure", InTurn(around=_silently), "failure"),
    ("does not name the job", InTurn(around=_nameless), "failure"),
    ("another error", InTurn(around=_other_error), "failure"),
]


@each_mutant({"data": SOURCES, "partitioner": PARTITIONERS, "metric": METRICS, "launcher": LAUNCHERS})
def test_broken_components_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)
