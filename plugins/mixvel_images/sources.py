"""The image sources by name: where the images of each come from, and the form they are brought to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mixvel_images.celebahq import ATTRIBUTES, CelebaCollector
from mixvel_images.cifar10 import CifarCollector
from mixvel_images.collection import Collector, Form
from mixvel_images.folder import FolderCollector
from mixvel_images.hub import HubCollector
from mixvel_images.options import Filter, Labels, Unreadable
from mixvel_images.source import ImageSource
from mixvel_images.store import home_of


def cifar10(
    *, path: str, hub: str | None, split: Literal["train", "test", "all"], store: str | None, unreadable: Unreadable
) -> ImageSource:
    """CIFAR-10 from its published files at ``path``, or the Hugging Face data set ``hub`` (see ``CifarOptions``)."""
    found: Collector
    if hub is None:
        found = CifarCollector(path=_path(path), split=split)
    else:
        both = "train+test" if split == "all" else split
        found = HubCollector(place=hub, split=both, image="img", label="label", name="cifar10")
    return ImageSource(collector=found, form=Form(), home=home_of(store), unreadable=unreadable)


def celebahq(
    *,
    path: str,
    attributes: str | None,
    mapping: str | None,
    hub: str | None,
    split: str,
    resolution: int | None,
    filter: Filter,
    store: str | None,
    unreadable: Unreadable,
) -> ImageSource:
    """CelebA-HQ from a folder or zip file, or the Hugging Face data set ``hub`` (see ``CelebaOptions``)."""
    found: Collector
    if hub is not None:
        found = HubCollector(place=hub, split=split, perhaps=ATTRIBUTES, name="celebahq")
    else:
        found = CelebaCollector(
            path=_path(path),
            attributes=_path(attributes) if attributes else None,
            mapping=_path(mapping) if mapping else None,
        )
    form = Form(resolution=resolution, filter=filter)
    return ImageSource(collector=found, form=form, home=home_of(store), unreadable=unreadable)


def image_folder(
    *,
    path: str,
    labels: Labels,
    resolution: int | None,
    filter: Filter,
    store: str | None,
    unreadable: Unreadable,
) -> ImageSource:
    """Images in a folder or zip file (see ``FolderOptions``)."""
    found = FolderCollector(path=_path(path), labels=labels)
    form = Form(resolution=resolution, filter=filter)
    return ImageSource(collector=found, form=form, home=home_of(store), unreadable=unreadable)


def hub_dataset(
    *,
    name: str,
    config: str | None,
    split: str,
    revision: str | None,
    image: str,
    label: str | None,
    attributes: tuple[str, ...],
    resolution: int | None,
    filter: Filter,
    store: str | None,
    unreadable: Unreadable,
) -> ImageSource:
    """A Hugging Face data set of images (see ``HubOptions``)."""
    found = HubCollector(
        place=name, config=config, split=split, revision=revision, image=image, label=label, attributes=attributes
    )
    form = Form(resolution=resolution, filter=filter)
    return ImageSource(collector=found, form=form, home=home_of(store), unreadable=unreadable)


def _path(text: str) -> Path:
    return Path(text).expanduser()
