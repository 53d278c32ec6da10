"""How far variances of cells are to be pooled with their shards': routing of held-out digits under their classes.

    python tests/bench/cells.py

scikit-learn's digits in K shards by k-means; the router `moments` is made of half of the items, with pooled variances
of as many items' worth as each column says, and routes the noised other half under their classes. Each number is the
cross entropy of the item's own shard, in nats, a mean over four halves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from mixvel_core.data.conditions import class_fractions
from mixvel_core.field import class_gaussians
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import CLASS, Condition, ConditionSpec, RouterConfig
from mixvel_core.testing.problems import MemoryShard
from mixvel_routers.moments import MomentsFamily
from mixvel_schedules.schedules import Cosine

SHARDS, POOLED, HALVES = (4, 8), (0.0, 1.0, 3.0, 10.0, 30.0, 100.0), 4
FAMILIES = (MomentsFamily(rank=0), MomentsFamily(rank=8), MomentsFamily(components=4))


def cross_entropies(family: MomentsFamily, items: np.ndarray, labels: np.ndarray, home: np.ndarray) -> Iterator[float]:
    """One for each half. ``home``: the shard of each item."""
    for half in range(HALVES):
        seen = np.random.default_rng(half).random(len(items)) < 0.5
        shards = [
            MemoryShard(
                items=items[seen & (home == k)],
                index=k,
                fraction=float((home[seen] == k).mean()),
                conditions=(ConditionSpec(name=CLASS, classes=10),),
                values={CLASS: labels[seen & (home == k)]},
            )
            for k in range(int(home.max()) + 1)
        ]
        config = RouterConfig(
            fractions=tuple(shard.fraction for shard in shards),
            shape=shards[0].shape,
            conditions=shards[0].conditions,
            class_fractions=class_fractions(shards),
        )
        router = family.load(config, family.tensors(shards, {}), Cosine())
        x_0 = torch.from_numpy(items[~seen])
        generator = torch.Generator().manual_seed(half)
        t = 0.02 + 0.96 * torch.rand(len(x_0), generator=generator)
        x = add_noise(x_0, torch.randn(x_0.shape, generator=generator), point_for(Cosine(), t, x_0))
        condition = Condition(values={CLASS: torch.from_numpy(labels[~seen])})
        a = router.given(condition).weights(x, t, None)[0].double()
        own = a.gather(1, torch.from_numpy(home[~seen])[:, None])
        yield float(-own.clamp_min(1e-6).log().mean())


def main() -> None:
    """Prints a Markdown table."""
    torch.set_num_threads(1)
    digits = load_digits()
    items, labels = (digits.images / 8 - 1).astype(np.float32)[:, None], digits.target.astype(np.int64)
    print(f"| K | router | {' | '.join(f'{pooled:g}' for pooled in POOLED)} |")
    print("|---" * (2 + len(POOLED)) + "|")
    for K in SHARDS:
        home = KMeans(K, n_init=3, random_state=0).fit_predict(items.reshape(len(items), -1)).astype(np.int64)
        for family in FAMILIES:
            found = []
            for pooled in POOLED:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(class_gaussians, "POOLED", pooled)
                    found.append(float(np.mean(list(cross_entropies(family, items, labels, home)))))
            name = f"components: {family.components}" if family.components > 1 else f"rank: {family.rank}"
            print(f"| {K} | `{name}` | {' | '.join(f'{value:.3f}' for value in found)} |")


if __name__ == "__main__":
    main()
