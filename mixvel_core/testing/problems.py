"""Small problems with known answers, for the checks: schedules, shards in memory, and points to ask at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.errors import MixvelError
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import CLASS, ConditionSpec, GaussianLaw, Items, NoiseSchedule, SchedulePoint
from mixvel_core.randomness import key, normal
from mixvel_core.testing.check import require

_QUARTER = 0.5 * math.pi


@frozen(kw_only=True)
class Circle:
    """alpha = cos(pi t/2), sigma = sin(pi t/2): variance preserving, and smooth at both ends."""

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms at t."""
        alpha, sigma = (_QUARTER * (1.0 - t)).sin(), (_QUARTER * t).sin()
        return SchedulePoint(
            alpha=alpha,
            sigma=sigma,
            d_alpha=-_QUARTER * sigma,
            d_sigma=_QUARTER * alpha,
            dd_alpha=-(_QUARTER**2) * alpha,
        )


@frozen(kw_only=True)
class Straight:
    """alpha = 1 - t, sigma = t: not variance preserving, which formulas for VP alone do not survive."""

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms at t."""
        one = torch.ones_like(t)
        return SchedulePoint(alpha=1.0 - t, sigma=t.clone(), d_alpha=-one, d_sigma=one, dd_alpha=torch.zeros_like(t))


@frozen(kw_only=True, eq=False)
class Rows:
    """Items that can do what items must, and nothing else that arrays can."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """n items of shape ``*data``: (n, *data)."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        # As arrays mapped from a file for reading only answer: chosen rows are a copy, slices cannot be written.
        found = np.array(self.array[rows])
        found.setflags(write=not isinstance(rows, slice))
        return found


@frozen(kw_only=True, eq=False)
class MemoryShard:
    """A shard whose items lie in memory. ``values``: of its conditions, by name, where its items have any."""

    items: Items
    index: int = 0
    fraction: float = 1.0
    law: GaussianLaw | None = None
    conditions: tuple[ConditionSpec, ...] = ()
    values: Mapping[str, Items] = field(factory=dict)

    def condition_values(self) -> Mapping[str, Items]:
        """The values of its conditions, by name."""
        return self.values

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self.items)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item, ``*data``."""
        return tuple(self.items.shape[1:])


@frozen(kw_only=True, eq=False)
class SmallProblem:
    """A data set in K shards under a schedule. ``name``: for messages."""

    name: str
    shards: tuple[MemoryShard, ...]
    schedule: NoiseSchedule = field(factory=Circle)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item, ``*data``."""
        return self.shards[0].shape

    def noisy(self, t: Tensor) -> Tensor:
        """Items of every shard in turn at the times t, x_t (B, *data) in their type; the same for the same row."""
        B = len(t)
        clean = [to_float(self.shards[i % len(self.shards)].items[i : i + 1]) for i in range(B)]
        x_0 = torch.from_numpy(np.concatenate(clean)).to(t.dtype)
        eps = normal(key(0, "conformance"), torch.arange(B), self.shape, t.dtype)
        return add_noise(x_0, eps, point_for(self.schedule, t, x_0))

    def first(self) -> SmallProblem:
        """The same problem with its first shard alone."""
        return evolve(self, name=f"1 of the shards of {self.name}", shards=(evolve(self.shards[0], fraction=1.0),))


MadeT = TypeVar("MadeT")


def usable(
    problems: Sequence[SmallProblem],
    make: Callable[[SmallProblem], MadeT],
    refused: str,
    fix: str,
    otherwise: SmallProblem | None = None,
) -> list[MadeT]:
    """What ``make`` makes of each problem that it does not refuse; ``otherwise`` is tried where it refuses them all.

    Raises ConformanceError, with ``refused`` and ``fix``, where nothing is left.
    """
    made: list[MadeT] = []
    refusals: list[str] = []
    for problem in (*problems, *filter(None, [otherwise])):
        if made and problem is otherwise:
            break
        try:
            made.append(make(problem))
        except MixvelError as error:
            refusals.append(f"{problem.name}: {str(error).splitlines()[0]}")
    require(bool(made), f"example() {refused} ({' | '.join(refusals)})", fix)
    return made


PI = (0.5, 0.3, 0.2)
"""Fractions of the shards."""


