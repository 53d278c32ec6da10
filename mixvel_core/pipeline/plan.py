"""The plan of a recipe: what would be done, what is done already, and how much it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from mixvel_core.cost.estimate import estimate
from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.preflight import preflight
from mixvel_core.pipeline.router_data import router_data_options
from mixvel_core.pipeline.run_folder import check_folder
from mixvel_core.pipeline.sample import sample_specs
from mixvel_core.pipeline.shards import Shards
from mixvel_core.plugin.definition import ExpertUse, RouterUse, Use
from mixvel_core.protocols import Shard
from mixvel_core.recipe.model import Recipe
from mixvel_core.training.options import TrainOptions, is_shared


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
        return "\n".join([*self._table(), "", *self.cost])

    def _table(self) -> list[str]:
        columns = [(row.stage, row.what, row.size, row.state) for row in self.rows]
        widths = [max(len(row[i]) for row in columns) for i in range(4)]
        return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in columns]


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
    cost = estimate(recipe, folder, parts)
    return Plan(rows=tuple(_rows(recipe, folder, stored, parts)), cost=tuple(cost))


def _rows(recipe: Recipe, folder: Path, stored: Shards | None, parts: Sequence[Shard]) -> Iterator[PlanRow]:
    counts = [part.count for part in parts]
    source = recipe.data.name if recipe.data is not None else "with their owners"
    yield PlanRow(stage="data", what=source, size=f"{sum(counts)} items", state="")
    size = f"{len(counts)} shards of {min(counts)} to {max(counts)} items"
    partitioner = recipe.partition.name if recipe.partition is not None else "assembled"
    yield PlanRow(stage="partition", what=partitioner, size=size, state=_state(int(stored is not None), 1))
    makers = model_stages(recipe, folder, stored) if stored else None
    experts = makers.experts if makers else ()
    one = is_shared(recipe.expert.options)
    done = sum(stage.artifact.is_done() for stage in (experts[:1] if one else experts))
    yield _models("experts", recipe.expert, done, 1 if one else len(counts))
    if recipe.monolith is not None:
        made = makers is not None and makers.monolith is not None and makers.monolith.artifact.is_done()
        yield _models("monolith", recipe.monolith, int(made), 1)
    yield from _router_data(recipe, makers)
    for name, use in recipe.routers.items():
        made = makers is not None and makers.routers[name].is_done()
        jobs = len(use.build().tasks(parts, recipe.schedule.build()))
        yield _models(f"router {name}", use, int(made), 1, jobs)
    draws = list(sample_specs(recipe.sample, list(recipe.routers)))
    records = [folder / "samples" / d.method / f"steps-{d.steps}-seed-{d.seed}.json" for d in draws]
    drawn = sum(record.exists() for record in records) if stored else 0
    size = f"{len(draws)} draws of {recipe.sample.count}"
    methods = f"{len(recipe.sample.methods)} methods"
    yield PlanRow(stage="sample", what=methods, size=size, state=_state(drawn, len(draws)))
    metrics = ", ".join(metric.name for metric in recipe.evaluate.metrics)
    scored = stored is not None and (folder / "scored.json").exists()
    yield PlanRow(stage="evaluate", what=metrics, size=f"{len(draws)} sets", state=_state(int(scored), 1))
    reported = stored is not None and (folder / "report" / "index.html").exists()
    yield PlanRow(stage="report", what="html", size="1 page", state=_state(int(reported), 1))


def _router_data(recipe: Recipe, makers: ModelStages | None) -> Iterator[PlanRow]:
    """The samples of experts that routers learn from, once for all routers that ask for the same ones."""
    asked = {name: options for name, use in recipe.routers.items() if (options := router_data_options(use)) is not None}
    for options in dict.fromkeys(asked.values()):
        router = next(name for name, one in asked.items() if one == options)
        stage = makers.routers[router].drawn if makers else None
        size = f"{options.count} samples, {options.steps} steps"
        yield PlanRow(
            stage="draw",
            what=options.integrator,
            size=size,
            state=_state(int(stage is not None and stage.is_done()), 1),
        )


def _models(stage: str, use: ExpertUse | RouterUse, done: int, total: int, jobs: int | None = None) -> PlanRow:
    """``jobs``: how many networks the models have; as many as models if None."""
    size = _training(use, total if jobs is None else jobs, total)
    return PlanRow(stage=stage, what=use.name, size=size, state=_state(done, total))


def _training(use: ExpertUse | RouterUse, jobs: int, models: int) -> str:
    train = _train_options(use)
    if train is None or not jobs:
        return f"{models} in closed form"
    return f"{jobs} {'jobs' if jobs > 1 else 'job'} of {train.steps} steps, batch {train.batch}"


def _train_options(use: Use[object]) -> TrainOptions | None:
    """The training options of a plugin that trains, which it keeps under `train`."""
    train = getattr(use.options, "train", None)
    return train if isinstance(train, TrainOptions) else None


def _state(done: int, total: int) -> str:
    if done == total:
        return "done"
    return f"{done} of {total} done" if done else "to do"
