"""Definitions of the image sources; nothing here imports NumPy, Pillow, torch or datasets."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import DataSource
from mixvel_images.options import CelebaOptions, CifarOptions, FolderOptions, HubOptions, ProceduralOptions

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
