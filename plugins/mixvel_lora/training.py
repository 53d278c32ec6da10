"""The training of an adapter on one shard: the regression of its base (V0, V4), whose own weights stay as they are.

PEFT puts the adapter into the base and starts it at no change, B = 0. The only importer of peft, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.data.conditions import conditions_of, values_of
from mixvel_core.errors import AbsentError, RecipeError
from mixvel_core.protocols import AdapterBase, ConditionSpec, Expert, Items, NoiseSchedule, Shard
from mixvel_core.randomness import seeded
from mixvel_core.training.options import TrainOptions
from mixvel_lora.adapter import Adapter, LowRank, chosen
from mixvel_lora.hooks import LoraOptions
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_networks.regression import DenoiserRegression

WHAT = "expert lora"
_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"


def check_peft() -> None:
    """Raises AbsentError where PEFT is not installed. It is not imported."""
    if find_spec("peft") is None:
        raise AbsentError(f"{WHAT}: adapters are trained with PEFT, which is not installed; pip install 'mixvel[lora]'")


def network_of(base: Expert) -> tuple[NetworkDenoiser, nn.Module]:
    """The base and its network, which adapters can change. Raises RecipeError where it is none."""
    if not isinstance(base, NetworkDenoiser) or not isinstance(base.network, nn.Module):
        raise RecipeError(f"{WHAT}: the monolith is its base, and is no network; use unet or diffusers for it")
    return base, base.network


class OnlyAdapter(nn.Module):
    """A network that PEFT put an adapter into. Its state is the adapter's: checkpoints do not hold the base again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_state_dict_post_hook(_forget_base)  # type: ignore[no-untyped-call]  # torch's own is not typed
        self.register_load_state_dict_post_hook(_expect_no_base)  # type: ignore[no-untyped-call]  # as above

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """What the network gives for (x, t, *given)."""
        output: Tensor = self.network(x, t, *given)
        return output


def _forget_base(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    for name in [name for name in state if name.startswith(prefix) and not name.endswith((_A, _B))]:
        del state[name]


def _expect_no_base(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if name.endswith((_A, _B))]


@frozen(kw_only=True)
class AdapterTask:
    """An adapter of ``base`` to train on ``shard``, the only data that the task holds. None: the base is not made."""

    shard: Shard
    design: LoraOptions
    base: AdapterBase | None

    @property
    def items(self) -> Items:
        """The items of the shard, the only ones that are read."""
        return self.shard.items

    @property
    def shards(self) -> np.ndarray | None:
        """None: there is one."""
        return None

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What the items' conditions are."""
        return conditions_of(self.shard)

    def condition_values(self) -> Mapping[str, Items]:
        """The conditions of the items, by name."""
        return values_of(self.shard)

    @property
    def schedule(self) -> NoiseSchedule:
        """The base's own; it is loaded for it."""
        return self._loaded()[0].schedule

    @property
    def options(self) -> TrainOptions:
        """Steps, batch and the other settings of the training."""
        return self.design.train

    def objective(self, seed: int) -> DenoiserRegression:
        """The base with a fresh adapter, A by ``seed`` and B = 0, and its loss."""
        base, network = self._loaded()
        network = _with_adapter(network, self.design, seed)
        return DenoiserRegression(
            network=OnlyAdapter(network), schedule=base.schedule, prediction=base.prediction, inputs=base.inputs
        )

    def _loaded(self) -> tuple[NetworkDenoiser, nn.Module]:
        if self.base is None:
            raise RecipeError(f"{WHAT}: an adapter is trained on its base, the monolith, which is made first")
        return network_of(self.base.load("cpu"))


def _with_adapter(network: nn.Module, design: LoraOptions, seed: int) -> nn.Module:
    check_peft()
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=design.rank, lora_alpha=alpha_of(design), target_modules=chosen(network, design.targets, WHAT), bias="none"
    )
    # Nothing but the adapter is trained: what PEFT leaves as it is would be trained with it.
    network.requires_grad_(False)
    with seeded(seed):
        adapted: nn.Module = inject_adapter_in_model(config, network)
    return adapted


def alpha_of(design: LoraOptions) -> float:
    """alpha, the rank where it is left out."""
    return float(design.rank if design.alpha is None else design.alpha)


def trained_adapter(state: Mapping[str, Tensor], alpha: float, base: str) -> Adapter:
    """The adapter in the averaged state of a task's network. ``base``: the digest of the base's weights."""
    names = [name.removesuffix(_A) for name in state if name.endswith(_A)]
    layers = {
        name.removeprefix("network."): LowRank(A=state[name + _A], B=state[name + _B], alpha=alpha) for name in names
    }
    return Adapter(layers=layers, base=base)
