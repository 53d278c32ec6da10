"""A tiny base, and adapters of it in PEFT's layout, as files: what the conformance checks are tried on."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from attrs import frozen
from safetensors.torch import save_file
from torch import Tensor, nn

from mixvel_core.protocols import NoiseSchedule, SchedulePoint
from mixvel_core.randomness import normal, seeded
from mixvel_lora.adapter import layers_of
from mixvel_lora.adapter_files import PEFT_CONFIG, PEFT_WEIGHTS
from mixvel_lora.family import LoraFamily
from mixvel_networks.denoiser import NetworkDenoiser, for_use

_ADAPTERS, _RANK, _ALPHA, _SEED = 3, 2, 4.0, 7


class SmallNetwork(nn.Module):
    """Two linear layers of each coordinate and the time, for points of any shape."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 6)
        self.last = nn.Linear(6, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, *data) in the type of x."""
        times = t.reshape(-1, *(1,) * (x.ndim - 1)).expand_as(x)
        pairs = torch.stack([x, times], dim=-1).to(self.first.weight.dtype)
        output: Tensor = self.last(torch.tanh(self.first(pairs)))
        return output[..., 0].to(x.dtype)


@frozen(kw_only=True)
class _Straight:
    """alpha = 1 - t, sigma = t."""

    def at(self, t: Tensor) -> SchedulePoint:
        one = torch.ones_like(t)
        return SchedulePoint(alpha=1.0 - t, sigma=t.clone(), d_alpha=-one, d_sigma=one, dd_alpha=torch.zeros_like(t))


@frozen(kw_only=True)
class SmallBase:
    """``SmallNetwork`` of random weights as a base."""

    schedule: NoiseSchedule = _Straight()
    key: str = "example"

    def load(self, device: torch.device | str = "cpu") -> NetworkDenoiser:
        """The base, on ``device``."""
        with seeded(_SEED):
            network = for_use(SmallNetwork(), torch.device(device))
        return NetworkDenoiser(schedule=self.schedule, moments=None, network=network, prediction="flow", clip=False)


def example() -> LoraFamily:
    """Adapters of ``SmallBase`` that are there."""
    return LoraFamily(adapters=_folders() / "{k}", base=SmallBase())


@cache
def _folders() -> Path:
    """0/, 1/, ... in PEFT's layout, gone with the process."""
    place = Path(tempfile.mkdtemp(prefix="mixvel-example-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    network = SmallNetwork()
    for k in range(_ADAPTERS):
        tensors = {}
        for number, (name, layer) in enumerate(layers_of(network).items()):
            out, *rest = layer.weight.shape
            parts = {"lora_A": (_RANK, *rest), "lora_B": (out, _RANK, *(1 for _ in rest[1:]))}
            for part, shape in parts.items():
                values = normal(
                    _SEED, torch.tensor([k * 100 + number]), shape, torch.float32, len(part) + ord(part[-1])
                )
                tensors[f"base_model.model.{name}.{part}.weight"] = 0.3 * values[0]
        (place / str(k)).mkdir()
        save_file(tensors, place / str(k) / f"{PEFT_WEIGHTS}.safetensors")
        config = {"peft_type": "LORA", "r": _RANK, "lora_alpha": _ALPHA, "target_modules": list(layers_of(network))}
        (place / str(k) / PEFT_CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return place
