"""Experts that do not fit in memory together: each is loaded on demand, and the longest unused makes room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from attrs import define, field, frozen
from torch import Tensor

from mixvel_core.protocols import Condition, ConditionalExpert, Expert, Moments, NoiseSchedule


@define(kw_only=True, eq=False)
class Residency:
    """Room for ``limit`` experts, None for all. ``loads`` counts how often one was read from where it is kept."""

    limit: int | None
    loads: int = field(default=0, init=False)
    _held: OrderedDict[object, Expert] = field(factory=OrderedDict, init=False)

    def holds(self, key: object) -> bool:
        """Whether the expert called ``key`` is in memory."""
        return key in self._held

    def get(self, key: object, load: Callable[[], Expert]) -> Expert:
        """The expert called ``key``, loaded if it is not in memory; then it is the one used last."""
        if key not in self._held:
            # Room first: with a limit of one, two would be in memory for a moment.
            while self.limit is not None and len(self._held) >= self.limit:
                self._held.popitem(last=False)
            self._held[key] = load()
            self.loads += 1
        self._held.move_to_end(key)
        return self._held[key]


@frozen(kw_only=True, eq=False)
class ResidentExpert:
    """An expert in a ``Residency``. Schedule and moments are there without its weights.

    ``load``: reads it. ``moments``: of its shard. ``null``: its null condition; None where it reads none.
    """

    schedule: NoiseSchedule
    moments: Moments | None
    load: Callable[[], Expert]
    residency: Residency
    null: Condition | None = None

    @property
    def is_resident(self) -> bool:
        """Whether it is in memory."""
        return self.residency.holds(self)

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data), of the expert, which is loaded first if it is not in memory."""
        return self.load_now().denoise(x, t)

    def given(self, condition: Condition) -> Expert:
        """The expert of a condition, row by row; it is loaded first if it is not in memory."""
        expert = self.load_now()
        return expert.given(condition) if isinstance(expert, ConditionalExpert) else expert

    def load_now(self) -> Expert:
        """The expert itself, in memory."""
        return self.residency.get(self, self.load)


def load_resident(experts: Sequence[Expert]) -> None:
    """Loads as many of these experts as their residency has room for; those in memory stay."""
    resident = [expert for expert in experts if isinstance(expert, ResidentExpert)]
    # Those in memory first: they are used last then, and none of them makes room for another.
    resident.sort(key=lambda expert: not expert.is_resident)
    for expert in resident[: resident[0].residency.limit] if resident else []:
        expert.load_now()
