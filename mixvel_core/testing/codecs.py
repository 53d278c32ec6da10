"""Checks of what the protocol requires of a Codec and of the family that makes it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixvel_core.data.latents import LARGEST
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Codec, CodecFamily
from mixvel_core.testing.check import (
    gap,
    near,
    require,
    require_finite,
    require_like,
    require_near,
    same_rows,
    untouched,
)
from mixvel_core.testing.families import Made, codec_items, made_codecs

_COUNT = 6


def shapes(family: CodecFamily) -> None:
    """encode gives latents of the shape that the codec states, decode items of theirs, in the type they are given."""
    for made in made_codecs(family):
        codec = made.component
        require(
            tuple(codec.data_shape) == made.problem.shape,
            f"data_shape is {tuple(codec.data_shape)} for items of shape {made.problem.shape}",
            "keep the `shape` that load is given",
        )
        for dtype in (torch.float32, torch.float64):
            x = _items(made).to(dtype)
            wanted = x.new_empty(len(x), *codec.latent_shape)
            z = require_like("encode(x)", codec.encode(x), wanted, "return (B, *latent_shape), z.to(x.dtype)")
            require_like("decode(z)", codec.decode(z), x, "return (B, *data_shape), x.to(z.dtype)")


def rows(family: CodecFamily) -> None:
    """Latents of an item, noise included, and items of a latent do not depend on the others of a batch."""
    for made in made_codecs(family):
        codec, x = made.component, _items(made)
        z = codec.encode(x)
        same_rows("encode", lambda i, codec=codec, x=x: codec.encode(x[i]), len(x))  # type: ignore[misc]  # bound here
        same_rows("encode with rows", lambda i, codec=codec, x=x: codec.encode(x[i], i), len(x))  # type: ignore[misc]  # bound here
        same_rows("decode", lambda i, codec=codec, z=z: codec.decode(z[i]), len(z))  # type: ignore[misc]  # bound here


def arguments(family: CodecFamily) -> None:
    """Items, latents and row numbers are left alone."""
    for made in made_codecs(family):
        codec, x, numbers = made.component, _items(made), torch.arange(_COUNT)
        with untouched(x=x, rows=numbers):
            z = codec.encode(x, numbers).clone()
        with untouched(z=z):
            codec.decode(z)


def float16(family: CodecFamily) -> None:
    """Latents are finite numbers that float16 can hold, and decoded items are finite."""
    for made in made_codecs(family):
        z = made.component.encode(_items(made))
        require_finite("encode(x)", z, "divide by no variance that may be zero")
        largest = float(z.abs().max())
        fix = "scale latents so that their standard deviation is about 1"
        require(largest < LARGEST, f"latents reach {largest:.3g}, beyond float16", fix)
        require_finite("decode(z)", made.component.decode(z.half().to(z)), "decode must take latents that are rounded")


def distinct(family: CodecFamily) -> None:
    """Different items have different latents, and different latents are different items."""
    for made in made_codecs(family):
        x = _items(made)
        z = made.component.encode(x)
        back = made.component.decode(z)
        for what, found in (("latents", z), ("decoded items", back)):
            flat = found.flatten(1).double()
            apart = float((flat - flat[:1])[1:].abs().amax())
            fix = "let encode and decode depend on their arguments"
            require(apart > 1e-6, f"the {what} of {len(x)} different items are all the same", fix)


def repeatable(family: CodecFamily) -> None:
    """The same items and seed give the same codec, and the same item and row the same latents."""
    for made in made_codecs(family):
        items = codec_items(made.problem)
        state = torch.random.get_rng_state(), np.random.get_state()
        try:
            tensors = []
            for seed in (1, 2):
                torch.manual_seed(seed)
                np.random.seed(seed)
                tensors.append(family.tensors(items, 7))
            fix = "draw from np.random.default_rng(seed) or mixvel_core.randomness alone"
            for name, one in tensors[0].items():
                same = name in tensors[1] and near(tensors[1][name], one, within=0.0)
                require(same, f"the same items and seed give another {name} the second time", fix)
            x, numbers = _items(made), torch.arange(_COUNT)
            first = made.component.encode(x, numbers)
            apart = gap(made.component.encode(x, numbers), first)
            require(apart == 0.0, f"encode gives other latents the second time, by {apart:.2g}", fix)
        finally:
            torch.random.set_rng_state(state[0])
            np.random.set_state(state[1])


def stored(family: CodecFamily) -> None:
    """A codec that is loaded from its tensors alone answers as the first one."""
    for made in made_codecs(family):
        x = _items(made)
        one, other = made.component, made.load()
        fix = "let `tensors` return everything that `load` needs, and let `load` draw nothing at random"
        z = one.encode(x)
        require_near(other.encode(x), z, "encode of a codec loaded a second time differs by", fix, within=0.0)
        again = other.decode(z)
        require_near(again, one.decode(z), "decode of a codec loaded a second time differs by", fix, within=0.0)


def _items(made: Made[Codec]) -> Tensor:
    """A few items of every shard, (_COUNT, *data) float32."""
    items = codec_items(made.problem)
    return torch.from_numpy(to_float(np.array(items[np.linspace(0, len(items) - 1, _COUNT).astype(np.int64)])))


CHECKS = (shapes, rows, arguments, float16, distinct, repeatable, stored)
