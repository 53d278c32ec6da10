"""Families of exact experts and routers: made of a shard's law or items, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from attrs import asdict, fields, frozen
from torch import Tensor

from mixvel_core.data.conditions import class_spec, conditions_of
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import (
    CLASS,
    ConditionSpec,
    DensityExpert,
    ExpertConfig,
    GaussianLaw,
    NoiseSchedule,
    Router,
    RouterConfig,
    Shard,
    TrainTask,
)
from mixvel_oracles.denoisers import EmpiricalExpert, ItemsRouter, OracleRouter, gaussian_expert
from mixvel_oracles.hooks import BlurredOptions, EmpiricalOptions
from mixvel_oracles.labelled import LabelledExpert, LabelledRouter, labelled_expert


def _law_tensors(law: GaussianLaw) -> dict[str, Tensor]:
    parts = {name: value for name, value in asdict(law).items() if value is not None}
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in parts.items()}


def _law(tensors: Mapping[str, Tensor]) -> GaussianLaw:
    return GaussianLaw(
        **{part.name: tensors[part.name].cpu().numpy() for part in fields(GaussianLaw) if part.name in tensors}
    )


def _is_labelled(tensors: Mapping[str, Tensor], conditions: Sequence[ConditionSpec]) -> bool:
    """Whether these are of a law whose components have the classes that are a condition."""
    return "classes" in tensors and class_spec(conditions) is not None


def _labelled(
    tensors: Mapping[str, Tensor], conditions: Sequence[ConditionSpec], schedule: NoiseSchedule
) -> LabelledExpert:
    spec = class_spec(conditions)
    count = None if spec is None else spec.classes
    return labelled_expert(_law(tensors), tensors["classes"].cpu().numpy(), schedule, count)


def _density_expert(tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> DensityExpert:
    """The oracle that the tensors of a law, or of a set of items, describe."""
    if "covariances" in tensors:
        return gaussian_expert(_law(tensors), schedule)
    if "items" in tensors:
        return EmpiricalExpert(schedule=schedule, items=tensors["items"], bandwidth=float(tensors["bandwidth"]))
    raise ArtifactError("an oracle's file holds neither `covariances` nor `items`; it belongs to another plugin")


def _items(shard: Shard, bandwidth: float) -> dict[str, Tensor]:
    return {
        # A copy: the items may be a file that is mapped for reading only, which torch cannot hold.
        "items": torch.tensor(to_float(shard.items[:])),
        "bandwidth": torch.tensor(bandwidth, dtype=torch.float64),
    }


class _Exact:
    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask | None:
        """None: there is nothing to train."""
        return None

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> DensityExpert:
        """The exact expert of the law or items in ``tensors``, which reads classes where those of the law are known."""
        if _is_labelled(tensors, config.conditions):
            return _labelled(tensors, config.conditions, schedule)
        return _density_expert(tensors, schedule)


@frozen(kw_only=True)
class GaussianFamily(_Exact):
    """D3: the expert of a shard whose law is known, under the class of each row where the items have classes."""

    def reads(self, conditions: Sequence[ConditionSpec]) -> Sequence[ConditionSpec]:
        """The class, where the items have one."""
        return [spec for spec in conditions if spec.name == CLASS]

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``weights``, ``means`` and ``covariances`` of the shard's law, and ``classes`` where items have some.

        Raises DataError where the law is not known, or not under a class.
        """
        if shard.law is None:
            raise DataError(
                f"shard {shard.index}: its law is not known in closed form; use data gaussian-mixture with partition "
                "labels, or expert empirical"
            )
        if self.reads(conditions_of(shard)) and shard.law.classes is None:
            raise DataError(
                f"shard {shard.index}: its law under a class is not known, items of one component have several; take "
                "`condition: {class: class}` with option `classes` of data gaussian-mixture"
            )
        return _law_tensors(shard.law)


@frozen(kw_only=True)
class BlurredFamily(BlurredOptions, GaussianFamily):
    """The expert of a shard's law with noise of width ``blur`` added to its items."""

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """As of the shard's law, with each covariance S_j + b^2 I. Raises DataError as there."""
        found = dict(super().tensors(shard, trained))
        D = found["means"].shape[1]
        return found | {"covariances": found["covariances"] + self.blur**2 * torch.eye(D, dtype=torch.float64)}


@frozen(kw_only=True)
class EmpiricalFamily(EmpiricalOptions, _Exact):
    """D2: the expert of the shard's own items, each blurred by ``bandwidth``."""

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``items`` of the shard, float32, and ``bandwidth``."""
        return _items(shard, self.bandwidth)


@frozen(kw_only=True)
class OracleRouterFamily(EmpiricalOptions):
    """The exact posterior: D3 where every shard's law is known, D2 on the shards' items otherwise."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """Empty: there is nothing to train."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The law or the items of every shard, named ``K.part``."""
        laws = [shard.law for shard in shards if shard.law is not None]
        exact = len(laws) == len(shards)
        parts = map(_law_tensors, laws) if exact else (_items(shard, self.bandwidth) for shard in shards)
        named = zip(shards, parts, strict=True)
        return {f"{shard.index}.{name}": value for shard, part in named for name, value in part.items()}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Router:
        """The exact router; of laws under a class, p(k | x, t, c). Raises ArtifactError where the tensors are those of
        other shards."""
        parts: list[dict[str, Tensor]] = [{} for _ in config.fractions]
        for name, value in tensors.items():
            index, _, part = name.partition(".")
            if not index.isdigit() or int(index) >= len(parts):
                raise ArtifactError(f"an oracle router of {len(parts)} experts has no place for tensor {name!r}")
            parts[int(index)][part] = value
        if all("items" in part for part in parts):
            engine = PosteriorEngine(shards=tuple(part["items"] for part in parts), fractions=config.fractions)
            return ItemsRouter(schedule=schedule, engine=engine, bandwidth=self.bandwidth)
        if all(_is_labelled(part, config.conditions) for part in parts):
            experts = tuple(_labelled(part, config.conditions, schedule) for part in parts)
            return LabelledRouter(experts=experts, fractions=config.fractions)
        return OracleRouter(experts=tuple(_density_expert(p, schedule) for p in parts), fractions=config.fractions)
