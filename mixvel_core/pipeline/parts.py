"""Samples drawn in parts by the workers of a launcher: the same samples, whoever draws which part.

Sample i is a function of (seed, i), and parts are cut where one process would cut its batches, so the results have the
bits that one process gives on the same kind of device with the same number of threads. Workers read the models in the
run folder; what they draw is sent back and written by the driver, part by part, so that nothing drawn is lost with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import define, field, frozen

from mixvel_core.artifacts.arrays import read_arrays, write_arrays
from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.errors import RecipeError
from mixvel_core.plugin.definition import LauncherUse
from mixvel_core.protocols import Mapper, Progress, ProgressTask

if TYPE_CHECKING:
    import torch

    from mixvel_core.sampling.sampler import Sampler, Samples

WhatT = TypeVar("WhatT")
WhatT_contra = TypeVar("WhatT_contra", contravariant=True)
_ARRAYS = ("x", "evaluations", "times", "usage")


class OpenedModels(Protocol[WhatT_contra]):
    """Models in memory."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def sampler(self, what: WhatT_contra, /) -> Sampler:
        """The sampler that draws ``what``."""
        ...


class ModelSource(Protocol[WhatT_contra]):
    """Where models are read from; picklable. ``threads``: of torch, or None. ``folder``: all that is read is below."""

    @property
    def folder(self) -> Path: ...
    @property
    def threads(self) -> int | None: ...

    def open(self, device: torch.device) -> OpenedModels[WhatT_contra]:
        """What a worker loads from, once."""
        ...


@frozen(kw_only=True)
class SampleJob(Generic[WhatT]):
    """Samples 0 to ``count`` - 1 of one sampler. ``label``: of its bar. ``what``: tells the source which sampler.

    ``artifact``: what they are kept as, beside which finished parts are kept; None keeps none.
    """

    label: str
    what: WhatT
    count: int
    steps: int
    seed: int
    artifact: Artifact | None = None


@frozen(kw_only=True)
class SamplePart(Generic[WhatT]):
    """Samples ``first`` to ``last - 1`` of a lot; ``lot``: which one."""

    lot: int
    what: WhatT
    seed: int
    first: int
    last: int


@frozen(kw_only=True)
class SampledPart:
    """The samples of a piece or a lot, on the CPU, and the seconds of work in them."""

    samples: Samples
    seconds: float


@frozen(kw_only=True)
class _SampleTask(Generic[WhatT]):
    source: ModelSource[WhatT]
    name: str = "sampling"

    @property
    def folder(self) -> Path:
        return self.source.folder

    def begin(self, device: torch.device) -> Callable[[SamplePart[WhatT], Callable[[int], None]], SampledPart]:
        import torch
        from attrs import fields

        from mixvel_core.sampling.sampler import Samples

        opened = self.source.open(device)
        if self.source.threads is not None:
            torch.set_num_threads(self.source.threads)

        def draw(piece: SamplePart[WhatT], tell: Callable[[int], None]) -> SampledPart:
            started = perf_counter()
            found = opened.sampler(piece.what).part(
                piece.first, piece.last, shape=opened.shape, seed=piece.seed, device=device, on_step=tell
            )
            here = Samples(**{one.name: getattr(found, one.name).cpu() for one in fields(Samples)})
            return SampledPart(samples=here, seconds=perf_counter() - started)

        return draw


def mapper_of(launcher: LauncherUse) -> Mapper:
    """The launcher as one that spreads work. Raises RecipeError where it only trains."""
    built = launcher.build()
    if not isinstance(built, Mapper):
        raise RecipeError(f"sample.launcher: {launcher.name} trains and does nothing else; use local or ray")
    return built


