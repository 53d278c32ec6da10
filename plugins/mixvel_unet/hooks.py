"""Definition of the U-Net expert; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import ExpertFamily
from mixvel_core.training.options import TrainOptions
from mixvel_unet.options import UNetOptions


def _unet(options: UNetOptions) -> ExpertFamily:
    from mixvel_unet.family import UNetFamily

    return UNetFamily(options=options)


def _example() -> ExpertFamily:
    train = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)
    return _unet(UNetOptions(channels=(4, 8), train=train))


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """unet."""
    return [
        PluginDef(
            kind="expert",
            name="unet",
            options=UNetOptions,
            build=_unet,
            example=_example,
            smoke={"channels": [8, 16], "layers_per_block": 1},
            summary="a U-Net of diffusers trained on one shard of images",
        )
    ]
