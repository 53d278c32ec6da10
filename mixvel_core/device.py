"""Where networks run: a GPU if there is one."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """CUDA if a device is there, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
