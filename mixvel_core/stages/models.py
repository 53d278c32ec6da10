"""The models of a run: where experts, monolith and routers go, and what they are once they are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.use import RouterUse
from mixvel_core.stages.drawn import DrawnStage, drawn_folder, drawn_options
from mixvel_core.stages.experts import Experts, ExpertStage
from mixvel_core.stages.routers import RouterStage
from mixvel_core.stages.sample import Models
from mixvel_core.stages.shards import Shards


@frozen(kw_only=True)
class ModelStages:
    """One stage for each expert, for the monolith if there is one, and for each router by name."""

    recipe: Recipe
    experts: tuple[ExpertStage, ...]
    monolith: ExpertStage | None
    routers: Mapping[str, RouterStage]

    @property
    def models(self) -> Models:
        """What can be sampled from, once all is made."""
        parts = [stage.artifact for stage in self.experts]
        return Models(
            schedule=self.recipe.schedule,
            experts=Experts(
                keys=tuple(key for part in parts for key in part.keys),
                parts=tuple(expert for part in parts for expert in part.parts),
            ),
            monolith=self.monolith.artifact if self.monolith else None,
            routers={name: stage.artifact for name, stage in self.routers.items()},
        )

    def missing(self) -> str | None:
        """The first model that is not made yet, in words; None if all are there."""
        for k, expert in enumerate(self.experts):
            if not expert.unit.is_done():
                return f"expert {k}"
        if self.monolith is not None and not self.monolith.unit.is_done():
            return "the monolith"
        return next((f"router {name}" for name, stage in self.routers.items() if not stage.is_done()), None)


def model_stages(recipe: Recipe, folder: Path, shards: Shards) -> ModelStages:
    """The stages that make the models of ``recipe`` from ``shards`` in the run folder ``folder``."""
    # Absolute: a launcher's workers may run in another folder.
    events = (folder / "tensorboard").absolute()
    experts = tuple(
        ExpertStage(
            shard=part,
            shards_key=shards.key,
            family=recipe.expert,
            schedule=recipe.schedule,
            seed=recipe.seed,
            folder=(folder / "experts" / str(part.index)).absolute(),
            tensorboard=events,
        )
        for part in shards.parts
    )
    monolith = None
    if recipe.monolith is not None:
        monolith = ExpertStage(
            shard=shards.whole,
            shards_key=shards.key,
            family=recipe.monolith,
            schedule=recipe.schedule,
            seed=recipe.seed,
            folder=(folder / "monolith").absolute(),
            tensorboard=events,
        )
    routers = {
        name: RouterStage(
            shards=shards,
            name=name,
            family=family,
            schedule=recipe.schedule,
            seed=recipe.seed,
            folder=(folder / "routers" / name).absolute(),
            tensorboard=events,
            drawn=_drawn(recipe, family, experts, folder),
        )
        for name, family in recipe.routers.items()
    }
    return ModelStages(recipe=recipe, experts=experts, monolith=monolith, routers=routers)


def _drawn(recipe: Recipe, router: RouterUse, experts: tuple[ExpertStage, ...], folder: Path) -> DrawnStage | None:
    options = drawn_options(router)
    if options is None:
        return None
    return DrawnStage(
        experts=experts,
        options=options,
        seed=recipe.seed,
        folder=drawn_folder(folder, options).absolute(),
        sample=recipe.sample,
    )
