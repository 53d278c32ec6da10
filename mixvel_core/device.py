"""Where networks run: a GPU if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def best_device() -> torch.device:
    """CUDA if a device is there, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """What a time was measured on: a GPU's name, or the CPU with the number of torch's threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    count = torch.get_num_threads()
    return f"{device.type}, {count} thread{'s' if count > 1 else ''}" if device.type == "cpu" else device.type


@contextmanager
def threads(count: int | None) -> Iterator[int]:
    """Lets torch use ``count`` threads in the block, or its own number if None; puts the number back afterwards. Yields
    the number.

    Small networks gain little from several, and on a busy machine threads that wait for each other lose everything.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield count or before
    finally:
        torch.set_num_threads(before)
