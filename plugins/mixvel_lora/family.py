"""How adapters are trained or taken from files, stored and loaded: one base, in memory once, and K small changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import AdapterBase, ExpertConfig, Moments, NoiseSchedule, Shard
from mixvel_lora.adapter import Adapter, adapter_of, digest_of_weights, fitted
from mixvel_lora.adapter_files import read_adapter
from mixvel_lora.grouped import AdaptedNetwork, AdapterGroup, merge
from mixvel_lora.hooks import LoraOptions, count_of, place_of
from mixvel_lora.training import WHAT, AdapterTask, alpha_of, check_peft, network_of, trained_adapter
from mixvel_networks.denoiser import NetworkDenoiser, moment_tensors, stored_moments


@frozen(kw_only=True)
class LoraFamily(LoraOptions):
    """Low-rank adapters of ``base``, one a shard; None: the base is not made yet."""

    base: AdapterBase | None = None

    def on(self, base: AdapterBase) -> Self:
        """The adapters of ``base``."""
        return evolve(self, base=base)

    def task(self, shard: Shard, schedule: NoiseSchedule) -> AdapterTask | None:
        """The regression on this shard; None for adapters that are there.

        Raises AbsentError where PEFT is not installed, or the adapter is not there; DataError where it is damaged.
        """
        if self.adapters is not None:
            self._read(self.adapters, shard.index)
            return None
        check_peft()
        return AdapterTask(shard=shard, design=self, base=self.base)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """The adapter, with the digest of its base's weights, and ``mean`` and ``variance`` of the shard's items.

        Raises DataError where it is an adapter of another base.
        """
        return self._tensors(shard.index, trained) | moment_tensors(item_moments(shard.items))

    def count(self) -> int:
        """Of the folders with {k} = 0, 1, ... for as long as they are there; 0 where they are trained."""
        return 0 if self.adapters is None else count_of(self.adapters)

    def tensors_without_items(self, index: int) -> Mapping[str, Tensor]:
        """The tensors of the adapter alone; the moments of its shard are not known."""
        return self._tensors(index, None)

    def _tensors(self, index: int, trained: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        if self.adapters is not None:
            adapter = self._read(self.adapters, index)
            if self.base is not None:
                _, network = network_of(self.base.load("cpu"))
                where = str(place_of(self.adapters, index))
                adapter = fitted(adapter, network, where, digest_of_weights(network))
            return adapter.tensors()
        if trained is None or self.base is None:
            raise ArtifactError(f"expert {index}: its adapter is not trained; run the recipe again")
        _, network = network_of(self.base.load("cpu"))
        return trained_adapter(trained, alpha_of(self), digest_of_weights(network)).tensors()

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NetworkDenoiser:
        """The base with one adapter, on the device of ``tensors``.

        Raises DataError where it is an adapter of another base, ArtifactError where the tensors are of something else.
        """
        base, network, [adapter] = self._fitted([config], [tensors])
        if self.merge:
            merge(network, adapter)
        else:
            network = _for_use(AdaptedNetwork(network, [adapter]))
        return evolve(base, network=network, moments=stored_moments(tensors))

    def load_together(
        self, configs: Sequence[ExpertConfig], tensors: Sequence[Mapping[str, Tensor]], schedule: NoiseSchedule
    ) -> AdapterGroup | None:
        """The base, in memory once, with all adapters; None where they are to be merged. Raises as ``load`` does."""
        if self.merge:
            return None
        base, network, adapters = self._fitted(configs, tensors)
        adapted = _for_use(AdaptedNetwork(network, adapters))
        found = [one for each in tensors if (one := stored_moments(each)) is not None]
        moments: Sequence[Moments] | None = found if len(found) == len(adapters) else None
        return AdapterGroup(base=evolve(base, network=adapted, moments=None), adapted=adapted, adapter_moments=moments)

    def _fitted(
        self, configs: Sequence[ExpertConfig], tensors: Sequence[Mapping[str, Tensor]]
    ) -> tuple[NetworkDenoiser, nn.Module, list[Adapter]]:
        """The base, loaded where the tensors lie, its network, and the adapters, which are of it."""
        if self.base is None:
            raise RecipeError(f"{WHAT}: adapters are loaded with their base, the monolith, which is not made")
        base, network = network_of(self.base.load(next(iter(tensors[0].values())).device))
        digest, adapters = digest_of_weights(network), []
        for config, values in zip(configs, tensors, strict=True):
            where = f"expert {config.index}"
            adapters.append(fitted(adapter_of(values, where), network, where, digest))
        return base, network, adapters

    def _read(self, folder: Path, index: int) -> Adapter:
        return read_adapter(place_of(folder, index))

    def is_network(self) -> bool:
        """True: with its base it is one."""
        return True


def _for_use(network: AdaptedNetwork) -> AdaptedNetwork:
    network.eval().requires_grad_(False)
    return network
