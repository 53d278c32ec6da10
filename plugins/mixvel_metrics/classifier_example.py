"""A tiny data set of two classes, and the metric that learns them: what ``classifier`` shows itself with."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from attrs import frozen

from mixvel_core.plugin.definition import DataUse, PluginDef
from mixvel_core.protocols import Data, DataSource
from mixvel_metrics.classifier import Classifier
from mixvel_metrics.classifier_network import Training


@frozen(kw_only=True)
class HalvesOptions:
    """Options of ``halves``: none."""


@frozen(kw_only=True)
class Halves:
    """``count`` grey images of ``side`` x ``side`` pixels, bright above (label 0) or below (label 1), with noise."""

    count: int = 256
    side: int = 8

    def load(self) -> Data:
        """Items (count, 1, side, side) uint8, the two classes in turn."""
        labels = np.arange(self.count) % 2
        bright = np.zeros((self.count, 1, self.side, self.side))
        bright[labels == 0, :, : self.side // 2] = 150
        bright[labels == 1, :, self.side // 2 :] = 150
        noise = np.random.default_rng(0).uniform(0, 100, bright.shape)
        return Data(
            items=(bright + noise).astype(np.uint8),
            labels=labels.astype(np.int64),
            provenance={"source": "halves", "count": str(self.count)},
        )


def halves(side: int = 8) -> DataUse:
    """The data set as a slot of a recipe holds it."""

    def build(options: HalvesOptions) -> DataSource:
        return Halves(side=side)

    definition = PluginDef(
        kind="data",
        name="halves",
        options=HalvesOptions,
        build=build,
        example=lambda: build(HalvesOptions()),
        summary="grey images, bright above or below",
    )
    return DataUse(definition=definition, options=HalvesOptions())


def example(store: str | None = None) -> Classifier:
    """The metric on these data, trained in a moment and kept in ``store``, or else among temporary files."""
    return Classifier(
        data=halves(),
        test=halves(),
        training=Training(epochs=2, batch=32),
        store=store or str(Path(tempfile.gettempdir()) / "mixvel-examples"),
    )
