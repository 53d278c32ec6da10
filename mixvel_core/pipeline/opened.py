"""Recipes run in one call, and finished runs opened again: to sample more from them, to study them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve, field, frozen

from mixvel_core.errors import ArtifactError, MixvelError, UsageError
from mixvel_core.machine import from_home
from mixvel_core.pipeline.condition_checks import check_conditions
from mixvel_core.pipeline.loaded import Loaded, Models
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.preflight import check_expert_counts, check_sampling_counts
from mixvel_core.pipeline.run import run as run_stages
from mixvel_core.pipeline.run_folder import check_recipe
from mixvel_core.pipeline.sample_conditions import condition_choice, digest_of_rows, given_condition
from mixvel_core.pipeline.sample_specs import SampleSpec, guidance_of
from mixvel_core.pipeline.shards import Shards
from mixvel_core.pipeline.trained import numbers
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import CLASS, Progress
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.build import checked
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe, SampleOptions
from mixvel_core.recipe.resolve import load_recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mixvel_core.data.latents import PlacedCodec
    from mixvel_core.protocols import Condition
    from mixvel_core.sampling.sampler import Sampler


Slot: TypeAlias = str | Mapping[str, object]
"""A plugin as a recipe writes it: its name, or ``{"use": name, option: value}``."""


@frozen(kw_only=True)
class Run:
    """A run folder whose models are all there. Models are loaded when a sampler first needs them, and kept. Samples of
    a recipe with a codec are latents, and ``decode`` makes items of them."""

    folder: Path
    recipe: Recipe
    shards: Shards
    models: Models
    _loaded: dict[str, Loaded] = field(factory=dict, init=False, eq=False, repr=False)
    _codecs: list[PlacedCodec] = field(factory=list, init=False, eq=False, repr=False)

    def sampler(
        self,
        *,
        selector: Slot | None = None,
        integrator: Slot | None = None,
        router: str | None = None,
        monolith: bool = False,
        steps: int | None = None,
        grid: str | Sequence[float] | Mapping[str, float] | None = None,
        delta: float | None = None,
        weights: Mapping[str, float | None] | None = None,
        guidance: Slot | float | None = None,
        device: torch.device | str | None = None,
    ) -> Sampler:
        """A sampler of the run's models, ``open_run(path).sampler(selector="cached", steps=20).sample(64)``.

        Args:
            selector: the selector; as are the others that are None, the recipe's (``sample`` section).
            integrator: the integrator.
            router: a router by its name in the recipe; the first one if None.
            monolith: sample from the monolith instead.
            steps: N, at least 1.
            grid: the time grid, by its name, as its N + 1 times, or ``{"shift": s}``.
            delta: the last time, 0 or in [1e-12, 1).
            weights: what is done to the router's weights, as in a recipe: ``{"top": 2, "from": 0.5}``.
            guidance: the guidance; a number is that scale of ``cfg``. Samples need a condition then (``condition``).
            device: where it computes; the best one if None.

        Raises:
            RecipeError: an argument is not what a recipe may have there; a line for each problem.
            UsageError: the run has no such router, or no monolith.
            ArtifactError: a model is damaged.
        """
        given: Mapping[str, object] = {
            "selector": selector,
            "integrator": integrator,
            "steps": None if steps is None else [steps],
            "grid": grid,
            "delta": delta,
            "weights": weights,
            "guidance": {"use": "cfg", "scale": guidance} if isinstance(guidance, int | float) else guidance,
        }
        section = plain(self.recipe.sample) | {name: value for name, value in given.items() if value is not None}
        options = checked(SampleOptions, section, "sampler")
        check_sampling_counts(options, len(self.models.experts))
        spec = self.sample_spec(options, router=router, monolith=monolith)
        if (
            guidance is not None
            and spec.guidance is not None
            and spec.guidance.definition.leads
            and not self.models.conditions
        ):
            raise UsageError("guidance leads to a condition, and the run has none: its recipe has no `condition`")
        if str(device) not in self._loaded:
            from torch import device as torch_device

            place = None if device is None else torch_device(device)
            self._loaded[str(device)] = Loaded(self.models, self.recipe.sample, place)
        return evolve(self._loaded[str(device)].sampler(spec), delta=options.delta)

    def condition(self, values: int | str | Sequence[int | str] | Mapping[str, Any]) -> Condition:
        """What samples are asked to be, for ``sampler().sample(64, condition=run.condition("shirt"))``.

        Args:
            values: a class by its number or name, or one for each sample; or by the names of the recipe's ``condition``
                classes and, of others, arrays with a row for each sample, or one row for all.

        Raises:
            UsageError: the run has no conditions, there is no such class, or a name is missing.
        """
        return given_condition(values if isinstance(values, Mapping) else {CLASS: values}, self.models.conditions)

    def decode(self, z: Tensor) -> Tensor:
        """Items of samples: ``run.decode(run.sampler(steps=20).sample(64).x)``.

        Args:
            z: latents, (n, *latent); items as they are where the recipe has no codec.

        Returns:
            (n, *data), where z is and in its type; z itself without a codec.
        """
        return z if (codec := self._codec()) is None else codec.decode(z)

    def encode(self, x: Tensor) -> Tensor:
        """Latents of items x, (n, *data) in [-1, 1], without a codec's noise: (n, *latent), where x is and in its type;
        x itself without a codec. Not the noise of an item: that is what ``Sampler.encode`` makes of these."""
        return x if (codec := self._codec()) is None else codec.encode(x)

    def _codec(self) -> PlacedCodec | None:
        if self.shards.codec is not None and not self._codecs:
            self._codecs.append(self.shards.codec.load())
        return self._codecs[0] if self._codecs else None

    def sample_spec(
        self, options: SampleOptions, *, router: str | None, monolith: bool, rows: Condition | None = None
    ) -> SampleSpec:
        """What is sampled by the first step count and seed of ``options``, under ``rows`` where they are given.

        Raises UsageError where it is not there.
        """
        if monolith and self.models.monolith is None:
            raise UsageError(f"{self.folder}: the recipe makes no monolith")
        names = list(self.models.routers)
        if router is not None and router not in names:
            raise UsageError(f"no router is called {router!r}; the run has {', '.join(names)}")
        return SampleSpec(
            method="more",
            steps=options.steps[0],
            seed=options.seeds[0],
            selector=options.selector,
            integrator=options.integrator,
            router=None if monolith else router or names[0],
            weights=options.weights,
            grid=options.grid,
            guidance=guidance_of(options, monolith=monolith),
            condition=condition_choice(options.condition, self.models.conditions)
            if rows is None
            else digest_of_rows(rows),
        )


def run(
    recipe: Recipe | Path | str,
    *overrides: str,
    out: Path | str | None = None,
    smoke: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Runs a recipe, or goes on where an earlier call stopped, as ``mixvel run`` does.

    Args:
        recipe: a YAML file, or what ``load_recipe`` made of one.
        overrides: ``key.path=value``, of a recipe that is a file.
        out: the run folder, made if absent; ``runs/NAME`` if None.
        smoke: at toy size; of a recipe that is a file.
        progress: shows how far it is; silent by default.

    Returns:
        The run, to sample from: ``run("recipes/mixture.yaml").sampler(steps=20).sample(64)``.

    Raises:
        MixvelError: the recipe is wrong, data or plugins are missing, or a stage failed.
    """
    if isinstance(recipe, Recipe) and (overrides or smoke):
        raise UsageError("overrides and smoke are of recipe files; pass them to load_recipe")
    checked = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides, smoke=smoke)
    folder = Path("runs") / checked.name if out is None else from_home(out)
    run_stages(checked, folder, progress=progress)
    return open_run(folder)


