"""A data source whose images are prepared once into a store, from which they are read ever after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data, Progress
from mixvel_core.protocols.progress import Silent
from mixvel_images.collection import Collector, Form
from mixvel_images.options import Unreadable
from mixvel_images.prepare import prepare

_NAMED = 5


@frozen(kw_only=True)
class ImageSource:
    """``collector``: where images come from. ``form``: what they are brought to. ``home``: the folder of stores."""

    collector: Collector
    form: Form
    home: Path
    unreadable: Unreadable = "refuse"

    def prepare(self, progress: Progress) -> None:
        """Makes the store if it is not there yet, and compares its contents with the checksum it was written with.

        Raises DataError where the images are absent or unusable, or the store is damaged.
        """
        prepare(self.collector, self.form, self.home, progress).verify()

    def load(self) -> Data:
        """The data set, its items memory-mapped, uint8 (n, 3, H, W).

        Raises:
            DataError: the images are absent or unusable, or some cannot be read and ``unreadable`` is "refuse".
        """
        store = prepare(self.collector, self.form, self.home, Silent())
        left_out = store.record().left_out
        data = store.data()
        if not left_out:
            return data
        if self.unreadable == "refuse":
            raise DataError(
                f"{len(left_out)} of {len(left_out) + len(data.items)} images cannot be read: {_named(left_out)}; "
                "mend or remove them, or leave them out with `unreadable: skip`"
            )
        text = f"{len(left_out)} images that cannot be read: {_named(left_out)}"
        return evolve(data, provenance={**data.provenance, "left out": text})


def _named(left_out: Sequence[tuple[str, str]]) -> str:
    few = ", ".join(f"{name} ({reason})" for name, reason in left_out[:_NAMED])
    return few + (f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else "")
