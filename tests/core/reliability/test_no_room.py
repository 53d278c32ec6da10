"""Disks that are full and folders that cannot be written: one line, and what was there is still of use."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from attrs import define
from trainable import level_job, short
from trainable import run as train
from whole_runs import EXACT, results, run, snapshot

from mixvel_core.errors import ArtifactError, MixvelError, UsageError
from mixvel_core.pipeline.more_samples import sample_run
from mixvel_core.protocols.progress import Silent
from mixvel_core.training.checkpoint import is_trained, read_trained
from mixvel_core.training.log import FILE


@define
class Full:
    """From file number ``room`` on, the operating system refuses this process every byte, whatever library writes."""

    room: int
    make: Callable[..., tuple[int, str]]
    writes: int = 0

    def __call__(self, prefix: str, suffix: str, dir: Path) -> tuple[int, str]:
        self.writes += 1
        if self.writes > self.room:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return self.make(prefix=prefix, suffix=suffix, dir=dir)


@contextmanager
def full_after(room: int) -> Iterator[Full]:
    """A disk with room for so many files more."""
    disk, limits = Full(room=room, make=tempfile.mkstemp), resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixvel_core.artifacts.files.tempfile.mkstemp", disk)
        try:
            yield disk
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _one_line(error: MixvelError, folder: Path) -> None:
    assert "\n" not in str(error)
    assert str(folder) in str(error)
    assert "cannot be written" in str(error)
    assert "File too large" in str(error) or "No space left on device" in str(error)


def test_a_run_goes_on_from_wherever_the_disk_was_full(tmp_path: Path) -> None:
    with full_after(10**6) as disk:
        run(EXACT, tmp_path / "whole", stage="evaluate")
    expected, writes = results(tmp_path / "whole"), disk.writes
    assert writes > 30
    for room in range(0, writes, 3):
        folder = tmp_path / str(room % 2)
        shutil.rmtree(folder, ignore_errors=True)
        with full_after(room), pytest.raises(ArtifactError) as refused:
            run(EXACT, folder, stage="evaluate")
        _one_line(refused.value, folder)
        assert not list(folder.rglob(".*"))
        run(EXACT, folder, stage="evaluate")
        assert results(folder) == expected, f"room for {room} files"


def test_a_training_goes_on_from_wherever_the_disk_was_full(tmp_path: Path) -> None:
    with full_after(10**6) as disk:
        train(level_job(tmp_path / "whole"))
    for room in range(disk.writes):
        job = level_job(tmp_path / str(room))
        with full_after(room), pytest.raises(ArtifactError) as refused:
            train(job)
        _one_line(refused.value, job.folder)
        assert not is_trained(job.folder)
        train(job)
        for name in (FILE, "trained.safetensors"):
            assert (job.folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def _opening(to_full: str) -> Callable[..., IO[Any]]:
    """``Path.open``, for which files whose names begin with ``to_full`` are on a full disk."""
    opened = Path.open

    def open_(path: Path, mode: str = "r", **how: Any) -> IO[Any]:
        return opened(Path("/dev/full") if path.name.startswith(to_full) and mode[0] in "aw" else path, mode, **how)

    return open_


def test_no_room_for_losses_and_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = short(steps=10)
    train(level_job(tmp_path / "whole", options=options))
    for what in ("losses.csv", "events"):
        job = level_job(tmp_path / what / "job", options=options, tensorboard=tmp_path / what / "events")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", _opening(what))
            with pytest.raises(ArtifactError) as refused:
                train(job)
        _one_line(refused.value, tmp_path / what)
        train(job)
        assert read_trained(job.folder).keys() == read_trained(tmp_path / "whole").keys()
        assert (job.folder / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, whom nothing keeps from writing."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_run_that_may_be_read_alone() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, elsewhere = Path(place) / "run", Path(place) / "elsewhere"
        run(EXACT, folder, stage="evaluate")
        options = ["sample.count=2", "sample.steps=[2]", "sample.seeds=[1]"]
        # As root, who may read all of Python: what is imported late is in memory from here on.
        sample_run(folder, options, router=None, monolith=False, out=Path(place) / "early", progress=Silent())
        elsewhere.mkdir()
        elsewhere.chmod(0o777)
        Path(place).chmod(0o755)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = snapshot(folder)
        try:
            with nobody():
                for command in (
                    lambda: run(EXACT, folder),
                    lambda: run(EXACT, folder, fresh=()),
                    lambda: sample_run(
                        folder, options, router=None, monolith=False, out=folder / "more", progress=Silent()
                    ),
                ):
                    with pytest.raises(UsageError, match=r"run: cannot be written \(Permission denied\)") as refused:
                        command()
                    assert "\n" not in str(refused.value)
                made = sample_run(folder, options, router=None, monolith=False, out=elsewhere, progress=Silent())
                assert made[0].exists()
            assert snapshot(folder) == before
        finally:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755)
