"""The kit finds what is wrong with experts and routers that read conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import pytest
import torch
from attrs import define, evolve, field, frozen
from conformance import Mutant, each_mutant, require_complaint
from torch import Tensor

from mixvel_core.plugin.discovery import load_registry
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import (
    CLASS,
    Condition,
    ConditionalRouter,
    ExpertConfig,
    Moments,
    NoiseSchedule,
    RouterConfig,
    Shard,
    TrainTask,
)
from mixvel_core.testing.families import make_router, with_classes

Use = Callable[[Tensor], Tensor]
"""What is made of the classes of the rows, (B,), 3 for none."""
Read = Callable[[Condition], Tensor]


def _null(*classes: int) -> Condition:
    return Condition(values={CLASS: torch.tensor(classes)})


def _as_they_are(classes: Tensor) -> Tensor:
    return classes


def _class(condition: Condition) -> Tensor:
    return condition.values[CLASS]


@frozen(kw_only=True, eq=False)
class Reading:
    """Reads the class of each row; each field is a way to spoil it."""

    use: Use = _as_they_are
    read: Read = _class
    null: Condition | None = field(factory=lambda: _null(3))
    classes: Tensor | None = None

    def given(self, condition: Condition) -> Self:
        return evolve(self, classes=self.read(condition))

    def rows(self, x: Tensor) -> Tensor:
        """A number for each row that its class makes, 0 for none, (B,)."""
        classes = torch.full((len(x),), 3) if self.classes is None else self.classes
        return (3 - self.use(classes)).to(x) * 0.3


@frozen(kw_only=True, eq=False)
class Tilted(Reading):
    """A router: weights by the number of the expert, tilted by the class and by x."""

    experts: int

    def start(self, x: Tensor, t: Tensor) -> None: ...

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        k = torch.arange(self.experts).to(x)
        return ((self.rows(x) + 0.1 * x.flatten(1).mean(1))[:, None] * k).softmax(1), None


@frozen(kw_only=True, eq=False)
class Shifted(Reading):
    """An expert: x is brought nearer to a number that the class makes."""

    schedule: NoiseSchedule
    moments: Moments | None = None

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return 0.5 * x + self.rows(x).view(-1, *[1] * (x.ndim - 1))


@define(kw_only=True, eq=False)
class InItself:
    """Keeps the condition that it was given last in itself."""

    inner: Any

    @property
    def null(self) -> Condition | None:
        return self.inner.null  # type: ignore[no-any-return]  # of any class

    def given(self, condition: Condition) -> Self:
        self.inner = self.inner.given(condition)
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@frozen(kw_only=True)
class Family:
    """Makes experts and routers of one kind, spoilt as ``parts`` say."""

    parts: Mapping[str, Any]
    in_itself: bool = False

    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask | None:
        return None

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        return {}

    def tensors(self, *_: object) -> Mapping[str, Tensor]:
        return {"nothing": torch.zeros(1)}

    def load(self, config: Any, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Any:
        made: Any = Tilted(experts=len(config.fractions), **self.parts) if isinstance(config, RouterConfig) else None
        if isinstance(config, ExpertConfig):
            made = Shifted(schedule=schedule, **self.parts)
        return InItself(inner=made) if self.in_itself else made


def _edited(condition: Condition) -> Tensor:
    return condition.values[CLASS].clamp_(min=1)


def _last_name(condition: Condition) -> Tensor:
    last = list(condition.values.values())[-1]
    return last.flatten(1)[:, 0] if last.ndim > 1 else last


def _nowhere(classes: Tensor) -> Tensor:
    return torch.where(classes == 1, torch.nan, classes.double())


def _family(**parts: Any) -> Family:
    return Family(parts=parts)


READERS: list[Mutant] = [
    ("nothing", _family(), ""),
    ("reads none after all", _family(null=None, read=lambda c: torch.full((len(c),), 3)), ""),
    ("null is a class", _family(null=_null(0)), "null_condition"),
    ("null of two rows", _family(null=_null(3, 3)), "null_condition"),
    ("one class for all", _family(use=lambda c: c[:1].expand(len(c))), "condition_rows"),
    ("the mean class", _family(use=lambda c: c.double().mean().expand(len(c))), "condition_rows"),
    ("classes in order", _family(use=lambda c: c.sort().values), "condition_rows"),
    ("NaN under a class", _family(use=_nowhere), "condition"),
    ("reads nothing", _family(use=lambda c: torch.full_like(c, 3)), "condition"),
    ("random under a class", _family(use=lambda c: c + 0.1 * torch.rand(len(c)) * (c < 3)), "condition"),
    ("takes any name", _family(read=_last_name), "condition"),
    ("edits the condition", _family(read=_edited), "condition"),
    ("the condition in itself", Family(parts={}, in_itself=True), "condition"),
]


@each_mutant({"expert": READERS, "router": READERS})
def test_broken_components_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)


@pytest.mark.parametrize("name", ["fixed", "moments", "experts", "oracle", "a-network", "da-network", "naive"])
def test_what_is_built_in_is_made_with_classes_and_reads_them(name: str) -> None:
    """So that the checks above are not passed for want of something to ask."""
    family = load_registry().get("router", name).example()
    made = with_classes(lambda problem: make_router(family, problem))
    assert made is not None
    assert isinstance(made.component, ConditionalRouter)
    assert made.component.null is not None
    assert int(made.component.null.values[CLASS]) == 3
