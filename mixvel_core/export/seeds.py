"""Seeds of samples from what diffusers' users give: a seed, generators of torch, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mixvel_core.errors import UsageError

_MOST = 1 << 63


def seeds_of(
    seed: int | None, generator: torch.Generator | Sequence[torch.Generator] | None, count: int
) -> int | list[int]:
    """The seed of ``count`` samples, or a seed for each of them where there is a generator for each.

    A generator from which nothing was drawn yet stands for its own seed: ``manual_seed(7)`` gives the samples of seed
    7. Each call draws from it, so that the next one gives others.

    Args:
        seed: itself; None: by the generator.
        generator: one, one for each sample, or None: torch's own.
        count: how many samples.

    Raises:
        UsageError: there is a seed and a generator, a seed below 0, or another number of generators than samples.
    """
    if seed is not None:
        if generator is not None:
            raise UsageError("give a seed or a generator, not both")
        if not 0 <= seed < _MOST:
            raise UsageError(f"seed {seed}: give a number of at least 0 and below 2^63")
        return seed
    if generator is None:
        return int(torch.randint(_MOST - 1, ()))
    if isinstance(generator, torch.Generator):
        return _seed_from(generator)
    if len(generator) != count:
        raise UsageError(f"{len(generator)} generators for {count} samples; give one for each, or one")
    return [_seed_from(one) for one in generator]


def _seed_from(generator: torch.Generator) -> int:
    """Its own seed, of one that is fresh; a number drawn from it of another. It moves on by a draw."""
    own = generator.initial_seed()
    fresh = torch.Generator(generator.device).manual_seed(own)
    is_fresh = bool((fresh.get_state() == generator.get_state()).all())
    drawn = int(torch.randint(_MOST - 1, (), generator=generator, device=generator.device))
    return own if is_fresh and own < _MOST else drawn
