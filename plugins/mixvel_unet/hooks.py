"""Definition of the U-Net expert; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.plugin.options import option
from mixvel_core.protocols import ExpertFamily
from mixvel_networks.architecture import Architecture
from mixvel_networks.options import TINY, NetworkOptions, files_of


@frozen(kw_only=True)
class UNetOptions(NetworkOptions, Architecture):
    """Options of the expert ``unet``."""


@frozen(kw_only=True)
class UNetConditionOptions(UNetOptions):
    """Options of the expert ``unet-condition``."""

    attention: Literal["middle", "inner", "at-16"] = option(
        default="inner",
        doc="attention, to the image itself and to the tokens, in the middle block, or there and on all levels but the "
        "first, or on the level whose maps are 16 wide",
    )


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return (
        PluginDef(
            kind="expert",
            name="unet",
            options=UNetOptions,
            target="mixvel_unet.family:UNetFamily",
            example_options=UNetOptions(channels=(4, 8), train=TINY),
            smoke={"channels": [8, 16], "layers_per_block": 1, "initial": None},
            of_latents={"clip": False},
            shares=lambda options: options.shared,
            files=files_of,
            summary="a U-Net of diffusers trained on one shard of images",
        ),
        PluginDef(
            kind="expert",
            name="unet-condition",
            options=UNetConditionOptions,
            target="mixvel_unet.token_family:UNetConditionFamily",
            example_options=UNetConditionOptions(channels=(4, 8), train=TINY),
            of_latents={"clip": False},
            smoke={"channels": [8, 16], "layers_per_block": 1, "initial": None},
            shares=lambda options: options.shared,
            files=files_of,
            summary="a U-Net of diffusers that reads tokens, as of a text, by cross-attention",
        ),
    )
