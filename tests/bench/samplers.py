"""Quality and path error of samplers on the networks of a trained run: python tests/bench/samplers.py RUN --out FILE.

Every row is a selector, an integrator and a grid, at several step counts, from the same noise. Quality: the squared
Frechet distance to held-out items in the features of the run's metric `classifier`, and class balance. Path: distance
to the end of the full mixture's own fine solution (median and RMS over samples). Rows run in the order of their worth,
and what is done when the time is up is kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from attrs import evolve, frozen

from mixvel_core import Sampler, build
from mixvel_core.data.items import Floats
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import open_run
from mixvel_core.protocols import Router, Scorer
from mixvel_core.recipe.model import Recipe
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_metrics.classifier import Classifier

Choice: TypeAlias = tuple[str, dict[str, Any]]
"""A plugin's name and its options."""


@frozen(kw_only=True)
class Row:
    """One line of the table; ``router`` is the recipe's, None for the monolith."""

    name: str
    selector: Choice
    integrator: Choice = ("pc", {})
    grid: str = "chebyshev"
    router: str | None = "moments"
    steps: tuple[int, ...] = (6, 10, 20)
    seeds: tuple[int, ...] = (0, 1, 2)


def rows(router: str) -> Iterator[Row]:
    """The first ones matter most."""
    switching: Choice = ("switching", {})
    cached: Choice = ("cached", {})
    mixture: Choice = ("mixture", {})
    yield Row(name="switching", selector=switching, router=router, steps=(6, 8, 10, 14, 20))
    yield Row(name="cached", selector=cached, router=router, steps=(6, 8, 10, 14, 20))
    yield Row(name="fixed", selector=("fixed", {}), router=router)
    yield Row(name="monolith", selector=mixture, router=None, steps=(6, 8, 10, 14, 20, 50))
    yield Row(name="iid uniform", selector=("iid", {}), grid="angle", router=router)
    yield Row(name="mixture", selector=mixture, router=router, steps=(6, 10), seeds=(0,))
    for p, e in ((0.0, 1.0), (2.0, 0.2), (1.0, 0.1), (1.0, 0.6), (0.5, 0.3)):
        options = {"importance": p, "mixing": e}
        yield Row(name=f"switching p={p:g} e={e:g}", selector=("switching", options), router=router, steps=(6, 10))
    for grid in ("angle", "angle-quadratic"):
        yield Row(name=f"switching {grid}", selector=switching, grid=grid, router=router, steps=(6, 10))
        yield Row(name=f"cached {grid}", selector=cached, grid=grid, router=router, steps=(6, 10))
    for order in ((1, 0), (2, 0), (3, 3), (2, 2)):
        integrator = ("pc", {"predictor": order[0], "corrector": order[1]})
        yield Row(name=f"switching pc {order}", selector=switching, integrator=integrator, router=router, steps=(6, 10))
    for name in ("iid", "fixed", "top1"):
        yield Row(name=f"{name} ddim", selector=(name, {}), integrator=("ddim", {}), grid="uniform", router=router)
    ddim: Choice = ("ddim", {})
    yield Row(name="mixture ddim", selector=mixture, integrator=ddim, grid="uniform", router=router, steps=(6, 10))
    yield Row(name="cached long", selector=cached, router=router, steps=(50,))
    yield Row(name="switching long", selector=switching, router=router, steps=(50,))
    yield Row(name="fixed long", selector=("fixed", {}), router=router, steps=(50,))
    yield Row(name="mixture long", selector=mixture, router=router, steps=(20, 50), seeds=(0,))


def sampler(loaded: Loaded, row: Row, steps: int, delta: float) -> Sampler:
    """The sampler of a row."""
    router: Router = SingleExpertRouter() if row.router is None else loaded.router(row.router)
    return Sampler(
        schedule=loaded.schedule,
        experts=loaded.experts(monolith=row.router is None),
        router=router,
        selector=build("selector", row.selector[0], row.selector[1]),
        integrator=build("integrator", row.integrator[0], row.integrator[1]),
        steps=steps,
        grid=row.grid,  # type: ignore[arg-type]  # checked by time_grid
        delta=delta,
        autocast=loaded.options.autocast,
    )


def scorer_of(recipe: Recipe) -> Scorer:
    """What scores samples against the held-out items."""
    metric = recipe.evaluate.metrics[0].build()
    if recipe.evaluate.data is None or not isinstance(metric, Classifier):
        raise SystemExit("the recipe needs held-out data (evaluate.data) and the metric `classifier` first")
    real = Floats(source=recipe.evaluate.data.build().load().items)
    return evolve(metric, further=("balance",)).against(real)


def main() -> None:
    """The table of one run as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--router", default="moments")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    started = time.monotonic()
    run = open_run(given.run, given.overrides)
    loaded = Loaded(run.models, run.recipe.sample)
    delta = run.recipe.sample.delta
    scorer = scorer_of(run.recipe)
    on_gpu = loaded.device.type == "cuda"
    fine = evolve(sampler(loaded, Row(name="fine", selector=("mixture", {}), router=given.router), 100, delta))
    few = min(128, given.count)
    target = fine.sample(count=few, shape=loaded.shape, seed=0, batch=few, device=loaded.device).x
    print(f"target after {time.monotonic() - started:.1f} s", flush=True)
    with given.out.open("a") as file:
        for row in rows(given.router):
            for steps in row.steps:
                for seed in row.seeds:
                    if time.monotonic() - started > given.seconds:
                        print("time is up", flush=True)
                        return
                    one = sampler(loaded, row, steps, delta)
                    begun = time.perf_counter()
                    made = one.sample(
                        count=given.count, shape=loaded.shape, seed=seed, batch=given.count, device=loaded.device
                    )
                    if on_gpu:
                        torch.cuda.synchronize()
                    seconds = time.perf_counter() - begun
                    scores = {s.name.split("-")[0]: s.value for s in scorer.scores(made.x.float().cpu().numpy())}
                    found = {
                        "row": row.name,
                        "steps": steps,
                        "seed": seed,
                        "evaluations": float(made.evaluations.double().mean()),
                        "seconds": seconds,
                        **scores,
                    }
                    if seed == 0 and row.router is not None:
                        path = (made.x[:few] - target).flatten(1).double().norm(dim=1).cpu().numpy()
                        found |= {"median": float(np.median(path)), "rms": float(np.sqrt((path**2).mean()))}
                    file.write(json.dumps(found) + "\n")
                    file.flush()
                    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
