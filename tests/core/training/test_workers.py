"""Two workers, each with half of every batch, learn what one learns alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ray_drills import drill
from trainable import level_job, run

from mixvel_core.errors import ArtifactError
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.log import read_losses
from mixvel_core.training.world import World

_WORKER = """
import os
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from ray_drills import drill
from trainable import run, stop_at
from mixvel_core.errors import MixvelError
from mixvel_ray.fit import world_of

rank, folder, what = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting-{what}", rank=rank, world_size=2)
job = drill("drill", folder / "job", spoiled_rank=1 if what == "spoiled" else -1)
try:
    run(job, stop_at(21, KeyboardInterrupt) if what == "stopped" else None, world_of(rank, 2, torch.device("cpu")))
except (MixvelError, KeyboardInterrupt) as error:
    print(type(error).__name__, error)
dist.barrier()
dist.destroy_process_group()
# gloo's threads may still be ending: torn down under them, the interpreter aborts after all is done.
sys.stdout.flush()
os._exit(0)
"""


def two(folder: Path, what: str) -> list[str]:
    """Two workers train a drill in ``folder / "job"``; what each of them said."""
    tests = Path(__file__).parents[2]
    path = [str(tests / "helpers"), str(tests.parent), str(tests.parent / "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(rank), str(folder), what],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = []
    for worker in workers:
        out, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors
        said.append(out.strip())
    return said


def test_two_processes_train_the_same_network_stopped_or_not(tmp_path: Path) -> None:
    assert two(tmp_path, "stopped") == ["KeyboardInterrupt"] * 2
    [*_, newest] = sorted((tmp_path / "job" / "state").iterdir())
    newest.write_bytes(newest.read_bytes()[:-9])
    assert two(tmp_path, "resumed") == [""] * 2
    run(drill("alone", tmp_path / "alone"))
    together, alone = read_trained(tmp_path / "job"), read_trained(tmp_path / "alone")
    torch.testing.assert_close(together["level"], alone["level"], rtol=1e-4, atol=1e-5)
    ours, theirs = (read_losses(tmp_path / name / "losses.csv") for name in ("job", "alone"))
    assert ours["step"] == theirs["step"]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    assert ours["time"] == pytest.approx(theirs["time"], rel=1e-5)


def test_what_goes_wrong_at_one_worker_stops_both_at_the_same_step(tmp_path: Path) -> None:
    [first, second] = two(tmp_path, "spoiled")
    assert first == second
    assert first.startswith("TrainingError drill: step 6: the loss or its gradient is not finite")


def _told() -> Callable[[int], int]:
    """What the leading worker says: that nothing is finished, then that it goes on from step 16."""
    words = iter([0, 16])
    return lambda number: next(words)


def test_a_worker_that_cannot_read_the_leading_ones_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"step-000000016\.safetensors: missing.* every worker must see"):
        run(level_job(tmp_path), world=World(rank=1, size=2, agree=_told()))


def test_a_worker_that_does_not_lead_writes_nothing(tmp_path: Path) -> None:
    run(level_job(tmp_path / "job", tensorboard=tmp_path / "events"), world=World(rank=1, size=2))
    assert not list(tmp_path.rglob("*"))
