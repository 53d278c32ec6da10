"""The training of experts that are networks: the regression whose minimum is the denoiser of a shard (V0, V4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from mixvel_core.data.conditions import conditions_of, values_of
from mixvel_core.data.items import joined
from mixvel_core.field.conversions import Prediction, add_noise, denoiser, point_for, target
from mixvel_core.protocols import Batch, Condition, ConditionSpec, Items, NoiseSchedule, Shard
from mixvel_core.training.options import TrainOptions
from mixvel_networks.initial import started_from
from mixvel_networks.inputs import NetworkInputs


@frozen(kw_only=True)
class DenoiserRegression:
    """Mean squared error between the network at (x_t, t, c) and its target (V4).

    ``inputs``: what the network is given besides x_t and t: the shard of each item, its condition, or nothing.
    """

    network: nn.Module
    schedule: NoiseSchedule
    prediction: Prediction
    inputs: NetworkInputs = field(factory=NetworkInputs)

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``loss``: the mean over points and their coordinates."""
        p = point_for(self.schedule, batch.t, batch.x_0)
        given = self._given(batch.x_0, batch.shard, batch.condition)
        output = network(add_noise(batch.x_0, batch.eps, p), batch.t, *given)
        return {"loss": mse_loss(output, target(self.prediction, batch.x_0, batch.eps, p))}

    def denoise(
        self, network: nn.Module, x: Tensor, t: Tensor, shard: Tensor, condition: Condition | None = None
    ) -> Tensor:
        """The denoiser by ``network``."""
        output = network(x, t, *self._given(x, shard, condition))
        return denoiser(self.prediction, output, x, point_for(self.schedule, t, x))

    def _given(self, x: Tensor, shard: Tensor, condition: Condition | None) -> tuple[Tensor, ...]:
        return self.inputs.of(x, None if self.inputs.shards is None else shard, condition)


class NetworkDesign(ABC):
    """How a network is made, and trained. Picklable."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What recipes call the experts that it is of."""

    @property
    def what(self) -> str:
        """The plugin, for messages."""
        return f"expert {self.name}"

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Networks of diffusers whose weights it can start with."""

    @property
    @abstractmethod
    def prediction(self) -> Prediction:
        """What it is trained to predict."""

    @property
    @abstractmethod
    def train(self) -> TrainOptions:
        """How it is trained."""

    @abstractmethod
    def make(
        self,
        shape: tuple[int, ...],
        inputs: NetworkInputs,
        seed: int,
        what: str,
        config: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """A fresh network on the CPU in float32: (x, t, *inputs) -> prediction, (B, *data).

        Args:
            shape: ``*data``.
            inputs: what it is called with behind x and t (``NetworkInputs.of``).
            seed: of its initial weights.
            what: for errors.
            config: of the network of diffusers whose weights it is to have (``keep_config``); None: of its own.
        """


@frozen(kw_only=True)
class NetworkTask:
    """A network to train on shards, the only data that the task holds: on one, or on all, ``labelled`` with theirs.

    The minimum at label k is the denoiser of shard k, however many items the others have. ``initial``: a folder whose
    weights it starts with; None: random ones.
    """

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    design: NetworkDesign
    labelled: bool = False
    initial: Path | None = None

    @property
    def items(self) -> Items:
        """The items of all shards, one shard after the other, where they are stored."""
        return joined(*(shard.items for shard in self.members))

    @property
    def shards(self) -> np.ndarray | None:
        """The label of each item, the place of its shard among the members; None without labels."""
        counts = [shard.count for shard in self.members]
        return np.repeat(np.arange(len(self.members)), counts) if self.labelled else None

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What the items' conditions are; the same in all shards."""
        return conditions_of(self.members[0])

    def condition_values(self) -> Mapping[str, Items]:
        """The conditions of the items, by name, in their order."""
        parts = [values_of(shard) for shard in self.members]
        return {spec.name: joined(*(part[spec.name] for part in parts)) for spec in self.conditions}

    @property
    def options(self) -> TrainOptions:
        """Steps, batch and the other settings of the training."""
        return self.design.train

    @property
    def inputs(self) -> NetworkInputs:
        """What the network is given besides x and t."""
        return NetworkInputs(shards=len(self.members) if self.labelled else None, conditions=self.conditions)

    def objective(self, seed: int) -> DenoiserRegression:
        """A fresh network, or one with the weights of ``initial``, and its loss."""
        design, initial = self.design, self.initial
        make = partial(design.make, self.members[0].shape, self.inputs, seed, design.what)
        return DenoiserRegression(
            network=make() if initial is None else started_from(initial, make, design.classes, design.name),
            schedule=self.schedule,
            prediction=self.design.prediction,
            inputs=self.inputs,
        )
