"""The plan of a recipe: what would be done, what is done already, and how much it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from mixvel_core.cost.estimate import estimate
from mixvel_core.cost.jobs import PlannedJob, planned_jobs
from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.preflight import check_expert_counts, preflight
from mixvel_core.pipeline.run_folder import check_folder
from mixvel_core.pipeline.sample import sample_specs
from mixvel_core.pipeline.shards import Shards
from mixvel_core.plugin.definition import ExpertUse, RouterUse
from mixvel_core.protocols import Shard
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import aligned


@frozen(kw_only=True)
class PlanRow:
    """One stage: its plugin, how much it is, and what is done of it."""

    stage: str
    what: str
    size: str
    state: str


@frozen(kw_only=True)
class Plan:
    """All stages, printed as a table; below it what they cost: ``cost``, lines of text."""

    rows: tuple[PlanRow, ...]
    cost: tuple[str, ...]

    def __str__(self) -> str:
        table = aligned([(row.stage, row.what, row.size, row.state) for row in self.rows])
        return "\n".join([*table, "", *self.cost])


def plan(recipe: Recipe, folder: Path, fresh: bool = False) -> Plan:
    """What running ``recipe`` in ``folder`` would do, starting over if ``fresh``.

    Looks at the data where they are not partitioned yet.

    Raises:
        DataError: the data are missing or cannot be partitioned.
        RecipeError: plugins cannot work with these data.
        UsageError: the folder is of another recipe, or no run.
    """
    check_folder(recipe, folder, fresh)
    stored = None if fresh else stored_shards(partition_artifact(recipe, folder))
    parts: Sequence[Shard] = (stored or preflight(recipe)).parts
    check_expert_counts(recipe, len(parts))
    jobs = planned_jobs(recipe, folder, parts)
    cost = estimate(recipe, parts, jobs)
    return Plan(rows=tuple(_rows(recipe, folder, stored, parts, jobs)), cost=tuple(cost))


def _rows(
    recipe: Recipe, folder: Path, stored: Shards | None, parts: Sequence[Shard], jobs: Sequence[PlannedJob]
) -> Iterator[PlanRow]:
    counts = [part.count for part in parts]
    source = recipe.data.name if recipe.data is not None else "with their owners"
    yield PlanRow(stage="data", what=source, size=f"{sum(counts)} items", state="")
    size = f"{len(counts)} shards of {min(counts)} to {max(counts)} items"
    partitioner = recipe.partition.name if recipe.partition is not None else "assembled"
    yield _row("partition", partitioner, size, stored is not None)
    makers = model_stages(recipe, folder, stored) if stored else None
    experts = makers.experts if makers else ()
    one = recipe.expert.is_shared
    done = sum(stage.artifact.is_done() for stage in (experts[:1] if one else experts))
    yield _models("experts", recipe.expert, jobs, done, 1 if one else len(counts))
    if recipe.monolith is not None:
        made = makers is not None and makers.monolith is not None and makers.monolith.is_done()
        yield _models("monolith", recipe.monolith, jobs, made)
    yield from _router_data(recipe, makers)
    for name, use in recipe.routers.items():
        yield _models(f"router {name}", use, jobs, makers is not None and makers.routers[name].is_done())
    specs = list(sample_specs(recipe.sample, list(recipe.routers)))
    records = [folder / "samples" / d.method / f"steps-{d.steps}-seed-{d.seed}.json" for d in specs]
    made_already = sum(record.exists() for record in records) if stored else 0
    size, methods = f"{len(specs)} sets of {recipe.sample.count}", f"{len(recipe.sample.methods)} methods"
    yield _row("sample", methods, size, made_already, len(specs))
    metrics = ", ".join(metric.name for metric in recipe.evaluate.metrics)
    yield _row("evaluate", metrics, f"{len(specs)} sets", stored is not None and (folder / "scored.json").exists())
    reported = stored is not None and (folder / "report" / "index.html").exists()
    yield _row("report", "html", "1 page", reported)


def _router_data(recipe: Recipe, makers: ModelStages | None) -> Iterator[PlanRow]:
    """The samples of experts that routers learn from, once for all routers with the same options."""
    wanted = {options: name for name, use in recipe.routers.items() if (options := use.router_data()) is not None}
    for options, router in wanted.items():
        stage = makers.routers[router].router_data if makers else None
        size = f"{options.count} samples, {options.steps} steps"
        yield _row("draw", options.integrator, size, stage is not None and stage.is_done())


def _models(stage: str, use: ExpertUse | RouterUse, jobs: Sequence[PlannedJob], done: int, models: int = 1) -> PlanRow:
    """The row of a stage that makes ``models`` models by those of the ``jobs`` that are its own."""
    own = [job for job in jobs if job.group == stage]
    parts = []
    if own:
        steps, batches = _range([job.steps for job in own]), _range([job.batch for job in own])
        parts.append(f"{len(own)} {'jobs' if len(own) > 1 else 'job'} of {steps} steps, batch {batches}")
    if len(own) < models:
        parts.append(f"{models - len(own)} with nothing to train")
    return _row(stage, use.name, ", ".join(parts), done, models)


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _row(stage: str, what: str, size: str, done: int, total: int = 1) -> PlanRow:
    partly = f"{done} of {total} done" if done else "to do"
    return PlanRow(stage=stage, what=what, size=size, state="done" if done == total else partly)
