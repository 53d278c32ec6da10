"""Folders that diffusers itself writes, small enough for a test, and our experts of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

from mixvel_core.protocols import ExpertConfig
from mixvel_core.testing.problems import MemoryShard
from mixvel_foreign.diffusers_family import DiffusersFamily
from mixvel_schedules.schedules import Cosine

SHAPE = (3, 8, 8)
SCALE = 0.2
SHARD = MemoryShard(items=np.random.default_rng(0).uniform(-1, 1, (6, *SHAPE)).astype(np.float32))
CONFIG = ExpertConfig(index=0, count=6, fraction=1.0, shape=SHAPE)


def network(**changes: Any) -> UNet2DModel:
    torch.manual_seed(3)
    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 8,
    }
    unet = UNet2DModel(**settings | changes).eval()
    # A random network can be so steep that rounding grows: with its weights as they come, diffusers' own images in
    # float32 and float64 are 2e-3 apart at 50 clipped steps. Such a network could show nothing to 1e-4.
    with torch.no_grad():
        unet.conv_out.weight *= SCALE
    return unet


def save_pipeline(folder: Path) -> Path:
    """``network()`` and DDIM's scheduler as they come."""
    DDIMPipeline(unet=network(), scheduler=DDIMScheduler()).save_pretrained(folder)
    return folder


def rewritten(saved: Path, folder: Path, scheduler: Any) -> Path:
    """The same network with another scheduler."""
    shutil.copytree(saved, folder)
    scheduler.save_pretrained(folder / "scheduler")
    return folder


def family(path: Path, **changes: Any) -> DiffusersFamily:
    return DiffusersFamily(path=path, **changes)


def loaded(path: Path, **changes: Any) -> Any:
    made = family(path, **changes)
    made.task(SHARD, Cosine())
    return made.load(CONFIG, made.tensors(SHARD, None), Cosine())
