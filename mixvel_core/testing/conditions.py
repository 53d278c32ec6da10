"""What experts and routers that read conditions have in common, as checks; those that read none pass them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Condition, ConditionalExpert, ConditionalRouter
from mixvel_core.randomness import normal
from mixvel_core.testing.check import gap, require, require_near, same_rows, untouched

PartT = TypeVar("PartT", ConditionalExpert, ConditionalRouter)
_CLASSES = 3
"""Labels that are tried, at most."""


@frozen(kw_only=True, eq=False)
class Reader(Generic[PartT]):
    """A component that reads conditions, and its answers to B points.

    ``answer``: of such a component at some of the points, (E,) int64: (E, ...), a row each.
    """

    what: str
    part: PartT
    null: Condition
    answer: Callable[[PartT, Tensor], Tensor]
    count: int

    def condition(self, shift: int = 0) -> Condition:
        """Other values for each row, turned by ``shift``; labels in turn. The last row is null."""
        values = {name: _values(name, value, self.count, shift) for name, value in self.null.values.items()}
        last = torch.arange(self.count) < self.count - 1
        return Condition(values=values).where(last, self.null)

    def all(self, part: PartT) -> Tensor:
        """The answers to all points."""
        return self.answer(part, torch.arange(self.count))


def check_null(reader: Reader[PartT]) -> None:
    """The null condition has one row, and is the component as it is without a condition."""
    rows = len(reader.null)
    require(rows == 1, f"null has {rows} rows", "give the null condition of one sample, a row for each name")
    own = reader.all(reader.part)
    given = reader.all(reader.part.given(reader.null.repeated(reader.count)))
    what = f"{reader.what} under the null condition differs from {reader.what} without one by"
    require_near(given, own, what, "without a condition answer as for the value of `null`")


def check_rows(reader: Reader[PartT]) -> None:
    """Row i depends on row i of the condition alone, and conditions change places with their points."""
    condition = reader.condition()
    same_rows(
        f"{reader.what} under a condition",
        lambda i: reader.answer(reader.part.given(condition.rows(i)), i),
        reader.count,
    )


def check_read(reader: Reader[PartT]) -> None:
    """Conditions make a difference, the same ones none, names that are not read none; ``given`` changes nothing."""
    what, part = reader.what, reader.part
    own, one = reader.all(part), reader.condition()
    with untouched(**one.values):
        under = part.given(one)
        first = reader.all(under)
    others = [reader.all(part.given(reader.condition(shift))) for shift in range(1, _CLASSES)]
    require(
        any(gap(other, first) > 0.0 for other in others),
        f"{what} is the same under every condition that was tried, though {', '.join(sorted(one.names))} is read",
        "let `given` make a component that reads its condition, or let `null` be None",
    )
    fix = "make a new component in `given` (attrs.evolve), and keep the condition there; change nothing that is there"
    require_near(reader.all(under), first, f"{what} under a condition changes once another is given, by", fix)
    require_near(reader.all(part), own, f"{what} without a condition changes once one is given, by", fix)
    again = reader.all(part.given(reader.condition()))
    require_near(again, first, f"{what} differs between two equal conditions by", "draw nothing at random")
    unread = Condition(values={**one.values, "unread": torch.ones(reader.count, 2)})
    found = reader.all(part.given(unread))
    require_near(found, first, f"a name that is not read changes {what} by", "take the names of `null`, and no other")


def _values(name: str, null: Tensor, count: int, shift: int) -> Tensor:
    if null.is_floating_point():
        # A function of the shift alone would be the same in every row.
        rows = torch.arange(count) + 100 * shift
        return null + normal(len(name), rows, tuple(null.shape[1:]), null.dtype)
    labels = min(_CLASSES, int(null.max())) if int(null.max()) > 1 else 2
    turned = (torch.arange(count) + shift) % labels
    return turned.to(null.dtype).view(-1, *[1] * (null.ndim - 1)).expand(count, *null.shape[1:]).clone()
