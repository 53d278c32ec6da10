"""The parts of an exported folder as diffusers' pipelines have them: loaded from a subfolder each, and saved again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from mixvel_core.errors import UsageError
from mixvel_core.export.parts import read_part


class _Part:
    """A part that lies in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The part in a subfolder of an exported folder. Of its files none is read yet."""
        return cls(Path(folder))

    @property
    def config(self) -> dict[str, Any]:
        """What the part says of itself. Raises ArtifactError where it cannot be read."""
        return read_part(self.folder)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Copies the part. Raises UsageError where something is there."""
        if Path(save_directory).exists():
            raise UsageError(f"{save_directory}: is there already; choose another folder")
        shutil.copytree(self.folder, save_directory)


class ExpertsPart(_Part, nn.Module):
    """The experts, which are loaded when they are first needed. It has a device and a type, as a network does."""

    place: Tensor

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(folder)
        self.register_buffer("place", torch.zeros((), dtype=dtype), persistent=False)

    @classmethod
    def from_pretrained(cls, folder: str | Path, torch_dtype: torch.dtype | None = None) -> Self:
        """The experts of an exported folder. ``torch_dtype``: bfloat16 lets networks compute in it; None: float32."""
        return cls(Path(folder), torch_dtype or torch.float32)

    @property
    def device(self) -> torch.device:
        """Where they compute: ``.to("cuda")`` moves them."""
        return self.place.device

    @property
    def dtype(self) -> torch.dtype:
        """In what their networks compute."""
        return self.place.dtype


class RouterPart(_Part):
    """The router of a pipeline, as a component with files of its own."""


class CodecPart(_Part):
    """What makes items of the latents that the experts sample."""


class SchedulePart(_Part):
    """The noise schedule of a pipeline, as a component with files of its own."""


class SamplerPart(_Part):
    """How trajectories are followed: selector, integrator, time grid, weights, steps."""
