"""The loop: known optimum, exact resume, nothing done twice, nothing lost."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from trainable import LevelObjective, StoppedError, Watching, level_job, run, short, stop_at, vectors

from mixvel_core.errors import ArtifactError, TrainingError
from mixvel_core.protocols import Batch
from mixvel_core.training.checkpoint import is_trained, read_trained, trained_path
from mixvel_core.training.log import read_losses
from mixvel_core.training.state import learning_rate


def _files(folder: Path) -> dict[str, bytes]:
    """All but the timing, which is never the same."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    found.pop("speed.json", None)
    return found


def _checkpoints(folder: Path) -> list[int]:
    return sorted(int(p.stem.removeprefix("step-")) for p in (folder / "state").iterdir())


@pytest.fixture
def straight(tmp_path: Path) -> Path:
    """The folder of an uninterrupted training."""
    folder = tmp_path / "straight"
    run(level_job(folder))
    return folder


def test_the_known_optimum_is_found(tmp_path: Path) -> None:
    items = vectors(8)
    # A batch is an epoch: the loss of every step is the same, least at the mean.
    run(level_job(tmp_path, items=items, options=short(steps=200, batch=8)))
    torch.testing.assert_close(read_trained(tmp_path)["level"], torch.from_numpy(items.mean(0)), atol=2e-3, rtol=0)
    losses = read_losses(tmp_path / "losses.csv")
    assert losses["loss"][-1] == pytest.approx(items.var(axis=0).mean(), abs=1e-4)


def test_what_a_training_leaves(straight: Path) -> None:
    assert sorted(_files(straight)) == [
        "losses.csv",
        "state/step-000000024.safetensors",
        "state/step-000000030.safetensors",
        "trained.safetensors",
    ]
    losses = read_losses(straight / "losses.csv")
    assert list(losses) == ["step", "loss", "time"]
    assert losses["step"] == [1, 5, 10, 15, 20, 25, 30]
    trained = read_trained(straight)
    assert trained["level"].dtype == torch.float32
    assert int(trained["seen"]) == 30 * 4


