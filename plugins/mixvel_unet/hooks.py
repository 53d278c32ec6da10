"""Definition of the U-Net expert; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import ExpertFamily
from mixvel_core.training.options import TrainOptions
from mixvel_unet.options import UNetOptions

_TINY = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return (
        PluginDef(
            kind="expert",
            name="unet",
            options=UNetOptions,
            target="mixvel_unet.family:UNetFamily",
            example_options=UNetOptions(channels=(4, 8), train=_TINY),
            smoke={"channels": [8, 16], "layers_per_block": 1},
            shares=lambda options: options.shared,
            summary="a U-Net of diffusers trained on one shard of images",
        ),
    )
