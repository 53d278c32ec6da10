"""Which samples a recipe names: every row, column and seed of its table with all defaults, and their keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.pipeline.sample_conditions import ConditionChoice, condition_choice
from mixvel_core.plugin.definition import GuidanceUse, IntegratorUse, SelectorUse
from mixvel_core.plugin.options import option
from mixvel_core.protocols import ConditionSpec
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.grids import Grid
from mixvel_core.recipe.model import SampleOptions, WeightOptions


@frozen(kw_only=True)
class SampleSpec:
    """One row and column of the table, for one seed, with every default filled in."""

    method: str
    steps: int
    seed: int
    selector: SelectorUse
    integrator: IntegratorUse
    router: str | None
    weights: WeightOptions
    grid: Grid
    guidance: GuidanceUse | None = option(default=None, before=None, doc="what strengthens the condition")
    condition: ConditionChoice = option(default=None, before=None, doc="what samples are asked to be")

    @property
    def by_weaker(self) -> bool:
        """Whether the monolith is evaluated beside the model, to guide by."""
        return self.guidance is not None and self.guidance.by_weaker

    @property
    def stem(self) -> str:
        """What files of such samples are called, by what a reader looks for."""
        source = "monolith" if self.router is None else f"{self.router}-{self.selector.name}"
        return f"{source}-{self.integrator.name}-{self.steps}"


def sample_specs(
    options: SampleOptions, routers: Sequence[str], conditions: Sequence[ConditionSpec] = ()
) -> Iterator[SampleSpec]:
    """Every row, column and seed of the table, in its order; ``conditions``: of the items."""
    condition = condition_choice(options.condition, conditions)
    for name, method in options.methods.items():
        of_monolith = method.model == "monolith"
        for steps in options.steps:
            for seed in options.seeds:
                yield SampleSpec(
                    method=name,
                    steps=steps,
                    seed=seed,
                    selector=method.selector or options.selector,
                    integrator=method.integrator or options.integrator,
                    router=None if of_monolith else method.router or routers[0],
                    weights=method.weights or options.weights,
                    grid=method.grid or options.grid,
                    guidance=method.guidance or guidance_of(options, monolith=of_monolith),
                    condition=condition,
                )


def guidance_of(options: SampleOptions, *, monolith: bool) -> GuidanceUse | None:
    """The guidance of rows that name none: the monolith is not led away from itself."""
    use = options.guidance
    return None if use is not None and use.by_weaker and monolith else use


def sample_artifact(draw: SampleSpec, options: SampleOptions, models_key: str, folder: Path) -> Artifact:
    """The artifact of one ``SampleSpec``, beside others of its method, steps and seed. Its key leaves out how many
    samples or experts are held at once."""
    key = key_of(models=models_key, **keyed(draw), **settings_of_all(options))
    name = f"steps-{draw.steps}-seed-{draw.seed}"
    return Artifact(folder=folder / draw.method, key=key, name=name).beside_others()


def settings_of_all(options: SampleOptions) -> dict[str, Any]:
    """The settings of all rows that change samples, as plain data."""
    matters = ("autocast", "channels_last", "compile", "count", "delta")
    return {name: value for name, value in keyed(options).items() if name in matters}
