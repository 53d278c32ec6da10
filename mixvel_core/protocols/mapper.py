"""Mapper: a launcher that also spreads work which trains nothing, for example the drawing of samples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import torch

PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")
PartT_contra = TypeVar("PartT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Errand(Protocol[PartT_contra, ResultT_co]):
    """Work that falls into parts, none of which needs another. Picklable, as are its parts and results."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def folder(self) -> Path:
        """What is read lies below: all workers must see this folder."""
        ...

    def begin(self, device: torch.device) -> Callable[[PartT_contra, Callable[[int], None]], ResultT_co]:
        """What each worker does once, as loading models to its ``device``.

        Returns:
            What does a part. It is a function of the part alone, whatever was done before and by whom; while it works
            it tells how many units are behind, which may raise to end it.
        """
        ...


@runtime_checkable
class Mapper(Protocol):
    """An optional side of a Launcher."""

    def map(
        self, errand: Errand[PartT, ResultT], parts: Sequence[PartT], tell: Callable[[int, int], None]
    ) -> Generator[tuple[int, ResultT]]:
        """Does every part once, as many at a time as there are workers.

        Args:
            errand: the work.
            parts: of it.
            tell: told between results, in the caller's thread, the index of a part and how many of its units are
                behind. A part that is done again, because its worker was lost, begins at 0 again.

        Returns:
            Index and result of each part, in the order in which they are done. Closing the generator ends all work.

        Raises whatever a part raises; RecipeError where there is no room for a worker.
        """
        ...
