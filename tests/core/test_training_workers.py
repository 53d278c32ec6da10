"""Two workers, each with half of every batch, learn what one learns alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from trainable import level_job, run

from mixvel_core.training.losses import read_losses
from mixvel_core.training.result import read_trained
from mixvel_core.training.world import World

_WORKER = """
import os
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from trainable import level_job, run
from mixvel_core.training.world import World

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)

def mean(value):
    total = value.clone()
    dist.all_reduce(total)
    return total / 2

run(level_job(folder / "job"), world=World(rank=rank, size=2, wrap=DistributedDataParallel, mean=mean))
dist.barrier()
dist.destroy_process_group()
# gloo's threads may still be ending: torn down under them, the interpreter aborts after all is done.
os._exit(0)
"""


def test_two_processes_train_the_same_network(tmp_path: Path) -> None:
    tests = Path(__file__).parent.parent
    path = [str(tests / "helpers"), str(tests.parent), str(tests.parent / "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(rank), str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    run(level_job(tmp_path / "alone"))
    together, alone = read_trained(tmp_path / "job"), read_trained(tmp_path / "alone")
    torch.testing.assert_close(together["level"], alone["level"], rtol=1e-4, atol=1e-5)
    ours, theirs = (read_losses(tmp_path / name / "losses.csv") for name in ("job", "alone"))
    assert ours["step"] == theirs["step"]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    assert ours["time"] == pytest.approx(theirs["time"], rel=1e-5)


def test_a_worker_that_does_not_lead_writes_nothing(tmp_path: Path) -> None:
    run(level_job(tmp_path / "job", tensorboard=tmp_path / "events"), world=World(rank=1, size=2))
    assert not list(tmp_path.rglob("*"))
