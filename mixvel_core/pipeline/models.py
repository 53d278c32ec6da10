"""The models of a run: where experts, monolith and routers go, and what they are once they are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, frozen

from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import ArtifactError
from mixvel_core.pipeline.experts import ExpertStage
from mixvel_core.pipeline.jobs import ModelStage, TrainingJob
from mixvel_core.pipeline.loaded import Models
from mixvel_core.pipeline.routers import RouterDataStage, RouterStage, router_data_folder
from mixvel_core.pipeline.shards import Shards
from mixvel_core.pipeline.shared_experts import FOLDER, ReadyExpert, SharedStage
from mixvel_core.pipeline.trained import has_training
from mixvel_core.plugin.definition import ExpertUse, RouterUse
from mixvel_core.protocols import Shard
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe


@frozen(kw_only=True)
class ModelStages:
    """One stage for each expert, for the monolith if there is one, and for each router by name.

    ``separate``: of experts that have a network each. ``shared``: of those that have one together; None where there are
    the others.
    """

    recipe: Recipe
    separate: tuple[ExpertStage, ...]
    shared: SharedStage | None
    monolith: ExpertStage | None
    routers: Mapping[str, RouterStage]

    @property
    def base(self) -> ExpertStage | None:
        """What the experts are adapters of; None where they are none."""
        return self.monolith if self.recipe.expert.adapts else None

    @property
    def experts(self) -> tuple[ReadyExpert, ...]:
        """The experts of all shards."""
        return self.separate if self.shared is None else self.shared.members

    def expert_jobs(self, only: int | None = None) -> list[TrainingJob]:
        """The experts that are not there yet, or ``only`` one of those that have a network each."""
        if self.shared is not None:
            return self.shared.training_jobs()
        wanted = self.separate if only is None else [self.separate[only]]
        return [model for stage in wanted for model in stage.training_jobs()]

    @property
    def models(self) -> Models:
        """What can be sampled from, once all is made."""
        return Models(
            schedule=self.recipe.schedule,
            experts=tuple(stage.result for stage in self.experts),
            monolith=self.monolith.result if self.monolith else None,
            routers={name: stage.result for name, stage in self.routers.items()},
            shards=tuple(stage.shard for stage in self.experts),
        )

    @property
    def there(self) -> Models:
        """What is made of it: all experts or none, and those others that are there."""
        experts = self.experts if all(stage.is_done() for stage in self.experts) else ()
        return Models(
            schedule=self.recipe.schedule,
            experts=tuple(stage.result for stage in experts),
            monolith=self.monolith.result if self.monolith and self.monolith.is_done() else None,
            routers={name: stage.result for name, stage in self.routers.items() if _is_there(stage)},
            shards=tuple(stage.shard for stage in self.experts),
        )

    def can_be_sampled(self) -> bool:
        """Whether the monolith is made, or all experts and a router."""
        models = self.there
        return models.monolith is not None or bool(models.experts and models.routers)

    def usable_experts(self) -> list[int]:
        """Those that have a network each and are made."""
        return [stage.shard.index for stage in self.separate if stage.is_done()]

    def missing(self) -> str | None:
        """The first model that is not made yet, in words; None if all are there."""
        routers = {f"router {name}": stage for name, stage in self.routers.items()}
        return next((name for name, stage in {**self._networks(), **routers}.items() if not stage.is_done()), None)

    def _networks(self) -> dict[str, ModelStage]:
        """Experts and monolith, in words."""
        experts: dict[str, ModelStage] = {f"expert {k}": stage for k, stage in enumerate(self.separate)}
        shared = {} if self.shared is None else {"the experts' network": self.shared}
        monolith = {} if self.monolith is None else {"the monolith": self.monolith}
        return {**shared, **experts, **monolith}

    def first_damaged(self) -> Path | None:
        """The first file of a model that is not as it was made; None where there is none."""
        if self.base is not None and not self.base.is_done():
            return self.base.artifact.first_damaged()
        artifacts = [stage.artifact for stage in self._networks().values()]
        if all(artifact.is_done() for artifact in artifacts):
            # What a router is made from may be samples of the experts.
            samples = (stage.router_data.first_damaged() for stage in self.routers.values() if stage.router_data)
            if found := next(filter(None, samples), None):
                return found
            ready = (
                stage for stage in self.routers.values() if stage.router_data is None or stage.router_data.is_done()
            )
            artifacts = [stage.artifact for stage in ready]
        return next(filter(None, (artifact.first_damaged() for artifact in artifacts)), None)


def _is_there(stage: RouterStage) -> bool:
    try:
        return stage.is_done()
    except ArtifactError:
        return False  # It learns from experts that are not there.


def model_stages(recipe: Recipe, folder: Path, shards: Shards) -> ModelStages:
    """The stages that make the models of ``recipe`` from ``shards`` in the run folder ``folder``."""
    # Absolute: a launcher's workers may run in another folder.
    folder = folder.absolute()
    events = folder / "tensorboard"

    def stage_of(shard: Shard, family: ExpertUse, place: Path, base: ExpertStage | None = None) -> ExpertStage:
        return ExpertStage(
            base=base,
            shard=shard,
            shards_key=shards.key,
            family=family,
            schedule=recipe.schedule,
            seed=recipe.seed,
            folder=place,
            tensorboard=events,
        )

    monolith = None
    if recipe.monolith is not None:
        monolith = stage_of(shards.as_one, recipe.monolith, folder / "monolith")
    base = monolith if recipe.expert.adapts else None
    separate: tuple[ExpertStage, ...] = ()
    shared = None
    if recipe.expert.is_shared:
        shared = SharedStage(
            shards=shards.parts,
            shards_key=shards.key,
            family=recipe.expert,
            schedule=recipe.schedule,
            seed=recipe.seed,
            folder=folder / "experts" / FOLDER,
            tensorboard=events,
        )
    else:
        # A list: parts are whatever the data's shards are, which need no hash.
        places = [(part, folder / "experts" / str(part.index)) for part in shards.parts]
        separate = tuple(stage_of(part, recipe.expert, place, base) for part, place in places)
    experts: tuple[ReadyExpert, ...] = separate if shared is None else shared.members
    routers = {
        name: _beside_others(
            RouterStage(
                shards=shards,
                name=f"router-{name}",
                family=family,
                schedule=recipe.schedule,
                seed=recipe.seed,
                folder=folder / "routers" / name,
                tensorboard=events,
                router_data=_router_data(recipe, family, experts, folder),
            )
        )
        for name, family in recipe.routers.items()
    }
    return ModelStages(recipe=recipe, separate=separate, shared=shared, monolith=monolith, routers=routers)


def _beside_others(stage: RouterStage) -> RouterStage:
    """The stage where the router lies, or will lie: beside one in closed form that has its name and other options,
    which results of earlier questions were made with."""
    try:
        options = read_json(stage.folder / "config.json")["router"]
    except (ArtifactError, KeyError, TypeError):
        return stage
    if options == plain(stage.family) or has_training(stage.folder) or not stage.is_of_others():
        return stage
    return evolve(stage, folder=stage.folder.with_name(f"{stage.folder.name}-{stage.artifact.key[:8]}"))


def _router_data(
    recipe: Recipe, router: RouterUse, experts: tuple[ReadyExpert, ...], folder: Path
) -> RouterDataStage | None:
    if (options := router.router_data()) is None:
        return None
    place = router_data_folder(folder, options)
    return RouterDataStage(experts=experts, options=options, seed=recipe.seed, folder=place, sample=recipe.sample)
