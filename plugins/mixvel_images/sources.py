"""The image sources: images are prepared once into a store, from which they are read ever after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from attrs import evolve, frozen

from mixvel_core.errors import DataError
from mixvel_core.field.padded import padded_data
from mixvel_core.machine import data_home, from_home
from mixvel_core.protocols import Data, Progress
from mixvel_core.protocols.progress import Silent
from mixvel_images.celebahq import ATTRIBUTES, CelebaCollector
from mixvel_images.cifar10 import CifarCollector
from mixvel_images.collection import NOTED, Collector, Form
from mixvel_images.folder import FolderCollector
from mixvel_images.hooks import (
    CelebaOptions,
    CifarOptions,
    FolderOptions,
    HubOptions,
    PictureOptions,
    ResizedOptions,
    StoredOptions,
)
from mixvel_images.hub import HubCollector
from mixvel_images.prepare import prepare

_NAMED = 5


@frozen(kw_only=True)
class ImageSource(StoredOptions, ABC):
    """A source of images. A subclass is its options too, and defines where the images come from."""

    @property
    @abstractmethod
    def collector(self) -> Collector:
        """Where the images come from."""

    @property
    def form(self) -> Form:
        """What images are brought to: the resolution of the options, if these have one."""
        if isinstance(self, PictureOptions):
            return Form(resolution=self.resolution, filter=self.filter, channels=self.channels, bits=self.bits)
        return Form(resolution=self.resolution, filter=self.filter) if isinstance(self, ResizedOptions) else Form()

    def identity(self) -> Mapping[str, object]:
        """That of the files. The tables of a hub have a revision, and are not looked at again."""
        collector = self.collector
        return {} if isinstance(collector, HubCollector) else dict(collector.identity())

    @property
    def label_remedy(self) -> str:
        """How the images would have labels, where they have none."""
        return ""

    def prepare(self, progress: Progress) -> None:
        """Makes the store if it is not there yet, and compares its contents with the checksum it was written with.

        Raises DataError where the images are absent or unusable, or the store is damaged.
        """
        prepare(self.collector, self.form, data_home(self.store), progress).verify()

    def load(self) -> Data:
        """The data set, its items memory-mapped, uint8 (n, C, H, W), padded as they are read.

        Raises DataError where the images are absent or unusable, or some cannot be read and ``unreadable`` is "refuse".
        """
        store = prepare(self.collector, self.form, data_home(self.store), Silent())
        left_out = store.record().left_out
        data = padded_data(_noted(store.data()), self.pad, self.collector.name)
        data = evolve(data, label_remedy=self.label_remedy)
        if not left_out:
            return data
        named = ", ".join(f"{name} ({reason})" for name, reason in left_out[:_NAMED])
        named += f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        if self.unreadable == "refuse":
            raise DataError(
                f"{len(left_out)} of {len(left_out) + len(data.items)} images cannot be read: {named}; "
                "mend or remove them, or leave them out with `unreadable: skip`"
            )
        text = f"{len(left_out)} images that cannot be read: {named}"
        files = f"{data.provenance['files']}; left out: {text}"
        return evolve(data, provenance={**data.provenance, "left out": text, "files": files})


def _noted(data: Data) -> Data:
    """The data, with what is not plain in the images behind what was read."""
    about = data.provenance
    notes = [about.get("files", f"{about['count']} images"), *(about[note] for note in NOTED if note in about)]
    return evolve(data, provenance={**about, "files": "; ".join(notes)})


@frozen(kw_only=True)
class Cifar10(CifarOptions, ImageSource):
    """CIFAR-10 from its published files, or from the Hugging Face data set ``hub``."""

    @property
    def collector(self) -> Collector:
        """The files at ``path``, or the data set."""
        if self.hub is None:
            return CifarCollector(path=from_home(self.path), split=self.split)
        split = "train+test" if self.split == "all" else self.split
        return HubCollector(place=self.hub, split=split, image="img", label="label", name="cifar10")


@frozen(kw_only=True)
class CelebaHQ(CelebaOptions, ImageSource):
    """CelebA-HQ from a folder or zip file, or from the Hugging Face data set ``hub``."""

    @property
    def collector(self) -> Collector:
        """The files at ``path``, or the data set."""
        if self.hub is not None:
            return HubCollector(place=self.hub, split=self.split, perhaps=ATTRIBUTES, name="celebahq")
        attributes, mapping = (from_home(name) if name else None for name in (self.attributes, self.mapping))
        return CelebaCollector(path=from_home(self.path), attributes=attributes, mapping=mapping)


@frozen(kw_only=True)
class ImageFolder(FolderOptions, ImageSource):
    """Images in a folder or zip file."""

    @property
    def collector(self) -> Collector:
        """The files at ``path``."""
        return FolderCollector(path=from_home(self.path), within=self.within, labels=self.labels)

    @property
    def label_remedy(self) -> str:
        """A folder for each class."""
        return "put the images of each class into a folder of their own"


@frozen(kw_only=True)
class HubDataset(HubOptions, ImageSource):
    """A Hugging Face data set of images."""

    @property
    def collector(self) -> Collector:
        """The data set ``name``, with the columns of the options."""
        return HubCollector(
            place=self.name,
            config=self.config,
            split=self.split,
            revision=self.revision,
            image=self.image,
            label=self.label,
            label_names=self.label_names,
            attributes=self.attributes,
        )

    @property
    def label_remedy(self) -> str:
        """The column of labels."""
        return "name their column as `label`"
