"""Checkpoints: one sealed file each, the newest few kept, the newest valid one taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from mixvel_core.errors import ArtifactError
from mixvel_core.protocols.progress import Progress
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.sealed import read_sealed, write_sealed
from mixvel_core.training.state import TrainState

_HOUSEKEEPING = ("checkpoint_every", "keep", "log_every")


def identity(seed: int, items: int, options: TrainOptions) -> dict[str, Any]:
    """What must be the same for a training to go on from a checkpoint: all that its result depends on."""
    chosen = {name: value for name, value in asdict(options).items() if name not in _HOUSEKEEPING}
    return {"seed": seed, "items": items, "options": chosen}


@frozen(kw_only=True)
class Checkpoints:
    """The checkpoints of one job in ``folder``, ``keep`` at most, all of the training called ``identity``."""

    folder: Path
    keep: int
    identity: Mapping[str, Any]

    def save(self, state: TrainState) -> None:
        """Writes the state at its step and removes what is older than the newest ``keep``."""
        write_sealed(self._path(state.step), state.tensors(), {**self.identity, "step": state.step})
        for path in self._paths()[: -self.keep]:
            path.unlink()

    def resume(self, state: TrainState, progress: Progress) -> None:
        """Restores the newest valid checkpoint into a fresh ``state``, which stays as it is where there is none.

        Damaged ones are named and removed: their steps are done again. Raises ArtifactError for a checkpoint
        that is whole but belongs to another network, other data or other options.
        """
        for leftover in self.folder.glob(".*"):
            leftover.unlink(missing_ok=True)  # what a killed process was writing
        for path in reversed(self._paths()):
            try:
                tensors, metadata = read_sealed(path)
                self._check_step(path, metadata)
            except ArtifactError:
                progress.line(f"{path}: damaged; removed, its steps are done again")
                # Kept, it would count among the newest and push a good one out. Another worker may be faster.
                path.unlink(missing_ok=True)
                continue
            self._check_identity(path, metadata)
            state.restore(tensors, metadata["step"], str(path))
            return

    def _check_step(self, path: Path, metadata: Mapping[str, Any]) -> None:
        step = metadata.get("step")
        if not isinstance(step, int) or path != self._path(step):
            raise ArtifactError(f"{path}: damaged (it holds step {step})")

    def _check_identity(self, path: Path, metadata: Mapping[str, Any]) -> None:
        found, wanted = _flat(metadata), _flat(self.identity)
        for name, value in wanted.items():
            if found.get(name) != value:
                raise ArtifactError(
                    f"{path}: made with {name} {found.get(name)}, not {value}; "
                    "set it back, choose another folder, or start afresh"
                )

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.safetensors"

    def _paths(self) -> list[Path]:
        """Oldest first: the width of the number makes the order of names the order of steps."""
        return sorted(self.folder.glob("step-*.safetensors"))


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in identity.items() if k != "options"} | dict(identity.get("options", {}))
