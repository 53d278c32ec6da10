"""Preflight: whether a recipe and its data fit together, checked before anything is written or trained.

A metric that cannot read the items would otherwise fail when all the training is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from attrs import field, frozen

from mixvel_core.cost.untrained import planned_family
from mixvel_core.data.items import are_latents
from mixvel_core.errors import AbsentError, DataError, MixvelError, RecipeError, UnreadableError
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.codecs import codec_of
from mixvel_core.pipeline.condition_checks import check_conditions
from mixvel_core.pipeline.evaluate import real_items
from mixvel_core.pipeline.routers import counts_of
from mixvel_core.pipeline.shards import JoinedShard, are_local
from mixvel_core.pipeline.shared_experts import shared_family
from mixvel_core.pipeline.splits import Split, split
from mixvel_core.plugin.definition import SelectorUse
from mixvel_core.protocols import (
    CheckedRouterFamily,
    ExpertFamily,
    Items,
    NoiseSchedule,
    PreparedMetric,
    Progress,
    RouterFamily,
    Shard,
    TrainTask,
)
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.model import Recipe, SampleOptions

if TYPE_CHECKING:
    from mixvel_core.data.latents import PlacedCodec

_FEW = 8
"""Items that a metric is tried on: enough for any to fail that cannot read them, and next to no work."""


def preflight(recipe: Recipe, progress: Progress = SILENT) -> Split:
    """The data of a recipe in shards, once every plugin that will read them has been tried.

    Raises:
        DataError: no data, or no partition of them, or weights that are not there.
        RecipeError: plugins cannot work with these data; a line for each problem.
    """
    if recipe.data is None or recipe.partition is None:
        raise DataError("`data` is null, they are with their owners; `mixvel assemble` makes a run from their experts")
    made = split(recipe.data, recipe.partition, recipe.seed, progress, recipe.condition)
    if (codec := codec_of(recipe)) is not None:
        made = made.encoded(codec, recipe.seed)
    schedule = recipe.schedule.build()
    streamed = made.data.streaming is not None
    problems = _Problems()
    with problems.noted():
        if recipe.expert.is_shared:
            task = shared_family(recipe.expert).shared_task(made.parts, schedule)
            _check_training("experts", task, _count(made.parts), made.parts[0].shape, streamed)
        else:
            expert = recipe.expert.build()
            for part in made.parts:
                try_expert(f"expert-{part.index}", expert, part, schedule, streamed)
    with problems.noted():
        if recipe.monolith is not None:
            try_expert("monolith", recipe.monolith.build(), JoinedShard(parts=made.parts), schedule, streamed)
    joined = JoinedShard(parts=made.parts)
    for use, shard in ((recipe.monolith, joined), (recipe.expert, made.parts[0])):
        with problems.noted():
            if use is None or use.is_shared:
                continue
            family = planned_family(recipe, joined, schedule) if use is recipe.expert else use.build()
            if (network := family.task(shard, schedule)) is not None:
                _try_network(network)
    with problems.noted():
        check_conditions(recipe, made.parts)
    _try_routers(recipe, made.parts, schedule, streamed, problems)
    _try_grids(recipe, schedule, problems)
    with problems.noted():
        check_launchers(recipe)
    _try_metrics(recipe, made.parts, problems, None if made.codec is None else made.codec.placed)
    return made


def preflight_without_data(recipe: Recipe, parts: Sequence[Shard], codec: PlacedCodec | None = None) -> None:
    """The same of a recipe whose shards stay with their owners, and whose experts are there already.

    Raises RecipeError: plugins cannot do without the items; a line for each problem.
    """
    problems = _Problems()
    schedule = recipe.schedule.build()
    check_expert_counts(recipe, len(parts))
    with problems.noted():
        check_conditions(recipe, parts)
    _try_routers(recipe, parts, schedule, False, problems)
    _try_grids(recipe, schedule, problems)
    _try_metrics(recipe, parts, problems, codec)


def check_expert_counts(recipe: Recipe, experts: int) -> None:
    """Raises RecipeError where the recipe wants more weights kept, or more experts evaluated, than the number of
    ``experts``; a line for each place. At toy size there may be fewer shards than a recipe was written for.
    """
    if not recipe.smoke:
        selectors = () if recipe.study is None else recipe.study.selectors or ()
        of_study = {f"study.selectors.{index}": selector for index, selector in enumerate(selectors)}
        _check_counts({**_counts_of_sampling(recipe.sample), **_counts_of_selectors(of_study)}, experts)


def check_sampling_counts(options: SampleOptions, experts: int) -> None:
    """The same of the section ``sample``."""
    _check_counts(_counts_of_sampling(options), experts)


def _check_counts(counts: Mapping[str, int | None], experts: int) -> None:
    problems = [
        f"{place}  must be at most {experts}, the number of experts, not {count}"
        for place, count in counts.items()
        if count is not None and count > experts
    ]
    if problems:
        raise RecipeError(*problems)


def _counts_of_sampling(options: SampleOptions) -> dict[str, int | None]:
    """How many experts are named, by place."""
    places = {"sample": options} | {f"sample.methods.{name}": method for name, method in options.methods.items()}
    tops = {f"{place}.weights.top": one.weights.top for place, one in places.items() if one.weights is not None}
    selectors = {f"{place}.selector": one.selector for place, one in places.items() if one.selector is not None}
    return {**tops, **_counts_of_selectors(selectors)}


def _counts_of_selectors(places: Mapping[str, SelectorUse]) -> dict[str, int | None]:
    return {
        f"{place}.{option}": count
        for place, use in places.items()
        for option, count in use.definition.expert_counts(use.options).items()
    }


def _try_grids(recipe: Recipe, schedule: NoiseSchedule, problems: _Problems) -> None:
    """The times of every method and of the study at every step count, which the schedule may not have."""
    # Here, because it loads torch, and a run that is done looks at nothing.
    from mixvel_core.sampling.grid import time_grid

    options, study = recipe.sample, recipe.study
    wanted = {"": (dict.fromkeys(method.grid or options.grid for method in options.methods.values()), options.steps)}
    if study is not None:
        wanted["study.grids  "] = (dict.fromkeys(study.grids), study.steps)
    for where, (grids, counts) in wanted.items():
        for grid in grids:
            with problems.noted(where):
                for steps in counts:
                    time_grid(grid, schedule, steps, options.delta)


def check_launchers(recipe: Recipe) -> None:
    """Raises RecipeError where training or sampling is to run on a device that this machine has not, or on workers that
    are known not to be there."""
    for place, use in (("launcher", recipe.launcher), ("sample.launcher", recipe.sample.launcher)):
        workers = None if use is None else use.workers()
        if workers is not None and workers.check is not None:
            workers.check()
        if use is not None and workers is not None and workers.here and workers.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise RecipeError(f"{place} {use.name}: device cuda is not available here; use auto or cpu")


def _try_metrics(recipe: Recipe, parts: Sequence[Shard], problems: _Problems, codec: PlacedCodec | None = None) -> None:
    """The last of all. Raises RecipeError with everything that was noted."""
    items: Items | None = None
    with problems.noted():
        items = real_items(recipe.evaluate, parts, codec)
    if items is not None:
        for use in recipe.evaluate.metrics:
            with problems.noted():
                count = min(recipe.sample.count, len(items) // 2, _FEW)
                if count == 0:
                    raise DataError("one item in all: too few to compare samples with; take more data")
                few = to_float(items[: 2 * count])
                metric = use.build()
                if isinstance(metric, PreparedMetric):
                    metric.check(few)
                else:
                    metric.score(few[:count], few[count:])
    if problems.lines:
        raise RecipeError(*dict.fromkeys(problems.lines))


def try_expert(name: str, family: ExpertFamily, shard: Shard, schedule: NoiseSchedule, streamed: bool) -> None:
    """Raises MixvelError where the expert ``name`` cannot be made of this shard, as far as that is known before.

    ``streamed``: whether its items will be read as a stream.
    """
    task = family.task(shard, schedule)
    if task is not None:
        _check_training(name, task, shard.count, shard.shape, streamed)
    else:
        # All of a closed form is made here, and it is only here that it can fail.
        family.tensors(shard, None)


def _try_routers(
    recipe: Recipe, parts: Sequence[Shard], schedule: NoiseSchedule, streamed: bool, problems: _Problems
) -> None:
    for name, router in recipe.routers.items():
        with problems.noted(f"routers.{name}  "):
            family, drawn = router.build(), router.router_data()
            tasks = family.tasks(parts, schedule)
            if tasks and drawn is None and not are_local(parts):
                raise RecipeError(
                    f"learns from data, which stay with their owners; set routers.{name}.train_on=experts"
                )
            if drawn is None:
                # Samples of experts, which a router may learn from in place of the items, are not there yet.
                _try_router_tensors(family, parts, trains=bool(tasks))
            count = _count(parts) if drawn is None else sum(counts_of(drawn.count, [part.fraction for part in parts]))
            for network, task in tasks.items():
                _check_training(network, task, count, parts[0].shape, streamed and drawn is None)


def _try_router_tensors(family: RouterFamily, parts: Sequence[Shard], *, trains: bool) -> None:
    """All of a router without training is made here, where it cannot be checked without."""
    if isinstance(family, CheckedRouterFamily):
        family.check(parts)
    elif not trains:
        family.tensors(parts, {})


def _check_training(name: str, task: TrainTask, count: int, shape: tuple[int, ...], streamed: bool) -> None:
    """Raises DataError where the options of the training ``name`` do not go with its ``count`` items."""
    if task.options.held_out > 0.0:
        # Here, because it loads torch.
        from mixvel_core.training.held_out import held_count

        held_count(name, count, task.options.held_out, streamed=streamed)
    if task.options.horizontal_flips and are_latents(task.items):
        raise DataError("horizontal_flips turns images around, and a codec's latents are none; leave it out")
    if task.options.horizontal_flips and len(shape) != 3:
        raise DataError(f"horizontal_flips needs images, and items have shape {tuple(shape)}; leave it out")


def _try_network(task: TrainTask) -> None:
    """Raises MixvelError where there is no network of the class, or the sizes, that the options name."""
    # Here, because it loads torch.
    import torch

    # Without memory; what cannot be made there for another reason is made when it is trained.
    with suppress(RuntimeError, TypeError, ValueError, AttributeError), torch.device("meta"):
        task.objective(0)


def _count(parts: Sequence[Shard]) -> int:
    return sum(part.count for part in parts)


@frozen(kw_only=True)
class _Problems:
    lines: list[str] = field(factory=list)

    @contextmanager
    def noted(self, where: str = "") -> Iterator[None]:
        """What a plugin raises in the block is noted, behind ``where``, and the next one is tried."""
        try:
            yield
        except (AbsentError, UnreadableError):
            raise
        except MixvelError as error:
            self.lines.extend(where + line for line in str(error).splitlines())
