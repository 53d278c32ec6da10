"""A small U-Net as a base, and random adapters of it."""

from __future__ import annotations

import torch
from attrs import field, frozen

from mixvel_core.protocols import ConditionSpec, NoiseSchedule
from mixvel_core.randomness import normal
from mixvel_lora.adapter import Adapter, LowRank, layers_of
from mixvel_networks.architecture import Architecture
from mixvel_networks.denoiser import NetworkDenoiser, for_use
from mixvel_networks.inputs import NetworkInputs
from mixvel_networks.unet import UNet, make_unet
from mixvel_schedules.schedules import Cosine

SHAPE = (1, 8, 8)
SIZE = Architecture(channels=(8, 16), attention="inner")


def small_unet(labels: int | None = None) -> UNet:
    network = make_unet(SIZE, SHAPE, 1, 5, "test", labels)
    for_use(network, None)
    return network


@frozen(kw_only=True)
class UNetBase:
    """``small_unet`` as a base. ``conditions``: that it reads. ``prediction``: what it predicts."""

    conditions: tuple[ConditionSpec, ...] = ()
    schedule: NoiseSchedule = field(factory=Cosine)
    key: str = "base"

    def load(self, device: torch.device | str = "cpu") -> NetworkDenoiser:
        inputs = NetworkInputs(conditions=self.conditions)
        return NetworkDenoiser(
            schedule=self.schedule,
            moments=None,
            network=small_unet(inputs.labels),
            prediction="v",
            clip=False,
            inputs=inputs,
        )


def random_adapter(k: int, rank: int = 2, alpha: float = 3.0, skip: int = 0, labels: int | None = None) -> Adapter:
    """An adapter of ``small_unet`` that changes all its layers, or every ``skip``-th one not."""
    layers = {}
    for number, (name, layer) in enumerate(layers_of(small_unet(labels)).items()):
        if skip and number % skip == 0:
            continue
        out, *rest = layer.weight.shape
        A = normal(100 * k + number, torch.arange(rank), tuple(rest), torch.float32)
        B = normal(7000 + 100 * k + number, torch.arange(out), (rank, *(1 for _ in rest[1:])), torch.float32)
        layers[name] = LowRank(A=0.1 * A, B=0.3 * B, alpha=alpha)
    return Adapter(layers=layers)
