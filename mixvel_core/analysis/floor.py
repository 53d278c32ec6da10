"""The floor of calibration: the exact posterior of a random half of the items, as if it were a router."""

from __future__ import annotations

from typing import Self

from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.data.conditions import class_fractions, items_by_class
from mixvel_core.data.items import Chosen
from mixvel_core.field.class_posterior import ClassPosterior
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols import CLASS, Condition, Items, NoiseSchedule
from mixvel_core.protocols.condition_spec import ConditionSpec
from mixvel_core.randomness import key, permutation

HALF = "half of the items"
"""What it misses is about single items, which no router should learn. No router can have this name."""


@frozen(kw_only=True, eq=False)
class HalfRouter:
    """The exact posterior (D2) of the items of ``posterior``; ``classes``: of the rows, (B,), if there are some."""

    schedule: NoiseSchedule
    posterior: ClassPosterior
    classes: Tensor | None = None

    @property
    def null(self) -> Condition | None:
        """No class; None where items have none."""
        C = self.posterior.classes
        return Condition(values={CLASS: ConditionSpec(name=CLASS, classes=C).null()}) if C else None

    def given(self, condition: Condition) -> Self:
        """The posterior of the items of ``condition.values["class"]``, row by row."""
        return evolve(self, classes=condition.values[CLASS])

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        return self.posterior.at(x, self.schedule.at(t.double()), self.classes, means=False)[0], None


def half_of_items(shards: Shards, schedule: NoiseSchedule, seed: int) -> HalfRouter:
    """The router of a random half of the items of each shard, and of each class in it, at least one; with the weights
    of all items."""
    of_all = [_half(part.items, key(seed, "calibration", "half", part.index)) for part in shards.parts]
    cells = [
        [_half(items, key(seed, "calibration", "half", k, c)) for k, items in enumerate(row)]
        for c, row in enumerate(items_by_class(shards.parts))
    ]
    counts = [float(part.count) for part in shards.parts]
    shares = class_fractions(shards.parts)
    by_class = [[n * share[c] for n, share in zip(counts, shares, strict=True)] for c in range(len(cells))]
    fractions = (*by_class, counts)
    return HalfRouter(schedule=schedule, posterior=ClassPosterior(parts=(*cells, of_all), fractions=fractions))


def _half(items: Items, seed: int) -> Items:
    if len(items) == 0:
        return items
    order = permutation(seed, len(items), 0)
    # In their own order: files are read from front to back.
    return Chosen(source=items, rows=order[: max(1, len(items) // 2)].sort().values.numpy())
