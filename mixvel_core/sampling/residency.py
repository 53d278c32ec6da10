"""Experts that do not fit in memory together: each is loaded when it is asked, and the longest unused makes room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from attrs import define, field, frozen
from torch import Tensor

from mixvel_core.protocols import Expert, Moments, NoiseSchedule


@define(kw_only=True, eq=False)
class Residency:
    """Room for ``limit`` experts, None for all. ``loads`` counts how often one was read from where it is kept."""

    limit: int | None
    loads: int = field(default=0, init=False)
    _held: OrderedDict[int, Expert] = field(factory=OrderedDict, init=False)

    def holds(self, index: int) -> bool:
        """Whether an expert is in memory."""
        return index in self._held

    def get(self, index: int, load: Callable[[], Expert]) -> Expert:
        """The expert, loaded if it is not there; then it is the one used last."""
        if index not in self._held:
            # Room first: with a limit of one, two would be in memory for a moment.
            while self.limit is not None and len(self._held) >= self.limit:
                self._held.popitem(last=False)
            self._held[index] = load()
            self.loads += 1
        self._held.move_to_end(index)
        return self._held[index]


@frozen(kw_only=True, eq=False)
class ResidentExpert:
    """An expert in a ``Residency``. What is known of it without its weights is always there.

    ``load``: reads it; ``moments``: of its shard; ``index``: k.
    """

    schedule: NoiseSchedule
    moments: Moments | None
    index: int
    load: Callable[[], Expert]
    residency: Residency

    @property
    def is_resident(self) -> bool:
        """Whether asking it costs no loading."""
        return self.residency.holds(self.index)

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """The expert's answer."""
        return self.residency.get(self.index, self.load).denoise(x, t)
