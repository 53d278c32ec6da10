"""The codec of a run: made before the partition, stored once among the shards, loaded wherever items are looked at.

Only the partition makes latents of items; experts, routers and samplers see nothing but latents. Scores, the report and
the pictures that commands write are of decoded items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from mixvel_core.artifacts.files import checksum
from mixvel_core.cost.quantities import amount
from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.scale import to_float
from mixvel_core.plugin.definition import CodecUse
from mixvel_core.protocols import Items, Progress, ReadyCodecFamily
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.build import build
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mixvel_core.data.latents import EncodedItems, PlacedCodec

CODEC = "codec.safetensors"
"""The file of a run's codec, beside its shards."""
_TRIED = 16
"""Items by which it is stated how much a codec loses."""


def codec_of(recipe: Recipe) -> CodecUse | None:
    """The codec of a recipe; None where items stay as they are."""
    return None if recipe.codec is None or recipe.codec.definition.is_identity else recipe.codec


def refuse_codec(recipe: Recipe, what: str) -> None:
    """Raises RecipeError where the recipe has a codec; ``what`` does not work with one."""
    if (use := codec_of(recipe)) is not None:
        raise RecipeError(f"codec {use.name}: {what}; take a recipe without `codec`")


@frozen(kw_only=True, eq=False)
class FittedCodec:
    """A codec that is made and not stored yet. ``tensors``: what of it is stored. ``latents``: of all items, computed
    where they are read."""

    use: CodecUse
    tensors: Mapping[str, Tensor]
    placed: PlacedCodec
    latents: EncodedItems

    def size(self, latent: tuple[int, ...]) -> str:
        """In words, what latents of shape ``latent`` are of, and how large the codec's file is."""
        bytes_ = sum(one.numel() * one.element_size() for one in self.tensors.values())
        return _size(latent, self.placed.codec.data_shape, bytes_)

    def store(self, folder: Path, provenance: Mapping[str, str], progress: Progress = SILENT) -> dict[str, Any]:
        """Writes the file in ``folder`` and a line of what it keeps of items; returns what is known of it, and the
        ``provenance`` of the latents, as plain data."""
        from mixvel_core.artifacts.tensors import write_checksummed

        path, items = folder / CODEC, self.latents.source
        write_checksummed(path, self.tensors, plain(self.use))
        rows = np.linspace(0, len(items) - 1, min(_TRIED, len(items))).astype(np.int64)
        off = (self.placed.decoded(self.latents)[rows] - to_float(np.array(items[rows]))).astype(np.float64)
        about = {
            "use": plain(self.use),
            "shape": list(self.placed.codec.data_shape),
            "label": label(self.use),
            "checksum": checksum(path),
            # Without items nothing is known of it.
            "error": float(f"{np.sqrt((off**2).mean()):.3g}") if off.size else None,
        }
        stored = stored_codec(folder, {"codec": about})
        latent, shape = self.latents.shape[1:], items.shape[1:]
        part = math.prod(latent) / math.prod(shape)
        off_by = "" if about["error"] is None else f", off by {about['error']:.3g} RMS when decoded again"
        kept = f"{_sides(latent, shape)}, {part:.3g} times the numbers{off_by}"
        progress.line(f"codec: {about['label']}: {kept}")
        return {"codec": about, "provenance": {**provenance, "codec": f"{stored.stated if stored else ''}; {kept}"}}


def fit_codec(use: CodecUse, items: Items, seed: int) -> FittedCodec:
    """The codec of a recipe for these items, on the best device. Raises RecipeError or DataError where it cannot be."""
    from mixvel_core.data.latents import PlacedCodec
    from mixvel_core.device import best_device

    family, device = use.build(), best_device()
    tensors = family.tensors(items, seed)
    codec = family.load({name: one.to(device) for name, one in tensors.items()}, tuple(map(int, items.shape[1:])))
    placed = PlacedCodec(codec=codec, device=device)
    return FittedCodec(use=use, tensors=tensors, placed=placed, latents=placed.encoded(items))


def ready_codec(recipe: Recipe, latent: tuple[int, ...]) -> FittedCodec | None:
    """The codec of a recipe without data, whose latents have shape ``latent``; None where it has none.

    Raises RecipeError where it would have to be fitted, or makes other latents.
    """
    if (use := codec_of(recipe)) is None:
        return None
    if not isinstance(family := use.build(), ReadyCodecFamily):
        raise RecipeError(
            f"codec {use.name}: without data there is nothing to fit it to; take one that is there already"
        )
    return fit_codec(use, np.empty((0, *family.data_shape(latent)), np.float32), recipe.seed)


@frozen(kw_only=True)
class StoredCodec:
    """The codec beside the shards of a run, ``path``. ``use``: as a recipe writes it. ``shape``: of an item. ``label``:
    in words. ``checksum``: of the file. ``error``: the root mean square of what is lost of an item's numbers, None
    where no items were there."""

    path: Path
    use: Mapping[str, Any]
    shape: tuple[int, ...]
    label: str
    checksum: str
    error: float | None

    @property
    def stated(self) -> str:
        """The codec as scores and the provenance of data state it: its label and the digest of its file."""
        return f"{self.label} ({self.checksum[:12]})"

    def size(self, latent: tuple[int, ...]) -> str:
        """The size of the stored file, as of ``FittedCodec``."""
        return _size(latent, self.shape, self.path.stat().st_size)

    def load(self, device: torch.device | str | None = None) -> PlacedCodec:
        """The codec on ``device``, the best one if None. Raises ArtifactError where its file is missing or damaged."""
        import torch

        from mixvel_core.artifacts.tensors import read_checksummed
        from mixvel_core.data.latents import PlacedCodec
        from mixvel_core.device import best_device

        place = best_device() if device is None else torch.device(device)
        tensors, _ = read_checksummed(self.path)
        options = {name: value for name, value in self.use.items() if name != "use"}
        family = build("codec", str(self.use["use"]), options)
        codec = family.load({name: one.to(place) for name, one in tensors.items()}, self.shape)
        return PlacedCodec(codec=codec, device=place)


def _sides(latent: tuple[int, ...], data: tuple[int, ...]) -> str:
    sides = [" x ".join(map(str, one)) for one in (latent, data)]
    return f"latents {sides[0]} of items {sides[1]}"


def _size(latent: tuple[int, ...], data: tuple[int, ...], count: int) -> str:
    return f"{_sides(latent, data)}, file {amount(count, 'B')}"


def stored_codec(folder: Path, about: Mapping[str, Any]) -> StoredCodec | None:
    """The codec of the shards in ``folder``, of which ``about`` is known; None where they hold items themselves."""
    if (facts := about.get("codec")) is None:
        return None
    try:
        return StoredCodec(
            path=folder / CODEC,
            use=dict(facts["use"]),
            shape=tuple(facts["shape"]),
            label=str(facts["label"]),
            checksum=str(facts["checksum"]),
            error=facts["error"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder}: its codec is not described ({error}); remove it and run again") from None