def test_training_is_a_function_of_the_seed_alone(straight: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    run(level_job(tmp_path / "again"))
    assert torch.equal(torch.get_rng_state(), before)
    assert _files(tmp_path / "again") == _files(straight)
    run(level_job(tmp_path / "other", seed=8))
    assert not torch.equal(read_trained(tmp_path / "other")["level"], read_trained(straight)["level"])


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("stops", [(0,), (5,), (8,), (13,), (29,), (30,), (3, 9, 21)])
def test_interrupted_and_resumed_equals_uninterrupted(
    straight: Path, tmp_path: Path, stops: tuple[int, ...], error: type[BaseException]
) -> None:
    job = level_job(tmp_path / "resumed")
    for stop in stops:
        with pytest.raises(error):
            run(job, stop_at(stop, error))
        assert not is_trained(job.folder)
        if error is not StoppedError:
            assert _checkpoints(job.folder)[-1] == stop
    started: list[int] = []
    run(job, Watching(on_update=lambda done, note: started.append(done)))
    resumed, expected = _files(job.folder), _files(straight)
    assert resumed["trained.safetensors"] == expected["trained.safetensors"]
    assert resumed["losses.csv"] == expected["losses.csv"]
    last = "state/step-000000030.safetensors"
    assert resumed[last] == expected[last]
    assert started[0] == (stops[-1] if error is not StoppedError else stops[-1] // 8 * 8 if stops[-1] < 30 else 30)


def test_a_real_interrupt_is_answered_after_the_step(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, losses = level_job(tmp_path / "resumed"), LevelObjective.losses

    def interrupted(self: LevelObjective, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        if round(batch.progress * 30) == 12:
            signal.raise_signal(signal.SIGINT)
        return losses(self, network, batch)

    monkeypatch.setattr(LevelObjective, "losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(job)
    monkeypatch.undo()
    assert _checkpoints(job.folder) == [8, 13]
    run(job)
    assert trained_path(job.folder).read_bytes() == trained_path(straight).read_bytes()


@pytest.mark.parametrize("damage", ["cut", "renamed"])
def test_a_damaged_checkpoint_is_named_and_passed_over(straight: Path, tmp_path: Path, damage: str) -> None:
    job = level_job(tmp_path / "resumed", options=short(keep=3))
    with pytest.raises(StoppedError):
        run(job, stop_at(20))
    state = job.folder / "state"
    newest = state / "step-000000016.safetensors"
    if damage == "cut":
        newest.write_bytes(newest.read_bytes()[:-5])
    else:
        newest = newest.rename(state / "step-000000024.safetensors")
    (state / ".step-000000024.safetensors.abc").write_bytes(b"what a killed process was writing")
    progress = Watching()
    steps: list[int] = []
    run(job, evolve(progress, on_update=lambda done, note: steps.append(done)))
    assert progress.lines == [f"{newest}: damaged; removed, its steps are done again"]
    assert steps[0] == 8
    assert trained_path(job.folder).read_bytes() == trained_path(straight).read_bytes()
    assert _checkpoints(job.folder) == [16, 24, 30]


def test_with_one_kept_a_damaged_one_does_not_push_out_the_good(tmp_path: Path) -> None:
    job = level_job(tmp_path, options=short(keep=1))
    with pytest.raises(StoppedError):
        run(job, stop_at(10))
    (tmp_path / "state" / "step-000000029.safetensors").write_bytes(b"damaged")
    with pytest.raises(StoppedError):
        run(job, stop_at(17))
    assert _checkpoints(tmp_path) == [16]


def test_a_finished_job_is_not_run_again(straight: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in straight.rglob("*")}
    progress = stop_at(0)
    run(level_job(straight), progress)
    assert progress.lines == ["level: already trained"]
    assert {p: p.stat().st_mtime_ns for p in straight.rglob("*")} == before


def test_a_damaged_result_is_made_again_from_the_last_checkpoint(straight: Path) -> None:
    before = _files(straight)
    path = trained_path(straight)
    path.write_bytes(path.read_bytes()[:-1])
    steps: list[int] = []
    progress = Watching(on_update=lambda done, note: steps.append(done))
    run(level_job(straight), progress)
    assert progress.lines == [f"{path}: damaged; made again"]
    assert steps == [30]
    assert _files(straight) == before


def test_housekeeping_may_change_between_runs(straight: Path, tmp_path: Path) -> None:
    job = level_job(tmp_path, options=short(checkpoint_every=3))
    with pytest.raises(StoppedError):
        run(job, stop_at(10))
    run(level_job(tmp_path, options=short(keep=4, checkpoint_every=11)))
    assert trained_path(tmp_path).read_bytes() == trained_path(straight).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": short(steps=40)}, "made with steps 30, not 40"),
        ({"options": short(ema=0.5)}, r"made with ema 0\.9, not 0\.5"),
        ({"seed": 8}, "made with seed 7, not 8"),
        ({"items": vectors(11)}, "made with items 10, not 11"),
        ({"items": vectors(10, 5)}, r"level is float32 \(3,\) where float32 \(5,\) is expected"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(StoppedError):
        run(level_job(tmp_path), stop_at(10))
    before = _files(tmp_path)
    with pytest.raises(ArtifactError, match=message):
        run(level_job(tmp_path, **changes))  # type: ignore[arg-type]  # each of its own type
    assert _files(tmp_path) == before


@pytest.mark.parametrize("error", [TrainingError, KeyboardInterrupt])
def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_good(
    tmp_path: Path, error: type[BaseException]
) -> None:
    job = level_job(tmp_path, spoiled=18)
    # Interrupted before it is noticed, it is not saved either.
    progress = stop_at(19, error) if error is KeyboardInterrupt else Watching()
    with pytest.raises(error) as caught:
        run(job, progress)
    if error is TrainingError:
        assert str(caught.value).startswith("level: step 18: the loss or its gradient is not finite")
    assert _checkpoints(tmp_path) == [8, 16]
    assert all(np.isfinite(read_losses(tmp_path / "losses.csv")["loss"]))
    assert not is_trained(tmp_path)


def test_the_note_is_the_latest_recorded_loss(tmp_path: Path) -> None:
    notes: dict[int, str] = {}
    run(level_job(tmp_path), Watching(on_update=notes.__setitem__))
    losses = read_losses(tmp_path / "losses.csv")
    assert list(notes) == list(range(31))
    assert notes[0] == ""
    assert notes[5] == notes[9] == f"loss {losses['loss'][1]:.4f}"


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path: Path) -> None:
    job = level_job(tmp_path / "job", tensorboard=tmp_path / "events")
    with pytest.raises(StoppedError):
        run(job, stop_at(23))
    run(job)
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    losses = read_losses(job.folder / "losses.csv")
    beside = ["training/gradient_norm", "training/images_per_second", "training/learning_rate"]
    assert sorted(events.Tags()["scalars"]) == ["loss", "time", *beside]
    rates = [s.value for s in events.Scalars("training/learning_rate")]
    assert rates == pytest.approx([learning_rate(int(step) - 1, job.task.options) for step in losses["step"]])
    assert all(s.value > 0 for name in beside[:2] for s in events.Scalars(name))
    scalars = events.Scalars("loss")
    assert [s.step for s in scalars] == losses["step"]
    assert [s.value for s in scalars] == pytest.approx(losses["loss"])
