"""The kit bites: broken data sources, partitioners, metrics and launchers are caught, and told what is wrong."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from conformance import complaint, failures

from mixvel_core.artifacts.tensors import read_checksummed, write_checksummed
from mixvel_core.errors import SamplingError, TrainingError
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import Data, GaussianLaw, Job, Partitioner, Progress, Score
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


@frozen(kw_only=True, eq=False)
class Unsorted:
    """Items that come back sorted, whatever order is asked for."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.array[rows if isinstance(rows, slice) else np.sort(rows)]


def _shift(data: Data) -> Data:
    return evolve(data, items=np.roll(data.items[:], next(COUNT), axis=0))


SOURCES: list[tuple[str, Callable[[Data], Data], str, str]] = [
    ("bytes as floats", lambda d: evolve(d, items=d.items[:] * 127 + 127), "items", r"items range from .*\[-1, 1\]"),
    ("float64", lambda d: evolve(d, items=d.items[:].astype(float)), "items", "items are float64"),
    ("NaN", lambda d: evolve(d, items=np.where(d.items[:] > 0, np.float32("nan"), d.items[:])), "items", "NaN"),
    ("rows sorted", lambda d: evolve(d, items=Unsorted(array=d.items[:])), "reading", r"items\[rows\] are not those"),
    ("a label short", lambda d: evolve(d, labels=d.labels[:-1]), "labels", r"9 items, and labels of shape \(8,\)"),  # type: ignore[index]  # there are labels
    ("labels as text", lambda d: evolve(d, labels=np.array(list("abcabcabc"))), "labels", "labels are <U1"),
    ("attribute short", lambda d: evolve(d, attributes={"old": np.arange(4)}), "labels", "4 values of attribute 'old'"),
    ("from nowhere", lambda d: evolve(d, provenance={}), "provenance", "provenance is {}; name the source"),
    ("weights of the law", lambda d: evolve(d, law=LAW), "law", "the law's weights sum to 1.5"),
    ("another order each time", _shift, "repeatable", "items are others when they are loaded a second time"),
]


@pytest.mark.parametrize(("change", "check", "message"), [c[1:] for c in SOURCES], ids=[c[0] for c in SOURCES])
def test_broken_sources_are_named(change: Callable[[Data], Data], check: str, message: str) -> None:
    assert re.search(message, complaint("data", check, Source(change=change)))


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


PARTITIONERS: list[tuple[str, Callable[[np.ndarray, Data], Any], str, str]] = [
    ("an empty shard", lambda s, d: 2 * s, "shards", "shard 1 of 3 is empty; number the shards without gaps"),
    ("counted from 1", lambda s, d: s + 1, "shards", "shard 0 of 3 is empty"),
    ("items in no shard", lambda s, d: s - 1, "shards", "an item is in shard -1"),
    ("int32", lambda s, d: s.astype(np.int32), "shape", "shards are int32"),
    ("one item forgotten", lambda s, d: s[:-1], "shape", r"40 items are given shards of shape \(39,\)"),
    (
        "a generator of its own",
        lambda s, d: np.random.permutation(s),
        "repeatable",
        "the same seed puts .* items elsewhere the second time",
    ),
    ("writes labels", _relabel, "arguments", "it writes into the data .*read-only"),
]


@pytest.mark.parametrize(
    ("change", "check", "message"), [c[1:] for c in PARTITIONERS], ids=[c[0] for c in PARTITIONERS]
)
def test_broken_partitioners_are_named(change: Any, check: str, message: str) -> None:
    partitioner: Partitioner = Split(change=change)
    assert re.search(message, complaint("partitioner", check, partitioner))


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


METRICS: list[tuple[str, MeanDistance, str, str]] = [
    ("a similarity", MeanDistance(change=lambda s, a, b: evolve(s, value=-s.value)), "best", "larger_is_better=True"),
    ("always the same", MeanDistance(change=lambda s, a, b: evolve(s, value=1.0)), "best", "score the same as the ref"),
    ("NaN scored", MeanDistance(refuses=False), "not_finite", "samples holding nan get mean-distance = nan"),
    ("no conditions", MeanDistance(change=lambda s, a, b: evolve(s, conditions={})), "conditions", "are {}"),
    (
        "no numbers of items",
        MeanDistance(change=lambda s, a, b: evolve(s, conditions={"space": "pixels"})),
        "conditions",
        "states the same conditions for 20 samples and for 10",
    ),
    (
        "random projections",
        MeanDistance(change=lambda s, a, b: evolve(s, value=s.value + float(np.random.rand()))),
        "repeatable",
        "for the same sets; draw projections and subsets from a fixed seed",
    ),
    ("infinite", MeanDistance(change=lambda s, a, b: evolve(s, value=float("inf"))), "scores", "is inf"),
    ("no name", MeanDistance(change=lambda s, a, b: evolve(s, name="")), "scores", "a score has no name"),
    ("edits samples", MeanDistance(change=_edit), "arguments", "were edited in place"),
    ("arrays only", MeanDistance(reads=False), "reading", "items that are no arrays are not read: .*items\\[:\\]"),
]


@pytest.mark.parametrize(("metric", "check", "message"), [c[1:] for c in METRICS], ids=[c[0] for c in METRICS])
def test_broken_metrics_are_named(metric: MeanDistance, check: str, message: str) -> None:
    assert re.search(message, complaint("metric", check, metric))


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


def _rounded(job: Job, train_it: Callable[[Job], None]) -> None:
    train_it(job)
    path = job.folder / "trained.safetensors"
    tensors, metadata = read_checksummed(path)
    write_checksummed(path, {name: value.half().float() for name, value in tensors.items()}, metadata)


def _other_seed(job: Job, train_it: Callable[[Job], None]) -> None:
    train_it(evolve(job, seed=0))


LAUNCHERS: list[tuple[str, InTurn, str, str]] = [
    ("leaves the last", InTurn(most=2), "training", "job expert-2 left no result in its folder"),
    ("a seed of its own", InTurn(around=_other_seed), "training", "expert-0 ends with other weights than the training"),
    ("rounds the result", InTurn(around=_rounded), "training", "ends with other weights than the training loop gives"),
    ("starts over", InTurn(around=_afresh), "resuming", "was trained from its first step; leave the job's folder"),
    ("trains again", InTurn(around=_again), "finished", "a job that was finished is trained again"),
    ("says nothing of failure", InTurn(around=_silently), "failure", "ends without an error"),
    ("does not name the job", InTurn(around=_nameless), "failure", "the error does not name the job expert-bad"),
    ("another error", InTurn(around=_other_error), "failure", "raises RuntimeError: worker died"),
]


@pytest.mark.parametrize(("launcher", "check", "message"), [c[1:] for c in LAUNCHERS], ids=[c[0] for c in LAUNCHERS])
def test_broken_launchers_are_named(launcher: InTurn, check: str, message: str) -> None:
    assert re.search(message, complaint("launcher", check, launcher))


SOUND: Mapping[Kind, object] = {
    "data": Source(),
    "partitioner": Split(),
    "metric": MeanDistance(),
    "launcher": InTurn(),
}


@pytest.mark.parametrize("kind", SOUND)
def test_the_sound_components_that_they_spoil_pass(kind: Kind) -> None:
    assert failures(kind, SOUND[kind]) == {}
