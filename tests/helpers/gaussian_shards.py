"""Gaussians of exact experts, and shards of known moments, shared by the tests of the routers in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mixvel_core.field.gaussians import Gaussians
from mixvel_core.protocols import Expert
from mixvel_core.testing.problems import MemoryShard
from mixvel_oracles.denoisers import GaussianExpert


def gaussians_of(experts: Sequence[Expert]) -> Gaussians:
    """The laws of Gaussian oracles as K shards of J components, all D axes kept."""
    exact = [expert for expert in experts if isinstance(expert, GaussianExpert)]
    return Gaussians(
        weights=torch.stack([expert.weights for expert in exact]).double(),
        means=torch.stack([expert.means for expert in exact]).double(),
        rest=torch.ones(len(exact), len(exact[0].weights), 1, dtype=torch.float64),
        axes=torch.stack([expert.axes for expert in exact]).double(),
        variances=torch.stack([expert.variances for expert in exact]).double(),
    )


def slanted_shard(index: int, count: int = 50, dimension: int = 6, fraction: float = 0.5) -> MemoryShard:
    """Vectors whose coordinates have standard deviations from 0.1 to 1 about their shard's number."""
    rng = np.random.default_rng(index)
    items = rng.normal(index, 1.0, (count, dimension)) @ np.diag(np.linspace(0.1, 1.0, dimension))
    return MemoryShard(index=index, items=items.astype(np.float32), fraction=fraction)
