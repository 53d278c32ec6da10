"""Seeds of samples from seeds and generators of torch."""

from __future__ import annotations

import pytest
import torch

from mixvel_core.errors import UsageError
from mixvel_core.export.seeds import seeds_of


def test_a_fresh_generator_stands_for_its_seed_and_moves_on() -> None:
    one, other = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    assert seeds_of(None, one, 3) == seeds_of(7, None, 3) == 7
    again = seeds_of(None, one, 3)
    assert again not in (7, seeds_of(None, one, 3))
    assert seeds_of(None, other, 3) == 7
    assert seeds_of(None, other, 3) == again


def test_without_either_torchs_own_generator_decides() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = seeds_of(None, None, 2)
        second = seeds_of(None, None, 2)
        torch.manual_seed(1)
        assert seeds_of(None, None, 2) == first != second


def test_a_list_has_a_generator_for_each() -> None:
    each = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    assert seeds_of(None, each, 2) == [5, 6]
    with pytest.raises(UsageError, match="2 generators for 3 samples"):
        seeds_of(None, each, 3)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(UsageError, match="a seed or a generator"):
        seeds_of(1, torch.Generator(), 1)
    with pytest.raises(UsageError, match="seed -1"):
        seeds_of(-1, None, 1)
