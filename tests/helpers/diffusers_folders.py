"""Folders that diffusers itself writes, small enough for a test, and our experts of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DiTTransformer2DModel, UNet2DConditionModel, UNet2DModel

from mixvel_core.protocols import ConditionSpec, Expert, ExpertConfig
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


def dit(**changes: Any) -> DiTTransformer2DModel:
    torch.manual_seed(4)
    settings = {"num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 2, "sample_size": 8, "patch_size": 2}
    made = DiTTransformer2DModel(
        **settings | {"in_channels": 4, "out_channels": 8, "num_embeds_ada_norm": 1000} | changes
    )
    assert isinstance(made, DiTTransformer2DModel)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
        made.proj_out_2.weight *= SCALE
    return made.eval()


def unet_with_text(**changes: Any) -> UNet2DConditionModel:
    torch.manual_seed(5)
    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 2,
        "cross_attention_dim": 6,
    }
    made = UNet2DConditionModel(**settings | changes)
    assert isinstance(made, UNet2DConditionModel)
    with torch.no_grad():
        made.conv_out.weight *= SCALE
    return made.eval()


def saved(model: Any, scheduler: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    scheduler.save_pretrained(folder)
    return folder


def expert_of(
    folder: Path, shape: tuple[int, ...], conditions: tuple[ConditionSpec, ...] = (), **options: Any
) -> Expert:
    made = DiffusersFamily(path=folder, **options)
    shard = MemoryShard(items=np.zeros((2, *shape), np.float32))
    made.task(shard, Cosine())
    config = ExpertConfig(index=0, count=2, fraction=1.0, shape=shape, conditions=conditions)
    return made.load(config, made.tensors_without_items(0), Cosine())


def plain_scheduler(**changes: Any) -> DDIMScheduler:
    return DDIMScheduler(clip_sample=False, **changes)
