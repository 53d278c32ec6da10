"""Definition of the transformer experts; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.plugin.options import option
from mixvel_core.protocols import ExpertFamily
from mixvel_core.training.options import TrainOptions
from mixvel_networks.transformer_size import TransformerSize

_TINY = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)


@frozen(kw_only=True)
class DiTOptions(TransformerSize):
    """Options of the expert ``dit``."""

    prediction: Literal["x0", "eps", "v", "flow"] = option(
        default="v", doc="what the network is trained to predict; every expert answers with the denoiser"
    )
    clip: bool = option(default=True, doc="keep the denoiser within [-1, 1], the range of the data; false with a codec")
    shared: bool = option(
        default=False,
        doc="one network for all shards, trained on all data with the shard of each item as its label; expert k is the "
        "network with label k. No isolation: the data meet in one training. The monolith takes no notice",
    )
    initial: Path | None = option(
        default=None,
        matters=False,
        doc="a folder whose weights the training starts from: a DiTTransformer2DModel of diffusers of the same sizes, "
        "or an expert of a run, as RUN/experts/0; where they change, it is trained anew; absent: random weights",
    )
    train: TrainOptions = option(factory=TrainOptions, doc="how it is trained")


def _files(options: DiTOptions) -> Sequence[Path]:
    from mixvel_networks.initial_files import initial_files

    return initial_files(options.initial)


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return (
        PluginDef(
            kind="expert",
            name="dit",
            options=DiTOptions,
            target="mixvel_transformers.family:DiTFamily",
            example_options=DiTOptions(width=16, depth=1, heads=2, train=_TINY),
            smoke={"width": 16, "depth": 1, "heads": 2, "initial": None},
            of_latents={"clip": False},
            shares=lambda options: options.shared,
            files=_files,
            summary="a transformer of patches (DiT) of diffusers trained on one shard of square images",
        ),
    )
