"""Definitions of the image sources; nothing here imports NumPy, Pillow, torch or datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import DataSource
from mixvel_images.options import (
    CelebaOptions,
    CifarOptions,
    FolderOptions,
    HubOptions,
    ProceduralOptions,
    ResizedOptions,
    StoredOptions,
)

if TYPE_CHECKING:
    from mixvel_images.collection import Collector


def _cifar(options: CifarOptions) -> DataSource:
    from mixvel_images.cifar10 import CifarCollector
    from mixvel_images.hub import HubCollector

    if options.hub is None:
        return _source(CifarCollector(path=_path(options.path), split=options.split), options)
    split = "train+test" if options.split == "all" else options.split
    return _source(HubCollector(place=options.hub, split=split, image="img", label="label", name="cifar10"), options)


def _celeba(options: CelebaOptions) -> DataSource:
    from mixvel_images.celebahq import ATTRIBUTES, CelebaCollector
    from mixvel_images.hub import HubCollector

    if options.hub is not None:
        hub = HubCollector(place=options.hub, split=options.split, perhaps=ATTRIBUTES, name="celebahq")
        return _source(hub, options)
    files = CelebaCollector(
        path=_path(options.path),
        attributes=_path(options.attributes) if options.attributes else None,
        mapping=_path(options.mapping) if options.mapping else None,
    )
    return _source(files, options)


def _folder(options: FolderOptions) -> DataSource:
    from mixvel_images.folder import FolderCollector

    return _source(FolderCollector(path=_path(options.path), labels=options.labels), options)


def _hub(options: HubOptions) -> DataSource:
    from mixvel_images.hub import HubCollector

    hub = HubCollector(
        place=options.name,
        config=options.config,
        split=options.split,
        revision=options.revision,
        image=options.image,
        label=options.label,
        attributes=options.attributes,
    )
    return _source(hub, options)


def _procedural(options: ProceduralOptions) -> DataSource:
    from mixvel_images.procedural import Procedural

    return Procedural(count=options.count, resolution=options.resolution, seed=options.seed)


def _source(collector: Collector, options: StoredOptions) -> DataSource:
    from mixvel_images.collection import Form
    from mixvel_images.source import ImageSource
    from mixvel_images.store import home_of

    form = Form()
    if isinstance(options, ResizedOptions):
        form = Form(resolution=options.resolution, filter=options.filter)
    home = home_of(options.store)
    return ImageSource(collector=collector, form=form, home=home, unreadable=options.unreadable)


def _path(text: str) -> Path:
    return Path(text).expanduser()


FACES = Path(__file__).with_name("example-faces.zip")
"""Eight images of eight pixels a side, laid out as CelebAMask-HQ."""
CLASSES = Path(__file__).with_name("example-classes.zip")
"""The same in two folders."""
CIFAR = Path(__file__).with_name("example-cifar.tar.gz")
"""Batches of CIFAR-10's binary version with two plain images each."""


def _example_store() -> str:
    import tempfile

    return str(Path(tempfile.gettempdir()) / "mixvel-examples")


def _example() -> DataSource:
    return _procedural(ProceduralOptions(count=8, resolution=8))


@hookimpl
def mixvel_data() -> Sequence[PluginDef[Any, DataSource]]:
    """cifar10, celebahq, image-folder, hf, procedural."""
    return (
        PluginDef(
            kind="data",
            name="cifar10",
            options=CifarOptions,
            build=_cifar,
            example=lambda: _cifar(CifarOptions(path=str(CIFAR), store=_example_store())),
            smoke={"use": "procedural", "resolution": 32, "count": 400},
            summary="CIFAR-10: 60000 images of 32x32 pixels in ten classes, from its published files",
        ),
        PluginDef(
            kind="data",
            name="celebahq",
            options=CelebaOptions,
            build=_celeba,
            example=lambda: _celeba(CelebaOptions(path=str(FACES), resolution=4, store=_example_store())),
            smoke={"use": "procedural", "resolution": 32, "count": 320},
            summary="CelebA-HQ: 30000 faces with forty attributes, from a folder or zip file, at any resolution",
        ),
        PluginDef(
            kind="data",
            name="image-folder",
            options=FolderOptions,
            build=_folder,
            example=lambda: _folder(FolderOptions(path=str(CLASSES), store=_example_store())),
            summary="images in a folder or zip file, labelled by the folders they lie in",
        ),
        PluginDef(
            kind="data",
            name="hf",
            options=HubOptions,
            build=_hub,
            # The package `datasets` is an extra: an example that needed it would fail where it is not installed.
            example=_example,
            summary="any Hugging Face data set of images, by name or from a folder",
        ),
        PluginDef(
            kind="data",
            name="procedural",
            options=ProceduralOptions,
            build=_procedural,
            example=_example,
            summary="shapes drawn by rule, with CIFAR-10's classes and CelebA's attributes by name: stand-ins for both",
        ),
    )