def vectors() -> SmallProblem:
    """Three shards of vectors in the plane, float32, each drawn from one Gaussian whose law is known."""
    rng = np.random.default_rng(5)
    means = np.array([[-0.6, 0.1], [0.5, 0.5], [0.2, -0.6]])
    shards = []
    for k, (mean, pi) in enumerate(zip(means, PI, strict=True)):
        root = rng.uniform(-0.1, 0.1, (2, 2)) + 0.15 * np.eye(2)
        law = GaussianLaw(weights=np.ones(1), means=mean[None], covariances=(root @ root.T)[None])
        items = (mean + rng.standard_normal((int(40 * pi), 2)) @ root.T).clip(-1, 1).astype(np.float32)
        shards.append(MemoryShard(items=Rows(array=items), index=k, fraction=pi, law=law))
    return SmallProblem(name="vectors in two dimensions", shards=tuple(shards))


def images(channels: int = 1, side: int = 8) -> SmallProblem:
    """Three shards of bytes: bright at the top, at the left, everywhere; noise on all. No law is known."""
    rng = np.random.default_rng(6)
    ramp = np.linspace(60.0, 200.0, side)
    patterns = (np.tile(ramp[:, None], side), np.tile(ramp, (side, 1)), np.full((side, side), 170.0))
    shards = []
    for k, (pattern, pi) in enumerate(zip(patterns, PI, strict=True)):
        noise = rng.uniform(-40, 40, (int(40 * pi), channels, side, side))
        items = Rows(array=(pattern + noise).clip(0, 255).astype(np.uint8))
        shards.append(MemoryShard(items=items, index=k, fraction=pi))
    name = f"bytes of shape {channels}x{side}x{side}"
    return SmallProblem(name=name, shards=tuple(shards), schedule=Straight())


CLASSES = ConditionSpec(name=CLASS, classes=3)
"""Of the items of problems with classes; the first shard has none of the last class."""


def classed_vectors() -> SmallProblem:
    """Three shards of vectors in the plane, each drawn from a mixture of known law with a component for each class."""
    rng = np.random.default_rng(7)
    shards = []
    for k, pi in enumerate(PI):
        labels = _labels(k, int(40 * pi))
        classes, counts = np.unique(labels, return_counts=True)
        means = rng.uniform(-0.7, 0.7, (len(classes), 2))
        covariances = np.tile(0.02 * np.eye(2), (len(classes), 1, 1))
        law = GaussianLaw(weights=counts / counts.sum(), means=means, covariances=covariances, classes=classes)
        items = means[labels] + rng.standard_normal((len(labels), 2)) * 0.02**0.5
        array = items.clip(-1, 1).astype(np.float32)
        shards.append(_classed(MemoryShard(items=Rows(array=array), index=k, fraction=pi, law=law), labels))
    return SmallProblem(name="vectors in two dimensions with classes", shards=tuple(shards))


def classed_images() -> SmallProblem:
    """The shards of bytes, with classes in turn."""
    plain = images()
    shards = tuple(_classed(shard, _labels(shard.index, shard.count)) for shard in plain.shards)
    return evolve(plain, name=f"{plain.name} with classes", shards=shards)


TOKENS = ConditionSpec(name="text", shape=(2, 3))
"""Of the items of problems with tokens."""


def images_with_tokens() -> SmallProblem:
    """The shards of bytes, each with two tokens of three numbers."""
    plain = images()
    rng = np.random.default_rng(8)
    shards = tuple(
        evolve(
            shard,
            conditions=(TOKENS,),
            values={TOKENS.name: rng.standard_normal((shard.count, *TOKENS.shape)).astype(np.float32)},
        )
        for shard in plain.shards
    )
    return evolve(plain, name=f"{plain.name} with tokens", shards=shards)


def _labels(k: int, count: int) -> np.ndarray:
    """Classes 0 and 1 in shard 0, 0 to 2 in shard 1, and in shard 2 half of all are 2."""
    return np.minimum(np.arange(count) % (k + 2), CLASSES.classes - 1)


def _classed(shard: MemoryShard, labels: np.ndarray) -> MemoryShard:
    return evolve(shard, conditions=(CLASSES,), values={CLASS: labels})