def open_run(folder: Path | str, overrides: Sequence[str] = (), *, partly: bool = False) -> Run:
    """The run in ``folder``; nothing is trained.

    Args:
        folder: the run folder, which describes itself.
        overrides: of the parts of its recipe that say how to sample.
        partly: also where not all of its models are made yet; those that are not are absent from the run's.

    Raises:
        RecipeError: an override is wrong, or it names more experts than there are.
        UsageError: there is no run, or its models are not all made yet.
        ArtifactError: its recipe, shards or models are damaged; names the file.
    """
    folder = from_home(folder)
    path = folder / "recipe.yaml"
    if not path.exists():
        raise UsageError(f"{folder}: no run here (recipe.yaml is missing); `mixvel run RECIPE` makes one")
    check_recipe(folder)
    recipe = load_recipe(path, overrides, load_registry())
    artifact = partition_artifact(recipe, folder)
    shards = stored_shards(artifact)
    if shards is None:
        raise unfinished(folder, "its partition", artifact.first_damaged())
    check_expert_counts(recipe, len(shards.parts))
    check_conditions(recipe, shards.parts, methods=False)
    stages = model_stages(recipe, folder, shards)
    missing = stages.missing()
    if missing and not (partly and stages.first_damaged() is None and stages.can_be_sampled()):
        raise unfinished(folder, missing, stages.first_damaged(), stages.usable_experts())
    models = stages.there if missing else stages.models
    return Run(folder=folder, recipe=recipe, shards=shards, models=models)


def unfinished(folder: Path, what: str, damage: Path | None, usable: Sequence[int] = ()) -> MixvelError:
    """The error where a run lacks ``what``, in words: the file that was damaged, or the experts that are usable."""
    again = f"`mixvel run {folder / 'recipe.yaml'} --out {folder}` makes it"
    if damage is not None:
        return ArtifactError(f"{damage}: {'damaged' if damage.exists() else 'missing'}; {again} again")
    there = f"; experts {numbers(usable)} are, and `mixvel assemble` takes them" if usable else ""
    if len(usable) == 1:
        there = f"; expert {usable[0]} is, and `mixvel assemble` takes it"
    return UsageError(f"{folder}: {what} is not made yet{there}; {again}")
