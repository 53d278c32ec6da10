"""The plan of a recipe: what would be done, what is done already, and how much it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import evolve, frozen

from mixvel_core.cost.estimate import estimate
from mixvel_core.cost.flops import ModelFlops
from mixvel_core.cost.jobs import PlannedJob, measured_here, planned_jobs
from mixvel_core.errors import UsageError
from mixvel_core.pipeline.checkpoints import CheckpointShards, open_checkpoints
from mixvel_core.pipeline.condition_checks import check_conditions
from mixvel_core.pipeline.data_identity import changed_data
from mixvel_core.pipeline.discard import Discard, check_kept, discard_of
from mixvel_core.pipeline.jobs import ModelStage
from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.preflight import check_expert_counts, check_launchers, preflight
from mixvel_core.pipeline.questions import there_of
from mixvel_core.pipeline.run_folder import asked_last, check_folder
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.sample_specs import sample_specs
from mixvel_core.pipeline.scores import ToScore, cell_key, read_cells
from mixvel_core.pipeline.shards import Shards
from mixvel_core.pipeline.splits import Split
from mixvel_core.pipeline.trained import numbers
from mixvel_core.plugin.definition import ExpertUse, RouterUse
from mixvel_core.protocols import Shard
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.dump import to_plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import aligned

DONE, TO_DO = "done", "to do"
NO_FLOPS = ModelFlops(experts=(), monolith=None, routers={})


@frozen(kw_only=True)
class PlanRow:
    """One stage: its plugin, how much it is, and what is done of it."""

    stage: str
    what: str
    size: str
    state: str


@frozen(kw_only=True)
class Plan:
    """All stages, printed as a table; below it what is thrown away and made, and what it costs: lines of text."""

    rows: tuple[PlanRow, ...]
    changes: tuple[str, ...]
    cost: tuple[str, ...]

    def __str__(self) -> str:
        table = aligned([(row.stage, row.what, row.size, row.state) for row in self.rows])
        return "\n".join([*table, "", *self.changes, *self.cost])


def plan(
    recipe: Recipe, folder: Path, fresh: Sequence[str] | None = None, *, is_run: bool = True, measure: bool = False
) -> Plan:
    """What running ``recipe`` in ``folder`` would do, and what it would throw away first with ``fresh`` (see ``run``).

    Looks at the data where they are not partitioned yet. Nothing is written but prepared data and speeds, both in the
    user's cache.

    Args:
        is_run: refuse what ``run`` refuses. If not, models of another recipe in the folder are a line of the plan,
            which is then that of a folder of its own.
        measure: train a few steps of networks whose speed is not known.

    Raises:
        DataError: the data are missing or cannot be partitioned.
        RecipeError: plugins cannot work with these data.
        UsageError: models would be lost that ``fresh`` does not name, or the folder is no run.
    """
    discard = None if fresh is None else discard_of(folder, fresh)
    check_folder(folder, all_goes=discard is not None and not discard.kept)
    refused = ""
    try:
        check_kept(recipe, folder, discard)
    except UsageError as error:
        if is_run:
            raise
        # As in a folder of its own: nothing of what is there would be used.
        refused, folder = f"refused     here: {error}", folder / ".other"
    shards = partition_artifact(recipe, folder)
    stored = None if discard is not None and discard.holds(shards.folder) else stored_shards(shards)
    found: Split | Shards | CheckpointShards
    if stored is None and recipe.data is None:
        found = open_checkpoints(recipe, shards.folder)
    else:
        found = stored or preflight(recipe)
    parts: Sequence[Shard] = found.parts
    check_expert_counts(recipe, len(parts))
    check_conditions(recipe, parts)
    check_launchers(recipe)
    jobs = planned_jobs(recipe, folder, parts)
    if measure:
        jobs = measured_here(jobs, recipe, parts)
    there = _There(recipe=recipe, folder=folder, shards=stored, discard=discard)
    latents = None if found.codec is None else found.codec.size(parts[0].shape)
    rows = tuple(_rows(there, parts, jobs, latents))
    first = changed_data(recipe, shards, folder) if discard is None else discard.lines()
    changes = [*filter(None, [refused]), *first, _made(rows, folder)]
    return Plan(rows=rows, changes=tuple(changes), cost=tuple(estimate(recipe, parts, jobs)))


def _made(rows: Sequence[PlanRow], folder: Path) -> str:
    todo = [row for row in rows if row.state not in ("", DONE)]
    if not todo:
        return f"to make     nothing: all is there; the report is {folder / 'report' / 'index.html'}"
    return f"to make     {', '.join(row.stage + (f' ({row.state})' if row.state != TO_DO else '') for row in todo)}"


@frozen(kw_only=True)
class _There:
    """What of a recipe is in its run folder, and is not discarded. ``shards``: None where they are not there."""

    recipe: Recipe
    folder: Path
    shards: Shards | None
    discard: Discard | None

    @property
    def stages(self) -> ModelStages | None:
        return None if self.shards is None else model_stages(self.recipe, self.folder, self.shards)

    def has(self, stage: ModelStage) -> bool:
        """Whether the model is made and stays."""
        return not (self.discard and self.discard.holds(stage.folder)) and stage.is_done()

    def samples(self) -> tuple[StoredSamples, ...]:
        """The sets of samples that are there."""
        stages = self.stages
        return () if stages is None or self.discard else there_of(self.recipe, stages, self.folder).samples

    def scored(self) -> int:
        """How many sets of samples have all their scores."""
        cells = None if self.shards is None or self.discard else read_cells(self.folder, SILENT)
        if self.shards is None or cells is None:
            return 0
        options = self.recipe.evaluate
        asked = ToScore(samples=self.samples(), options=options, flops=NO_FLOPS)
        return sum(
            all(
                cell_key(asked, self.shards, one, metric, self.recipe.smoke) in cells
                for metric in range(len(options.metrics))
            )
            for one in range(len(asked.samples))
        )


def _rows(there: _There, parts: Sequence[Shard], jobs: Sequence[PlannedJob], latents: str | None) -> Iterator[PlanRow]:
    recipe, stages = there.recipe, there.stages
    counts = [part.count for part in parts]
    source = recipe.data.name if recipe.data is not None else "with their owners"
    yield PlanRow(stage="data", what=source, size=f"{sum(counts)} items", state="")
    if latents is not None and recipe.codec is not None:
        yield _row("codec", recipe.codec.name, latents, stages is not None)
    size = f"{len(counts)} shards of {min(counts)} to {max(counts)} items"
    partitioner = recipe.partition.name if recipe.partition is not None else "assembled"
    yield _row("partition", partitioner, size, stages is not None)
    yield _experts(there, stages, jobs, len(counts))
    if recipe.monolith is not None:
        made = stages is not None and stages.monolith is not None and there.has(stages.monolith)
        yield _models("monolith", recipe.monolith, jobs, made)
    yield from _router_data(recipe, stages)
    for name, use in recipe.routers.items():
        yield _models(f"router {name}", use, jobs, stages is not None and there.has(stages.routers[name]))
    sets = len(list(sample_specs(recipe.sample, list(recipe.routers))))
    size, methods = f"{sets} sets of {recipe.sample.count}", f"{len(recipe.sample.methods)} methods"
    yield _row("sample", methods, size, len(there.samples()), sets)
    metrics = ", ".join(metric.name for metric in recipe.evaluate.metrics)
    scored = there.scored()
    yield _row("evaluate", metrics, f"{sets} sets", scored, sets)
    reported = (there.folder / "report" / "done.json").exists() and asked_last(there.folder) == to_plain(recipe)
    yield _row("report", "html", "1 page", scored == sets and reported)


def _experts(there: _There, stages: ModelStages | None, jobs: Sequence[PlannedJob], count: int) -> PlanRow:
    """The row of the experts; where some are there, which."""
    use = there.recipe.expert
    if use.is_shared:
        done = stages is not None and stages.shared is not None and there.has(stages.shared)
        return _models("experts", use, jobs, done)
    made = [stage.shard.index for stage in stages.separate if there.has(stage)] if stages else []
    row = _models("experts", use, jobs, len(made), count)
    return row if not made or len(made) == count else evolve(row, state=f"{row.state}: {numbers(made)}")


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
    partly = f"{done} of {total} done" if done else TO_DO
    return PlanRow(stage=stage, what=what, size=size, state=DONE if done == total else partly)
