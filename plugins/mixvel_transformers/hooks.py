"""Definition of the transformer experts; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import ExpertFamily
from mixvel_networks.options import TINY, NetworkOptions, files_of
from mixvel_networks.transformer_size import TransformerSize


@frozen(kw_only=True)
class DiTOptions(NetworkOptions, TransformerSize):
    """Options of the expert ``dit``."""


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return (
        PluginDef(
            kind="expert",
            name="dit",
            options=DiTOptions,
            target="mixvel_transformers.family:DiTFamily",
            example_options=DiTOptions(width=16, depth=1, heads=2, train=TINY),
            smoke={"width": 16, "depth": 1, "heads": 2, "initial": None},
            of_latents={"clip": False},
            shares=lambda options: options.shared,
            files=files_of,
            summary="a transformer of patches (DiT) of diffusers trained on one shard of square images",
        ),
    )
