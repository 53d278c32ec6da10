"""Definitions and options of the image sources; nothing here imports NumPy, Pillow, torch or datasets."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import frozen

from mixvel_core.data.conventions import BITS_DOC, CHANNELS_DOC, Channels
from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.plugin.options import OptionCheck, at_least, between, option
from mixvel_core.protocols import DataSource

Filter: TypeAlias = Literal["lanczos", "bicubic", "box"]
Unreadable: TypeAlias = Literal["refuse", "skip"]
Labels: TypeAlias = Literal["auto", "folders", "none"]

NO_DUPLICATES = OptionCheck(text="a list of names, none of them twice", holds=lambda v: len(set(v)) == len(v))


@frozen(kw_only=True)
class StoredOptions:
    """Options of every source that is prepared into a store."""

    store: str | None = option(
        default=None,
        doc="folder of prepared data; absent: what MIXVEL_DATA says, else mixvel in the user's cache folder",
    )
    unreadable: Unreadable = option(
        default="refuse", doc="images that cannot be read: name them and stop, or leave them out and say so"
    )
    pad: int | None = option(
        default=None,
        check=at_least(1),
        doc="side of the square that images are brought to by a black border, so that a network can halve it",
    )


@frozen(kw_only=True)
class ResizedOptions(StoredOptions):
    """Options of every source whose images may have any size."""

    resolution: int | None = option(
        default=None,
        check=at_least(1),
        doc="side of the images: the middle square is scaled to it; absent: as they are, all of one size",
    )
    filter: Filter = option(default="lanczos", doc="how images are scaled; all three average over what a pixel covers")


@frozen(kw_only=True)
class PictureOptions(ResizedOptions):
    """Options of every source whose images may be of any kind."""

    channels: Channels = option(default="as-is", before=3, doc=CHANNELS_DOC)
    bits: int | None = option(default=None, before=None, check=between(9, 16), doc=BITS_DOC)


@frozen(kw_only=True)
class CifarOptions(StoredOptions):
    """Options of the data source ``cifar10``."""

    path: str = option(
        default="data", doc="cifar-10-batches-py, cifar-10-batches-bin or their .tar.gz, or a folder that holds one"
    )
    hub: str | None = option(
        default=None, doc="a Hugging Face data set instead of files, by name, as in uoft-cs/cifar10"
    )
    split: Literal["train", "test", "all"] = option(default="train", doc="50000 images, 10000, or both")


@frozen(kw_only=True)
class CelebaOptions(ResizedOptions):
    """Options of the data source ``celebahq``."""

    path: str = option(default="data/CelebAMask-HQ.zip", doc="a folder or zip file of images")
    attributes: str | None = option(
        default=None,
        doc="list_attr_celeba.txt or CelebAMask-HQ-attribute-anno.txt; absent: looked for beside and within `path`",
    )
    mapping: str | None = option(
        default=None, doc="CelebA-HQ-to-CelebA-mapping.txt, where the attributes are of CelebA's own numbers"
    )
    hub: str | None = option(default=None, doc="a Hugging Face data set instead of files, by name")
    split: str = option(default="train", doc="the split of `hub`; files have none")


@frozen(kw_only=True)
class FolderOptions(PictureOptions):
    """Options of the data source ``image-folder``."""

    path: str = option(doc="a folder or zip file of images, or of one folder of images for each class")
    within: str | None = option(
        default=None,
        before=None,
        doc="the folder below `path`, or in the zip file, that is read, as train; absent: all",
    )
    labels: Labels = option(
        default="auto",
        doc="labels by folder, no labels, or auto: by folder where every image lies in one, refused where some do",
    )


@frozen(kw_only=True)
class HubOptions(PictureOptions):
    """Options of the data source ``hf``."""

    name: str = option(doc="a Hugging Face data set by name, a folder that save_to_disk wrote, or one of parquet files")
    config: str | None = option(default=None, doc="the configuration, where a data set has several")
    split: str = option(default="train", doc="the split")
    revision: str | None = option(default=None, doc="branch, tag or commit; absent: the newest")
    image: str = option(default="image", doc="the column of images")
    label: str | None = option(default=None, doc="the column of labels, whole numbers or text; absent: no labels")
    label_names: tuple[str, ...] = option(default=(), before=(), doc="names of labels 0, 1, ...; absent: those it has")
    attributes: tuple[str, ...] = option(
        default=(), check=NO_DUPLICATES, doc="columns of attributes: true or false, 0 or 1, or -1 or 1"
    )


@frozen(kw_only=True)
class ProceduralOptions:
    """Options of the data source ``procedural``."""

    count: int = option(default=2000, check=at_least(1), doc="images")
    resolution: int = option(default=32, check=at_least(4), doc="side of the images")
    seed: int = option(default=0, check=at_least(0), doc="seed of what is drawn; image i depends on it and on i alone")


FACES = Path(__file__).with_name("example-faces.zip")
"""Eight images of eight pixels a side, laid out as CelebAMask-HQ."""
CLASSES = Path(__file__).with_name("example-classes.zip")
"""The same in two folders."""
CIFAR = Path(__file__).with_name("example-cifar.tar.gz")
"""Batches of CIFAR-10's binary version with two plain images each."""

_STORE = str(Path(tempfile.gettempdir()) / "mixvel-examples")
_PROCEDURAL: PluginDef[ProceduralOptions, DataSource] = PluginDef(
    kind="data",
    name="procedural",
    options=ProceduralOptions,
    target="mixvel_images.procedural:Procedural",
    example_options=ProceduralOptions(count=8, resolution=8),
    summary="shapes drawn by rule, with CIFAR-10's classes and CelebA's attributes by name: stand-ins for both",
)

SOURCES: Sequence[PluginDef[Any, DataSource]] = (
    PluginDef(
        kind="data",
        name="cifar10",
        options=CifarOptions,
        target="mixvel_images.sources:Cifar10",
        example_options=CifarOptions(path=str(CIFAR), store=_STORE),
        smoke={"use": "procedural", "resolution": 32, "count": 400},
        summary="CIFAR-10: 60000 images of 32x32 pixels in ten classes, from its published files",
    ),
    PluginDef(
        kind="data",
        name="celebahq",
        options=CelebaOptions,
        target="mixvel_images.sources:CelebaHQ",
        example_options=CelebaOptions(path=str(FACES), resolution=4, store=_STORE),
        smoke={"use": "procedural", "resolution": 32, "count": 320},
        summary="CelebA-HQ: 30000 faces with forty attributes, from a folder or zip file, at any resolution",
    ),
    PluginDef(
        kind="data",
        name="image-folder",
        options=FolderOptions,
        target="mixvel_images.sources:ImageFolder",
        example_options=FolderOptions(path=str(CLASSES), store=_STORE),
        summary="images in a folder or zip file, labelled by the folders they lie in",
    ),
    PluginDef(
        kind="data",
        name="hf",
        options=HubOptions,
        target="mixvel_images.sources:HubDataset",
        # The package `datasets` is an extra: an example that needed it would fail where it is not installed.
        example=_PROCEDURAL.example,
        summary="any Hugging Face data set of images, by name or from a folder",
    ),
    _PROCEDURAL,
)


@hookimpl
def mixvel_data() -> Sequence[PluginDef[Any, DataSource]]:
    """The data sources of this package."""
    return SOURCES
