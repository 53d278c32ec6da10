"""Options that all experts have that are networks trained here; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen

from mixvel_core.plugin.options import option
from mixvel_core.training.options import TrainOptions

TINY = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)
"""The training of examples, for the conformance checks."""


@frozen(kw_only=True)
class NetworkOptions:
    """What is trained and how, whatever the network."""

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
        doc="a folder whose weights the training starts from: a network of diffusers of this kind and the same sizes, "
        "or an expert of a run, as RUN/experts/0; where they change, it is trained anew; absent: random weights",
    )
    train: TrainOptions = option(factory=TrainOptions, doc="how it is trained")


def files_of(options: NetworkOptions) -> Sequence[Path]:
    """The files of weights that the training starts from; none where it starts from random ones."""
    from mixvel_networks.initial_files import initial_files

    return initial_files(options.initial)
