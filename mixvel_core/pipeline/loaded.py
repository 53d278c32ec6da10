"""The models of a run, stored and in memory, and the sampler of any row of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from mixvel_core.artifacts.artifact import key_of
from mixvel_core.data.conditions import conditions_of
from mixvel_core.errors import UsageError
from mixvel_core.pipeline.experts import StoredExpert, load_adapters
from mixvel_core.pipeline.routers import StoredRouter
from mixvel_core.pipeline.sample_conditions import rows_of
from mixvel_core.pipeline.sample_specs import SampleSpec
from mixvel_core.pipeline.shared_experts import StoredMember
from mixvel_core.plugin.definition import ScheduleUse
from mixvel_core.protocols import ConditionSpec, Shard
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.model import SampleOptions, WeightOptions

if TYPE_CHECKING:
    import torch

    from mixvel_core.protocols import Condition, Expert, ExpertGroup, Router
    from mixvel_core.sampling.sampler import Sampler
    from mixvel_core.sampling.weights import WeightTransform


@frozen(kw_only=True)
class Models:
    """What can be sampled from: the upstream artifacts. ``shards``: whose items' conditions samples may have."""

    schedule: ScheduleUse
    experts: tuple[StoredExpert, ...]
    monolith: StoredExpert | None
    routers: Mapping[str, StoredRouter]
    shards: tuple[Shard, ...] = ()

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What is known of each item; empty where the data have no conditions."""
        return conditions_of(self.shards[0]) if self.shards else ()

    def condition(self, draw: SampleSpec, count: int) -> Condition | None:
        """The condition of samples 0 to ``count`` - 1; None for the null one.

        Raises DataError where it would be that of items that are with their owners.
        """
        found: Condition | None = rows_of(draw.condition, count, draw.seed, self.conditions, self.shards)
        return found


def models_key(models: Models, router: str | None, *, by_weaker: bool = False) -> str:
    """A digest of the networks that are sampled.

    Args:
        models: of the run.
        router: which one routes, None for the monolith.
        by_weaker: whether a guidance compares with the monolith.
    """
    monolith = [models.monolith.key] if models.monolith else []
    if router is None:
        return key_of(schedule=keyed(models.schedule), monolith=monolith)
    keys = [expert.key for expert in models.experts]
    weaker = {"weaker": monolith} if by_weaker else {}
    return key_of(schedule=keyed(models.schedule), experts=keys, router=models.routers[router].key, **weaker)


def _transform(options: WeightOptions) -> WeightTransform:
    from mixvel_core.sampling.weights import WeightTransform

    return WeightTransform(
        temperature=options.temperature,
        floor=options.floor,
        top=options.top,
        soft=options.soft,
        from_=options.from_,
    )


class Loaded:
    """Models in memory, each loaded once, when a method first needs it.

    Experts and monolith share the room of ``resident_experts``. ``device``: where they are; the best one if None.
    """

    def __init__(self, models: Models, options: SampleOptions, device: torch.device | None = None) -> None:
        from mixvel_core.device import best_device
        from mixvel_core.sampling.residency import Residency

        self.models = models
        self.options = options
        self.device = device or best_device()
        self.schedule = models.schedule.build()
        self.shape = next(one for one in (*models.experts, models.monolith) if one is not None).config.shape
        parks = self.device if self.device.type == "cuda" else None
        self._residency = Residency(limit=options.resident_experts, parks_on=parks)
        self._experts: dict[bool, tuple[Expert, ...]] = {}
        self._routers: dict[str, Router] = {}

    def sampler(self, draw: SampleSpec) -> Sampler:
        """The sampler of a row and column, its experts loaded as far as there is room."""
        from mixvel_core.sampling.inputs import names_read
        from mixvel_core.sampling.residency import load_resident
        from mixvel_core.sampling.routed_field import SingleExpertRouter
        from mixvel_core.sampling.sampler import Sampler

        experts = self.experts(monolith=draw.router is None)
        # A monolith of a family that reads no condition stands beside guided rows without either.
        guided = draw.router is not None or bool(names_read(experts, SingleExpertRouter()))
        weaker = self.experts(monolith=True) if draw.by_weaker else ()
        if draw.by_weaker and not weaker:
            raise UsageError("the guidance is by a weaker model, the monolith, and there is none; take guidance cfg")
        load_resident([*experts, *weaker])
        return Sampler(
            schedule=self.schedule,
            experts=experts,
            router=SingleExpertRouter() if draw.router is None else self.router(draw.router),
            selector=draw.selector.build(),
            integrator=draw.integrator.build(),
            steps=draw.steps,
            grid=draw.grid,
            delta=self.options.delta,
            weights=_transform(draw.weights),
            autocast=self.options.autocast,
            shape=self.shape,
            device=self.device,
            guidance=draw.guidance.build()
            if draw.guidance is not None and draw.guidance.definition.leads and guided
            else None,
            weaker=weaker[0] if weaker else None,
        )

    def experts(self, *, monolith: bool = False) -> tuple[Expert, ...]:
        """The experts, or the monolith as the only one; those with a network of their own are loaded on demand."""
        if monolith not in self._experts:
            only = (self.models.monolith,) if self.models.monolith else ()
            self._experts[monolith] = self._resident(only if monolith else self.models.experts)
        return self._experts[monolith]

    def router(self, name: str) -> Router:
        """A router by name."""
        if name not in self._routers:
            self._routers[name] = self.models.routers[name].load(self.device)
        return self._routers[name]

    def _resident(self, parts: Sequence[StoredExpert]) -> tuple[Expert, ...]:
        group = parts[0].load_group(self.device) if parts and isinstance(parts[0], StoredMember) else None
        if group is None:
            group = load_adapters(parts, self.device)
        if group is not None:
            return self._in_one(group, len(parts))
        from mixvel_core.sampling.residency import ResidentExpert

        return tuple(
            ResidentExpert(
                schedule=self.schedule,
                moments=part.moments(self.device),
                load=partial(self._load, part),
                residency=self._residency,
                null=part.null,
            )
            for part in parts
        )

    def _in_one(self, group: ExpertGroup, count: int) -> tuple[Expert, ...]:
        """Experts that are one network, or have one in common: it is tuned once, and there is room for it."""
        from mixvel_core.protocols import NetworkGroup
        from mixvel_core.sampling.dispatch import members
        from mixvel_core.sampling.snr_matched import all_snr_matched

        if isinstance(group, NetworkGroup) and (self.options.channels_last or self.options.compile):
            group = group.tuned(channels_last=self.options.channels_last, compiled=self.options.compile)
        return tuple(all_snr_matched(members(group, count), self.schedule))

    def _load(self, part: StoredExpert) -> Expert:
        from mixvel_core.protocols import NetworkExpert
        from mixvel_core.sampling.snr_matched import snr_matched

        expert = part.load(self.device)
        if isinstance(expert, NetworkExpert) and (self.options.channels_last or self.options.compile):
            expert = expert.tuned(channels_last=self.options.channels_last, compiled=self.options.compile)
        # Here and not by the sampler: the schedule of an expert that is not loaded yet is not known there.
        return snr_matched(expert, self.schedule)
