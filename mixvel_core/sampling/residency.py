"""Experts that do not fit in memory together: each is loaded on demand, and the longest unused makes room.

On a GPU an expert that makes room is parked: its weights wait in pinned host memory. The next one that is evaluated
comes to the device while the present one computes, where there is room for two. On a CPU an expert that makes room is
let go: host memory is what there is too little of.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from attrs import define, field, frozen
from torch import Tensor

from mixvel_core.protocols import Condition, ConditionalExpert, Expert, Moments, NoiseSchedule
from mixvel_core.sampling.parking import ParkedNetwork, network_of


@define(kw_only=True, eq=False)
class Residency:
    """Room for ``limit`` experts, None for all.

    ``parks_on``: the device from which experts that make room go to host memory; None: they are let go. ``loads``:
    how often one was read from where it is stored. ``fetches``: how often one came back from host memory.
    """

    limit: int | None
    parks_on: torch.device | None = None
    loads: int = field(default=0, init=False)
    fetches: int = field(default=0, init=False)
    most_held: int = field(default=0, init=False)
    """The largest number of experts that were in memory at once."""
    _held: OrderedDict[object, Expert] = field(factory=OrderedDict, init=False)
    _parked: dict[object, Expert] = field(factory=dict, init=False)
    _networks: dict[object, ParkedNetwork] = field(factory=dict, init=False)
    _stream: torch.cuda.Stream | None = field(init=False)

    @_stream.default
    def _for_copies(self) -> torch.cuda.Stream | None:
        is_gpu = self.parks_on is not None and self.parks_on.type == "cuda"
        return torch.cuda.Stream(self.parks_on) if is_gpu else None  # type: ignore[no-untyped-call]  # torch's own is not typed

    def holds(self, key: object) -> bool:
        """Whether the expert called ``key`` is in memory, or on its way there."""
        return key in self._held

    def get(self, key: object, load: Callable[[], Expert]) -> Expert:
        """The expert called ``key``, loaded if it is not in memory; then it is the one used last."""
        if key not in self._held:
            # Room first: with a limit of one, two would be in memory for a moment.
            self._make_room()
            self._hold(key, self._parked.pop(key) if key in self._parked else self._loaded(key, load))
        self._held.move_to_end(key)
        if key in self._networks:
            self._networks[key].wait()
        return self._held[key]

    def fetch(self, key: object) -> None:
        """Begins to bring the expert called ``key`` from host memory, if it is there and there is room beside the one
        used last."""
        if key in self._parked and (self.limit is None or self.limit > 1):
            self._make_room()
            self._hold(key, self._parked.pop(key))
            # The one that computes is used last, so that it is not the one that makes room for the next.
            self._held.move_to_end(key, last=False)
            self._networks[key].fetch()

    def host_bytes(self) -> int:
        """The bytes of host memory that weights take, of experts that are parked and of those in memory alike."""
        return sum(network.size for network in self._networks.values())

    def _hold(self, key: object, expert: Expert) -> None:
        if key in self._networks and not self._networks[key].is_near:
            self.fetches += 1
        self._held[key] = expert
        self.most_held = max(self.most_held, len(self._held))

    def _make_room(self) -> None:
        while self.limit is not None and len(self._held) >= self.limit:
            key, expert = self._held.popitem(last=False)
            if key in self._networks:
                self._networks[key].park()
                self._parked[key] = expert

    def _loaded(self, key: object, load: Callable[[], Expert]) -> Expert:
        # Weights that are made in inference mode could not be moved later on.
        with torch.inference_mode(False), torch.no_grad():
            expert = load()
        self.loads += 1
        network = network_of(expert)
        if self.parks_on is not None and self.limit is not None and network is not None:
            self._networks[key] = ParkedNetwork(network=network, device=self.parks_on, stream=self._stream)
        return expert


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

    def fetch(self) -> None:
        """Begins to bring it to the device, if it waits in host memory and there is room."""
        self.residency.fetch(self)


def load_resident(experts: Sequence[Expert]) -> None:
    """Loads as many of these experts as their residency has room for; those in memory stay."""
    resident = [expert for expert in experts if isinstance(expert, ResidentExpert)]
    # Those in memory first: they are used last then, and none of them makes room for another.
    resident.sort(key=lambda expert: not expert.is_resident)
    for expert in resident[: resident[0].residency.limit] if resident else []:
        expert.load_now()


def is_in_memory(expert: Expert) -> bool:
    """Whether an expert can be evaluated without being loaded or fetched first."""
    return not isinstance(expert, ResidentExpert) or expert.is_resident


def fetch_next(expert: Expert) -> None:
    """Begins to bring an expert to the device that is evaluated next, where it waits in host memory."""
    if isinstance(expert, ResidentExpert):
        expert.fetch()
