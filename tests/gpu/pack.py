"""A run folder in a few files of limited size, to be taken elsewhere: `cat run.tar.? | tar -x -C FOLDER` unpacks it.

Left out are what trainings keep for themselves and what the recipe makes again from the same data: checkpoints, shards,
samples. `mixvel run` on the unpacked folder trains nothing.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

LEFT_OUT = ("state", "trained.safetensors", "samples", "shards", "tensorboard", ".lock")
LARGEST, MOST = 15 << 20, 4
"""Bytes in a part, and parts: a machine that is lent gives back 8 files of 16 MiB each."""


def pack(folder: Path, out: Path) -> dict[str, int]:
    """Writes run.tar.0, run.tar.1, ... to ``out``; their sizes. Raises ValueError where they do not suffice."""
    for old in out.glob("run.tar.*"):
        old.unlink()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not any(part in LEFT_OUT for part in inside.parts):
                archive.add(path, arcname=str(inside))
    data = packed.getvalue()
    parts = [data[start : start + LARGEST] for start in range(0, len(data), LARGEST)]
    if len(parts) > MOST:
        raise ValueError(
            f"{folder}: {len(data) / 2**20:.1f} MiB to pack, more than {MOST} parts of {LARGEST >> 20} MiB"
        )
    sizes = {}
    for number, part in enumerate(parts):
        (out / f"run.tar.{number}").write_bytes(part)
        sizes[f"run.tar.{number}"] = len(part)
    return sizes
