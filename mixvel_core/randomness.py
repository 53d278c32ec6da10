"""Random numbers as pure functions: the same key and counters give the same numbers, on any device.

One root seed grows a tree of keys, ``key(seed, "expert", 3, "noise")``. A number drawn from a key depends
only on the key and on the counters it is asked for (sample index, step, element), never on how many numbers
were drawn before. So results do not depend on batch size, chunking, the number of workers or a restart,
and adding an expert changes nothing for the others.

The generator is SplitMix64's output function applied to a counter (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def _signed(value: int) -> int:
    """The two's complement reading of a 64-bit pattern: torch has no unsigned 64-bit arithmetic."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


# torch's own generator is one for all threads.
_GENERATOR = threading.RLock()

_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def key(seed: int, *path: str | int) -> int:
    """The key at ``path`` below the root ``seed``: 64 bits of BLAKE2b over the written path."""
    text = "/".join([str(int(seed)), *(f"{type(p).__name__}:{p}" for p in path)])
    return _signed(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _mix(z: Tensor) -> Tensor:
    # ">>" on int64 copies the sign bit; the masks turn it into the logical shift SplitMix64 asks for.
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * _MIX_1
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * _MIX_2
    return z ^ ((z >> 31) & ((1 << 33) - 1))


def bits(key: int, *counters: Tensor | int) -> Tensor:
    """64 random bits (int64) for each entry of the broadcast counters."""
    z = torch.tensor(key, dtype=torch.int64)
    for counter in counters:
        c = torch.as_tensor(counter, dtype=torch.int64)
        # z may be a number on the CPU beside counters of a device: copied there it would wait for what that computes.
        z = _mix(z + (c + 1) * _GOLDEN)
    return _mix(z)


def uniform(key: int, *counters: Tensor | int) -> Tensor:
    """Uniform numbers in the open interval (0, 1), float64, one for each entry of the broadcast counters."""
    # 53 bits, moved by half a unit so that neither 0 nor 1 can come out and log() is always finite.
    return (((bits(key, *counters) >> 11) & ((1 << 53) - 1)).double() + 0.5) * 2.0**-53


def normal(key: int, index: Tensor, shape: tuple[int, ...], dtype: torch.dtype, *counters: int) -> Tensor:
    """Standard normal numbers of shape ``(len(index), *shape)``: row i depends on ``index[i]`` alone.

    Box-Muller in float64, cast last, so every device and dtype sees the same numbers up to rounding.
    """
    count = math.prod(shape)
    elements = torch.arange(count + count % 2, device=index.device)
    both = uniform(key, index[:, None], *counters, elements[None, :])
    first, second = both[:, ::2], both[:, 1::2]
    radius, angle = (-2.0 * first.log()).sqrt(), 2.0 * math.pi * second
    z = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]
    return z.to(dtype).reshape(len(index), *shape)


def permutation(key: int, count: int, epoch: int) -> Tensor:
    """A random order of ``range(count)``, another one for each epoch (sorted random keys; ties by index)."""
    return bits(key, torch.arange(count), epoch).argsort(stable=True)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block torch's own CPU generator, which initial weights come from, starts at ``seed``.

    Afterwards it goes on as if the block had not been. Other threads wait for the end of the block.
    """
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
