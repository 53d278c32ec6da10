"""Ray Data reads the same items in the same order as threads do, while the training holds every CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from trainable import LevelTask, run, short

from mixvel_core.data.parquet_items import ParquetItems, read_stream, shard_writer, write_stream
from mixvel_core.errors import DataError
from mixvel_core.protocols import Job
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.world import World
from mixvel_ray.cluster import cluster
from mixvel_ray.streaming import ClusterReader


@pytest.fixture
def all_cpus_held() -> Iterator[None]:
    """A cluster of one CPU that is taken."""
    import ray
    from ray.util import placement_group

    with cluster(None, 1, False):
        ray.get(placement_group([{"CPU": 1}]).ready())
        yield


def _job(folder: Path, items: ParquetItems) -> Job:
    task = LevelTask(items=items, options=short(batch=6, steps=12))  # type: ignore[arg-type]  # a task takes any items
    return Job(name="level", task=task, seed=7, folder=folder)


@pytest.mark.slow
# Ray copies its settings and warns of those of its own that it is about to rename.
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_the_same_weights_and_the_same_refusal(all_cpus_held: None, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).normal(0.2, 0.4, (38, 3)).astype(np.float32)
    with shard_writer(str(tmp_path / "stream"), (3,), stored.dtype, 5) as writer:
        writer.write(stored)
    write_stream(tmp_path / "stream", None, writer.column, writer.files, window=3)
    items = read_stream(tmp_path / "stream")
    run(_job(tmp_path / "threads", items))
    run(_job(tmp_path / "ray", items), world=World(reader=ClusterReader()))
    threads, ray = read_trained(tmp_path / "threads"), read_trained(tmp_path / "ray")
    assert all(torch.equal(threads[name], ray[name]) for name in threads)

    [file] = (tmp_path / "stream").glob("*.parquet")
    file.unlink()
    with pytest.raises(DataError) as caught:
        list(ClusterReader().read(items.groups[:2], items.column, 2))
    assert type(caught.value) is DataError
    assert str(caught.value).startswith(f"{file}: does not exist")
    assert "\n" not in str(caught.value)
