"""A real cluster of two nodes, simulated on this machine, that loses workers and a node.

All of it in three launches, because each run of Ray Train takes seconds to begin.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray_drills import drill, on_a_shard, ray_environment
from trainable import Watching, run

from mixvel_core.errors import RecipeError, TrainingError
from mixvel_core.protocols import Job
from mixvel_core.training.checkpoint import read_trained, trained_path
from mixvel_core.training.log import read_losses
from mixvel_ray.launcher import RayLauncher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # Ray warns of what it does itself, in its own modules.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """Two nodes of two CPUs each, the driver on the first one."""
    with ray_environment():
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        second = cluster.add_node(num_cpus=2)
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
        try:
            yield cluster, second
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """What the local launcher's loop makes of it."""
    folder = tmp_path_factory.mktemp("alone")
    run(drill("alone", folder))
    return read_trained(folder)


def test_conditions_count_in_what_is_learnt(alone: dict[str, torch.Tensor], tmp_path: Path) -> None:
    without = drill("without", tmp_path, conditions=(), values={})
    run(without)
    assert (read_trained(without.folder)["level"] - alone["level"]).abs().min() > 0.1


def check_like(job: Job, alone: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(read_trained(job.folder)["level"], alone["level"], rtol=0, atol=1e-5)


def test_two_workers_one_of_them_killed(two_nodes: Any, alone: dict[str, torch.Tensor], tmp_path: Path) -> None:
    flag = tmp_path / "killed"
    steady = drill("steady", tmp_path / "steady")
    killed = drill("killed", tmp_path / "run", killed_once=flag)
    progress = Watching()
    RayLauncher(workers=2).run([steady, killed], progress)
    assert flag.exists()
    assert trained_path(killed.folder).read_bytes() == trained_path(steady.folder).read_bytes()
    check_like(steady, alone)
    [line] = progress.lines
    assert line.startswith("killed: a worker was lost about step ")
    logs = [read_losses(job.folder / "losses.csv") for job in (steady, killed)]
    assert logs[0] == logs[1]
    assert logs[0]["step"] == [1, 5, 10, 15, 20, 25, 30, 35, 40]
    assert not list(tmp_path.rglob(".*"))


def test_one_worker_killed_ends_with_the_bits_of_the_local_loop(
    two_nodes: Any, alone: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    killed = drill("killed", tmp_path / "run", killed_once=tmp_path / "flag")
    RayLauncher(workers=1, threads=1).run([killed], Watching())
    assert (tmp_path / "flag").exists()
    assert torch.equal(read_trained(killed.folder)["level"], alone["level"])


def test_what_one_worker_cannot_go_on_with_stops_both_and_is_raised(two_nodes: Any, tmp_path: Path) -> None:
    spoiled = drill("spoiled", tmp_path / "spoiled", spoiled_rank=1)
    with pytest.raises(TrainingError, match=r"^spoiled: step 6: the loss or its gradient is not finite"):
        RayLauncher(workers=2).run([spoiled], Watching())
    assert not trained_path(spoiled.folder).exists()


def test_what_the_cluster_cannot_hold_is_refused_before_anything_starts(two_nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no node of the cluster has a GPU"):
        RayLauncher(workers=2, cpus=2, gpus=1).run([drill("d", tmp_path)], Watching())
    with pytest.raises(RecipeError, match="a job needs 4 workers of 2 CPU each, and the cluster holds 2"):
        RayLauncher(workers=4, cpus=2).run([drill("d", tmp_path)], Watching())
    assert not list(tmp_path.iterdir())


def test_a_node_is_lost_and_each_job_has_its_own_shard_alone(
    two_nodes: Any, alone: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Last, because the node does not come back."""
    cluster, second = two_nodes
    for k in range(2):
        (tmp_path / f"nodes-{k}").mkdir()
    jobs = [drill(f"expert-{k}", tmp_path / str(k), pause=0.1, notes=tmp_path / f"nodes-{k}") for k in range(2)]
    jobs = [on_a_shard(job, tmp_path / f"silo-{k}", k) for k, job in enumerate(jobs)]
    over = threading.Event()
    lost = threading.Thread(target=lose, args=(cluster, second, jobs, over))
    lost.start()
    try:
        # Two CPUs a worker: a node holds one.
        RayLauncher(cpus=2, threads=1).run(jobs, Watching())
    finally:
        over.set()
        lost.join()
    seen = [{note.name for note in (tmp_path / f"nodes-{k}").iterdir()} for k in range(2)]
    assert sorted(map(len, seen)) == [1, 2], "one of the two was on the lost node, and both ended on the first"
    for job in jobs:
        check_like(job, alone)
    assert trained_path(jobs[0].folder).read_bytes() == trained_path(jobs[1].folder).read_bytes()


def lose(cluster: Any, node: Any, jobs: list[Job], over: threading.Event) -> None:
    """Removes the node once both jobs have a checkpoint."""
    while not all(list(job.folder.glob("state/step-*")) for job in jobs):
        if over.wait(0.05):
            return
    cluster.remove_node(node, allow_graceful=False)
