"""The kit bites: broken codecs are caught, and told what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from attrs import evolve, frozen
from conformance import Mutant, each_mutant, require_complaint, spoilt
from torch import Tensor

from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import Codec, Items
from mixvel_core.randomness import normal
from mixvel_core.recipe.build import build


@frozen(kw_only=True, eq=False)
class Halves:
    """A sound codec, z = x / 2 plus, with rows, a little noise."""

    data_shape: tuple[int, ...]
    factor: Tensor

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return self.data_shape

    def encode(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        z = x * self.factor.to(x)
        return z if rows is None else z + 0.01 * normal(1, rows, self.latent_shape, x.dtype)

    def decode(self, z: Tensor) -> Tensor:
        return z / self.factor.to(z)


SOUND = Halves(data_shape=(2,), factor=torch.tensor(0.5))


@frozen(kw_only=True)
class Family:
    """A sound family, whose codec is ``codec`` for other items."""

    codec: Any = SOUND

    def tensors(self, items: Items, seed: int) -> Mapping[str, Tensor]:
        return {"factor": torch.tensor(0.5)}

    def load(self, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Codec:
        made: Codec = evolve(self.codec, data_shape=tuple(shape), **tensors)
        return made


def _with(**methods: Any) -> Family:
    return Family(codec=spoilt(SOUND, **methods))


def _edited(self: Halves, x: Tensor, rows: Tensor | None = None) -> Tensor:
    return x.mul_(0.5)


def _centred(self: Halves, x: Tensor, rows: Tensor | None = None) -> Tensor:
    return x - x.mean(0)


def _random(self: Halves, x: Tensor, rows: Tensor | None = None) -> Tensor:
    return x if rows is None else x + torch.randn_like(x)


def _by_place(self: Halves, x: Tensor, rows: Tensor | None = None) -> Tensor:
    return x if rows is None else x + normal(1, torch.arange(len(x)), self.latent_shape, x.dtype)


def _drawn(self: Family, items: Items, seed: int) -> Mapping[str, Tensor]:
    return {"factor": torch.rand(())}


def _forgets(self: Family, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Codec:
    made: Codec = evolve(self.codec, data_shape=tuple(shape), factor=torch.tensor(float(np.random.rand()) + 0.5))
    return made


CODECS: list[Mutant] = [
    ("nothing", Family(), ""),
    ("none", build("codec", "none"), ""),
    ("pca", build("codec", "pca"), ""),
    ("pca of patches", build("codec", "pca", {"patch": 4, "rank": 5, "scale": "unit"}), ""),
    ("always float32", _with(encode=lambda self, x, rows=None: x.float()), "shapes"),
    ("another latent shape", _with(latent_shape=property(lambda self: (*self.data_shape, 1))), "shapes"),
    ("another data shape", _with(decode=lambda self, z: z.flatten(1)[:, :1]), "shapes"),
    ("centred by the batch", _with(encode=_centred), "rows"),
    ("noise by the place in the batch", _with(encode=_by_place), "rows"),
    ("edits items", _with(encode=_edited), "arguments"),
    ("edits latents", _with(decode=lambda self, z: z.mul_(2.0)), "arguments"),
    ("beyond float16", _with(encode=lambda self, x, rows=None: 1e6 * x), "float16"),
    ("NaN", _with(encode=lambda self, x, rows=None: (x - 9).sqrt()), "float16"),
    ("forgets the item", _with(encode=lambda self, x, rows=None: torch.zeros_like(x)), "distinct"),
    ("forgets the latent", _with(decode=lambda self, z: torch.zeros_like(z)), "distinct"),
    ("torch's own generator", _with(encode=_random), "repeatable"),
    ("fitted at random", spoilt(Family(), tensors=_drawn), "repeatable"),
    ("loaded at random", spoilt(Family(), load=_forgets), "stored"),
]


@each_mutant({"codec": CODECS})
def test_broken_codecs_are_named_and_sound_ones_pass(kind: Kind, component: object, check: str) -> None:
    require_complaint(kind, check, component)
