"""Checkpoints while a network is trained, and trained.safetensors, the result that a finished job leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from torch import Tensor

from mixvel_core.artifacts.files import checksum
from mixvel_core.artifacts.tensors import read_checksummed, write_checksummed
from mixvel_core.errors import ArtifactError
from mixvel_core.plugin.options import key_values
from mixvel_core.protocols.progress import Progress
from mixvel_core.training.log import FILE
from mixvel_core.training.options import HOUSEKEEPING, TrainOptions
from mixvel_core.training.state import TrainState
from mixvel_core.training.world import World


def identity(seed: int, items: int, options: TrainOptions) -> dict[str, Any]:
    """What must be the same for a training to go on from a checkpoint: all that its result depends on."""
    chosen = {name: value for name, value in key_values(options) if name not in HOUSEKEEPING}
    return {"seed": seed, "items": items, "options": chosen}


@frozen(kw_only=True)
class Checkpoints:
    """The checkpoints of one job in ``folder``, ``keep`` at most, all of the training called ``identity``."""

    folder: Path
    keep: int
    identity: Mapping[str, Any]

    def save(self, state: TrainState) -> None:
        """Writes the state at its step and removes what is older than the newest ``keep``."""
        write_checksummed(self._path(state.step), state.tensors(), {**self.identity, "step": state.step})
        for path in self._paths()[: -self.keep]:
            path.unlink()

    def resume(self, state: TrainState, progress: Progress, world: World) -> None:
        """Restores the newest valid checkpoint into a fresh ``state``, which stays as it is where there is none.

        The worker that leads chooses it, and all others take up the same. Damaged ones are named and removed: their
        steps are done again. Raises ArtifactError for a checkpoint that is whole but belongs to another network,
        other data or other options, and where a worker cannot read what the leading one has read.
        """
        if world.leads:
            self._take_newest(state, progress)
        step = world.agree(state.step)
        if not world.leads and step:
            try:
                found = self._read(self._path(step))
            except ArtifactError as error:
                raise ArtifactError(f"{error}; every worker must see the run folder as the leading one does") from None
            self._restore(*found, state)
        if state.step != step:
            raise ArtifactError(f"{self._path(step)}: worker {world.rank} is at step {state.step}; run again to go on")

    def _take_newest(self, state: TrainState, progress: Progress) -> None:
        for leftover in self.folder.glob(".*"):
            leftover.unlink(missing_ok=True)  # what a killed process was writing
        for path in reversed(self._paths()):
            try:
                found = self._read(path)
            except ArtifactError:
                progress.line(f"{path}: damaged; removed, its steps are done again")
                # Kept, it would count among the newest and push a good one out.
                path.unlink(missing_ok=True)
                continue
            self._restore(*found, state)
            return

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, metadata = read_checksummed(path)
        step = metadata.get("step")
        if not isinstance(step, int) or path != self._path(step):
            raise ArtifactError(f"{path}: damaged (it holds step {step})")
        return tensors, metadata

    def _restore(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], state: TrainState) -> None:
        path = self._path(metadata["step"])
        found, wanted = _flat(metadata), _flat(self.identity)
        for name, value in wanted.items():
            if found.get(name) != value:
                raise ArtifactError(
                    f"{path}: made with {name} {found.get(name)}, not {value}; "
                    "set it back, choose another folder, or start afresh"
                )
        state.restore(tensors, metadata["step"], str(path))

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.safetensors"

    def _paths(self) -> list[Path]:
        """Oldest first: the width of the number makes the order of names the order of steps."""
        return sorted(self.folder.glob("step-*.safetensors"))


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in identity.items() if k != "options"} | dict(identity.get("options", {}))


_LOSSES = "losses"


def trained_path(folder: Path) -> Path:
    """Where a job with this folder leaves its result."""
    return folder / "trained.safetensors"


def write_trained(folder: Path, average: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Keeps the averaged state of the network, floats as float32, and the checksum of the losses beside it."""
    kept = {name: value.float() if value.is_floating_point() else value for name, value in average.items()}
    write_checksummed(trained_path(folder), kept, {**metadata, _LOSSES: checksum(folder / FILE)})


def read_trained(folder: Path) -> dict[str, Tensor]:
    """The averaged state of a finished job's network. Raises ArtifactError where it is absent or damaged."""
    return read_checksummed(trained_path(folder))[0]


def is_trained(folder: Path) -> bool:
    """Whether the job with this folder is done: its result and its losses are there and whole."""
    return trained_path(folder).exists() and damaged(folder) is None


def damaged(folder: Path) -> Path | None:
    """The file of a finished job that is not as it was written; None where all are, or the job is not finished."""
    path = trained_path(folder)
    if not path.exists():
        return None
    try:
        metadata = read_checksummed(path)[1]
    except ArtifactError:
        return path
    losses = folder / FILE
    return None if losses.is_file() and checksum(losses) == metadata.get(_LOSSES) else losses