def sample_in_parts(
    source: ModelSource[WhatT], lots: Sequence[SampleJob[WhatT]], mapper: Mapper, batch: int, progress: Progress
) -> Iterator[tuple[int, SampledPart]]:
    """Draws all lots, a piece at a time by each worker, ``batch`` samples in a piece.

    Args:
        source: of the models.
        lots: what to draw. Pieces that were kept before are not drawn again.
        mapper: where.
        batch: the size of a piece.
        progress: a bar for each lot under way, in sample-steps.

    Yields:
        The index of each lot and its samples, as lots are done.
    """
    from mixvel_core.sampling.sampler import cuts

    pieces = [
        SamplePart(lot=index, what=lot.what, seed=lot.seed, first=first, last=last)
        for index, lot in enumerate(lots)
        for first, last in cuts(lot.count, batch)
    ]
    kept = [_read(piece, lots[piece.lot].artifact) for piece in pieces]
    todo = [index for index, found in enumerate(kept) if found is None]
    with ExitStack() as bars:
        under_way = []
        for number, lot in enumerate(lots):
            sizes = {index: piece.last - piece.first for index, piece in enumerate(pieces) if piece.lot == number}
            under_way.append(_UnderWay(lot=lot, sizes=sizes, progress=progress))
            bars.push(under_way[-1].own)
        for index, found in enumerate(kept):
            mine = pieces[index].lot
            if found is not None and (whole := under_way[mine].take(index, found)) is not None:
                yield mine, whole
        if not todo:
            return

        def tell(index: int, done: int) -> None:
            under_way[pieces[todo[index]].lot].tell(todo[index], done)

        with closing(mapper.map(_SampleTask(source=source), [pieces[index] for index in todo], tell)) as results:
            for index, drawn in results:
                mine = pieces[todo[index]].lot
                _keep(pieces[todo[index]], lots[mine].artifact, drawn)
                if (whole := under_way[mine].take(todo[index], drawn)) is not None:
                    yield mine, whole


def forget(artifact: Artifact) -> None:
    """Removes the pieces kept beside ``artifact``, once it is done."""
    shutil.rmtree(_pieces_folder(artifact), ignore_errors=True)


@define(kw_only=True)
class _UnderWay:
    """One lot: what is there of its pieces, and its bar from the first word of it to its end."""

    lot: SampleJob[Any]
    sizes: Mapping[int, int]
    progress: Progress
    own: ExitStack = field(factory=ExitStack, init=False)
    _bar: ProgressTask | None = field(default=None, init=False)
    _drawn: dict[int, SampledPart] = field(factory=dict, init=False)
    _told: dict[int, int] = field(factory=dict, init=False)

    def tell(self, index: int, done: int, note: str = "") -> None:
        """A piece has done so many sample-steps."""
        if self._bar is None:
            total = self.lot.count * self.lot.steps
            self._bar = self.own.enter_context(self.progress.task(self.lot.label, total, "image steps"))
        self._told[index] = done
        self._bar.update(sum(self._told.values()), note)

    def take(self, index: int, drawn: SampledPart) -> SampledPart | None:
        """A piece is done; all of the lot, if that was the last of it."""
        from mixvel_core.sampling.sampler import joined

        self._drawn[index] = drawn
        steps = self.sizes[index] * self.lot.steps
        if len(self._drawn) < len(self.sizes):
            self.tell(index, steps)
            return None
        parts = [self._drawn[other] for other in self.sizes]
        whole = joined([part.samples for part in parts])
        self.tell(index, steps, f"{float(whole.evaluations.float().mean()):.4g} evaluations a sample")
        self.own.close()
        self._drawn.clear()
        return SampledPart(samples=whole, seconds=sum(part.seconds for part in parts))


def _pieces_folder(artifact: Artifact) -> Path:
    return artifact.folder / f"{artifact.name}.parts"


def _artifact_of(piece: SamplePart[Any], whole: Artifact) -> Artifact:
    name = f"{piece.first}-{piece.last}"
    return Artifact(folder=_pieces_folder(whole), key=key_of(whole=whole.key, piece=name), name=name)


def _keep(piece: SamplePart[Any], whole: Artifact | None, drawn: SampledPart) -> None:
    if whole is None:
        return
    artifact = _artifact_of(piece, whole)
    path = artifact.folder / f"{artifact.name}.npz"
    write_arrays(path, {name: getattr(drawn.samples, name).numpy() for name in _ARRAYS})
    artifact.commit([path.name], seconds=drawn.seconds)


def _read(piece: SamplePart[Any], whole: Artifact | None) -> SampledPart | None:
    if whole is None or not (artifact := _artifact_of(piece, whole)).is_done():
        return None
    import torch

    from mixvel_core.sampling.sampler import Samples

    arrays = read_arrays(artifact.folder / f"{artifact.name}.npz", *_ARRAYS)
    samples = Samples(**{name: torch.from_numpy(one) for name, one in zip(_ARRAYS, arrays, strict=True)})
    return SampledPart(samples=samples, seconds=float(artifact.notes()["seconds"]))
