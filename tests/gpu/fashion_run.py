"""(c) recipes/fashion.yaml at full size, as far as the time goes: trainings, samples, scores, and a folder to keep.

What is made stays in the run folder, and the next session goes on from there. How long trainings may be is measured
first: all step counts are shortened in one proportion, which is written down before anything is trained.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from attrs import asdict, evolve, frozen
from ledger import Ledger
from lengths import lengths
from pack import pack
from work import (
    RUN,
    SILENT,
    Place,
    Until,
    begin_process,
    draw_samples,
    import_all,
    missing_columns,
    prepare_metrics,
    train_model,
)

from mixvel_core.cost.flops import model_flops
from mixvel_core.data.pictures import grid, save_png
from mixvel_core.pipeline.evaluate import evaluate
from mixvel_core.pipeline.run import RunResult
from mixvel_core.pipeline.run_folder import begin
from mixvel_core.pipeline.sample import sample
from mixvel_core.recipe.model import Recipe
from mixvel_data.idx_source import fashion_folder

TRAINING, SAMPLING, SCORING = 0.45, 0.78, 0.93
"""When each is over, in parts of the section's time."""
FOR_SCORES = "what scores need"
LATE = 1.2
"""How much longer than hoped trainings may take before they are broken off."""


@frozen(kw_only=True)
class Column:
    """One step count and one seed of the table."""

    steps: int
    seed: int


def fashion(ledger: Ledger, data: Path, place: Place, out: Path) -> None:
    """The whole section. ``data``: the folder of the IDX files. ``out``: for what is to be kept."""
    started, whole = time.monotonic(), ledger.left
    place.folder.mkdir(parents=True, exist_ok=True)
    # What is trained for scores is kept with the networks.
    os.environ["MIXVEL_DATA"] = str(place.folder.absolute() / "classifier")
    workers = 2 if ledger.toy or (os.cpu_count() or 2) < 4 else 8
    place = evolve(place, smoke=ledger.toy)
    place = evolve(place, overrides=() if ledger.toy else tuple(_overrides(data, place.load())))
    with _processes(workers) as pool:
        ready = [pool.submit(import_all) for _ in range(workers)]
        shards = RunResult(recipe=place.load(), folder=place.folder, progress=SILENT).partition()
        for one in ready:
            one.result()
        ledger.say(f"{len(shards.parts)} shards, {workers} processes")
        place = evolve(place, end=started + TRAINING * LATE * whole)
        place, many = lengths(ledger, pool, workers, place, len(shards.parts), started + TRAINING * whole)
        recipe = _train(ledger, pool, place, many)
        # Networks first: whatever ends the session later, they are kept.
        _pack(ledger, place.folder, out)
        columns = _sample(ledger, pool, evolve(place, end=started + SAMPLING * whole), recipe, workers)
    if not columns:
        raise TimeoutError("no column of the table is complete; run again to go on")
    _table(ledger, place, recipe, columns, started + SCORING * whole, out)


