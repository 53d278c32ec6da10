"""Runs up to the scores, small enough for a test, to report on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import evolve, frozen
from whole_runs import EXACT, recipe_of

from mixvel_core.cost.flops import ModelFlops, model_flops
from mixvel_core.pipeline.evaluate import evaluate
from mixvel_core.pipeline.loaded import Models
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.run import RunResult
from mixvel_core.pipeline.sample import StoredSamples, sample
from mixvel_core.pipeline.scores import Scores
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols import Progress
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.model import Recipe
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.stage import WrittenReport, report

VECTORS = (
    EXACT.replace("name: exact", "name: tiny")
    .replace("steps: [2, 3]", "steps: [2, 3]\n  seeds: [0, 1]")
    .replace(", prior: fixed", "")
    .replace("    guessed: {router: prior, selector: top1}\n", "")
)
IMAGES = """
name: tiny-images
data: digits
partition: labels
schedule: vp-cosine
expert: {use: empirical, bandwidth: 0.15}
routers: {exact: {use: oracle, bandwidth: 0.15}}
sample: {count: 8, steps: [1, 2], selector: mixture, integrator: ddim, methods: {mixed: {}, top: {selector: top1}}}
evaluate: {metrics: [{use: sliced-w2, projections: 8}]}
report: {images: 4}
launcher: local
"""


@frozen(kw_only=True)
class Scored:
    """Everything the report stage is given but the folder it writes to."""

    recipe: Recipe
    shards: Shards
    models: Models
    samples: tuple[StoredSamples, ...]
    flops: ModelFlops
    scores: Scores

    def report(self, folder: Path, progress: Progress | None = None) -> WrittenReport:
        """The report of this run in ``folder``."""
        return report(
            self.recipe,
            self.shards,
            self.models,
            self.samples,
            self.flops,
            self.scores,
            folder,
            progress or Silent(),
        )

    def inputs(self, folder: Path) -> Inputs:
        """What the sections of its report are made from, without what is measured for it."""
        return Inputs(
            recipe=self.recipe,
            shards=self.shards,
            models=self.models,
            samples=self.samples,
            flops=self.flops,
            scores=self.scores,
            folder=folder,
        )

    def renamed(self, new: Callable[[str], str]) -> Scored:
        """The same run with other names of the recipe, methods, metrics, labels and provenance."""
        methods = {new(name): method for name, method in self.recipe.sample.methods.items()}
        about = {
            **self.shards.about,
            "provenance": {new(k): new(v) for k, v in self.shards.about["provenance"].items()},
            "label_names": [new(f"label {k}") for k in range(len(self.shards.parts))],
        }
        rows = tuple(
            {**r, "method": new(r["method"]), "metric": new(r["metric"]), "conditions": {new("a"): new("b")}}
            for r in self.scores.rows
        )
        timings = tuple({**r, "method": new(r["method"])} for r in self.scores.timings)
        return evolve(
            self,
            recipe=evolve(self.recipe, name=new(self.recipe.name), sample=evolve(self.recipe.sample, methods=methods)),
            shards=evolve(self.shards, about=about),
            samples=tuple(evolve(s, draw=evolve(s.draw, method=new(s.draw.method))) for s in self.samples),
            scores=evolve(self.scores, rows=rows, timings=timings),
        )


def scored(recipe_text: str, folder: Path, *overrides: str) -> Scored:
    """Runs a recipe that trains nothing, up to its scores."""
    recipe = recipe_of(recipe_text, *overrides)
    run = RunResult(recipe=recipe, folder=folder, progress=Silent())
    shards = run.partition()
    makers = model_stages(recipe, folder, shards)
    run.train(makers, "sample")
    samples = sample(makers.models, recipe.sample, folder / "samples", Silent())
    flops = model_flops(makers.models, folder, Silent())
    scores = evaluate(samples, shards, recipe.evaluate, flops, folder, Silent())
    return Scored(recipe=recipe, shards=shards, models=makers.models, samples=samples, flops=flops, scores=scores)
