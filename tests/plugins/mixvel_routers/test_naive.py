from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from trainable import MemoryShard, run

from mixvel_core.errors import ArtifactError
from mixvel_core.protocols import Job, Router, RouterConfig
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.options import TrainOptions
from mixvel_routers.a_network import NaiveFamily, NaiveRouter
from mixvel_schedules.schedules import Cosine


def test_all_weight_goes_to_the_shard_that_is_named(tmp_path: Path) -> None:
    shards = [MemoryShard(index=k, items=np.full((2, 1), s, np.float32)) for k, s in enumerate((-1, 1))]
    train = TrainOptions(steps=150, batch=64, warmup=2, learning_rate=1e-2, ema=0.9, checkpoint_every=150)
    family = NaiveFamily(width=16, depth=2, train=train)
    run(Job(name="router-naive", task=family.tasks(shards, Cosine())["classifier"], seed=0, folder=tmp_path))
    tensors = family.tensors(shards, {"classifier": read_trained(tmp_path)})
    router: Router = family.load(RouterConfig(fractions=(0.5, 0.5), shape=(1,)), tensors, Cosine())
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=torch.float64)[:, None]
    a, state = router.weights(x, torch.full((4,), 0.4, dtype=torch.float64), router.start(x, torch.ones(4)))
    assert state is None
    assert a.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    with pytest.raises(ArtifactError, match="router naive: made for another network"):
        family.load(RouterConfig(fractions=(0.2, 0.3, 0.5), shape=(1,)), tensors, Cosine())


def test_a_broken_network_is_not_hidden() -> None:
    class Broken(torch.nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return torch.full((len(x), 2), torch.nan)

    a, _ = NaiveRouter(network=Broken()).weights(torch.zeros(3, 1), torch.zeros(3), None)
    assert a.isnan().all()