def _overrides(data: Path, recipe: Recipe) -> Iterator[str]:
    """What this session sets beside the recipe's own size."""
    if data != fashion_folder(None):
        for key in ("data", "evaluate.data", "evaluate.metrics.0.data", "evaluate.metrics.0.test"):
            yield f"{key}.path={data}"
    # Their targets are a pass over all items at each step.
    for name, router in recipe.routers.items():
        if router.name == "da-network":
            yield f"routers.{name}.train.steps=500"
    yield "sample.launcher={use: local, parallel: 4, threads: 4}"


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    threads = max(1, (os.cpu_count() or 1) // count)
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=begin_process, initargs=(threads,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _train(ledger: Ledger, pool: ProcessPoolExecutor, place: Place, many: int) -> Recipe:
    """All models, ``many`` at a time, the longest first; the recipe without those routers, and their rows, that could
    not be trained.

    Raises TimeoutError where an expert or the monolith was not trained to its end.
    """
    recipe = place.load()
    begin(recipe, place.folder)
    stages = place.stages(recipe)
    # Targets of a da-network are a pass over all items at each step.
    heavy_first = sorted(stages.routers, key=lambda name: recipe.routers[name].name != "da-network")
    names = [*(["monolith"] if stages.monolith else []), *(f"router-{name}" for name in heavy_first)]
    names += [f"expert-{one.shard.index}" for one in stages.separate]
    started = time.monotonic()
    works = {name: partial(train_model, place, name) for name in names[:3]}
    works[FOR_SCORES] = partial(prepare_metrics, place)
    works |= {name: partial(train_model, place, name) for name in names[3:]}
    unfinished = [name for name in _all(ledger, pool, works, "trained", many) if name != FOR_SCORES]
    ledger.figure("all trainings", time.monotonic() - started, "s", models=len(names))
    missing = {name.removeprefix("router-") for name in unfinished if name.startswith("router-")}
    if len(unfinished) > len(missing):
        raise TimeoutError(f"not trained: {', '.join(unfinished)}; run again to go on")
    routers = {name: use for name, use in recipe.routers.items() if name not in missing}
    methods = {name: method for name, method in recipe.sample.methods.items() if method.router not in missing}
    return evolve(recipe, routers=routers, sample=evolve(recipe.sample, methods=methods))


def _sample(ledger: Ledger, pool: ProcessPoolExecutor, place: Place, recipe: Recipe, workers: int) -> list[Column]:
    """The columns of the table that are complete when the time is up, the first seed's first."""
    # One task draws a method's samples at all step counts: opening its models takes as long as some of them.
    works = {
        f"{method}, seed {seed}": partial(draw_samples, place, method, seed)
        for seed in recipe.sample.seeds
        for method in _dearest_first(recipe)
    }
    _all(ledger, pool, works, "sampled", workers)
    missing = missing_columns(place, recipe)
    every = ((steps, seed) for seed in recipe.sample.seeds for steps in recipe.sample.steps)
    columns = [Column(steps=steps, seed=seed) for steps, seed in every if (steps, seed) not in missing]
    ledger.note("columns", [asdict(column) for column in columns])
    return columns


def _dearest_first(recipe: Recipe) -> list[str]:
    """Methods that evaluate several experts a step before those that evaluate one."""
    several = ("mixture", "topk", "nucleus")
    options = recipe.sample
    return sorted(
        options.methods, key=lambda name: (options.methods[name].selector or options.selector).name not in several
    )


def _all(
    ledger: Ledger, pool: ProcessPoolExecutor, works: Mapping[str, Callable[[], float]], done: str, many: int
) -> list[str]:
    """Does all, ``many`` at a time, in their order; the names of those that failed, whose reasons are in the log."""
    left, running, unfinished = list(works), dict[Future[float], str](), []
    while left or running:
        while left and len(running) < many:
            name = left.pop(0)
            running[pool.submit(works[name])] = name
        for task in wait(running, return_when=FIRST_COMPLETED).done:
            name, error = running.pop(task), task.exception()
            if error is None:
                ledger.say(f"{done} {name} in {task.result():.1f} s, {ledger.left:.0f} s left")
            else:
                ledger.say(f"not {done}: {name}: {type(error).__name__} {error}"[:400])
                unfinished.append(name)
    return unfinished


def _table(ledger: Ledger, place: Place, recipe: Recipe, columns: Iterable[Column], end: float, out: Path) -> None:
    """Scores, first of one column, then of one seed, then of all complete seeds; a picture, the report, the folder."""
    chosen = list(columns)
    steps = tuple(dict.fromkeys(column.steps for column in chosen if column.seed == chosen[0].seed))
    seeds = tuple(s for s in recipe.sample.seeds if all(Column(steps=n, seed=s) in chosen for n in steps))
    scored = None
    for some_steps, some_seeds in dict.fromkeys([(steps[:1], seeds[:1]), (steps, seeds[:1]), (steps, seeds)]):
        part = evolve(recipe, sample=evolve(recipe.sample, steps=some_steps, seeds=some_seeds))
        what = f"scores of steps {some_steps}, seeds {some_seeds}"
        if time.monotonic() < end and ledger.enough(what, 10):
            with _timed(ledger, what):
                _scored(ledger, place, part, end, out)
                scored = part
    _pack(ledger, place.folder, out)
    if scored is not None and ledger.enough("the report", 25):
        with _timed(ledger, "the report"):
            begin(scored, place.folder)
            # In a process that can be ended: of many items, calibration of the routers may take long.
            command = [sys.executable, "-c", RUN, str(place.folder / "recipe.yaml"), str(place.folder), "report"]
            subprocess.run(command, timeout=max(10.0, ledger.left - 5), check=True)
        _pack(ledger, place.folder, out)


def _scored(ledger: Ledger, place: Place, recipe: Recipe, end: float, out: Path) -> None:
    begin(recipe, place.folder)
    shards = RunResult(recipe=recipe, folder=place.folder, progress=SILENT).partition()
    models = place.stages(recipe).models
    samples = sample(models, recipe.sample, place.folder / "samples", SILENT)
    flops = model_flops(models, place.folder, SILENT)
    scores = evaluate(
        samples,
        shards,
        recipe.evaluate,
        flops,
        place.folder,
        Until(end=end),
        smoke=recipe.smoke,
        launcher=recipe.sample.launcher,
    )
    table = {**asdict(scores), "count": recipe.sample.count}
    (out / "scores.json").write_text(json.dumps(table, indent=1))
    for row in scores.rows:
        ledger.say(f"{row['value']:10.4g} {row['metric']}: {row['method']}, {row['steps']} steps, seed {row['seed']}")
    shown = samples[0].draw.steps, samples[0].draw.seed
    first = [one for one in samples if (one.draw.steps, one.draw.seed) == shown]
    save_png(grid(np.concatenate([one.array("x")[:16] for one in first]), columns=16), out / "samples.png")


def _pack(ledger: Ledger, folder: Path, out: Path) -> None:
    with ledger.guarded("packing"):
        for name, size in pack(folder, out).items():
            ledger.say(f"{size / 2**20:6.2f} MiB  {name}")


@contextmanager
def _timed(ledger: Ledger, what: str) -> Iterator[None]:
    started = time.monotonic()
    with ledger.guarded(what):
        yield
    ledger.say(f"{what}: {time.monotonic() - started:.1f} s")
