"""The pipeline: the one place that knows the order of the stages.

partition -> experts -> monolith -> routers -> sample -> evaluate -> report. Each stage makes only what is not
there yet, so running a recipe again goes on where it was, or changes nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.errors import ArtifactError, UsageError
from mixvel_core.files import write_text
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import diff, dump, to_plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.yaml_text import parse
from mixvel_core.stages.evaluate import evaluate
from mixvel_core.stages.lock import locked
from mixvel_core.stages.models import ModelStages, model_stages
from mixvel_core.stages.partition import partition
from mixvel_core.stages.pending import make
from mixvel_core.stages.report import report
from mixvel_core.stages.sample import sample
from mixvel_core.stages.shards import Shards

STAGES = ("partition", "experts", "monolith", "routers", "sample", "evaluate", "report")


@frozen(kw_only=True)
class Run:
    """A run folder and the recipe it belongs to; the stages, upstream first."""

    recipe: Recipe
    folder: Path
    progress: Progress

    def until(self, stage: str, only: int | None = None) -> None:
        """Everything up to and with ``stage``; of the experts, ``only`` one if given."""
        shards = self.partition()
        if stage == "partition":
            return
        makers = model_stages(self.recipe, self.folder, shards)
        self.train(makers, stage, only)
        if stage in ("experts", "monolith", "routers"):
            return
        samples = sample(makers.models, self.recipe.sample, self.folder / "samples", self.progress)
        if stage == "sample":
            return
        scores = evaluate(samples, shards, self.recipe.evaluate, self.folder, self.progress)
        if stage == "evaluate":
            return
        report(self.recipe, shards, samples, scores, self.folder, self.progress)

    def partition(self) -> Shards:
        """Data to shards."""
        recipe, folder = self.recipe, self.folder / "shards"
        return partition(recipe.data, recipe.partition, recipe.seed, folder, self.progress)

    def train(self, makers: ModelStages, stage: str, only: int | None = None) -> None:
        """Shards to experts, monolith and routers; all of them in one launch unless a stage asks for its own."""
        if only is not None and not 0 <= only < len(makers.experts):
            raise UsageError(f"--expert {only}: there are experts 0 to {len(makers.experts) - 1}")
        pending = []
        if stage not in ("monolith", "routers"):
            wanted = makers.experts if only is None else [makers.experts[only]]
            pending += [model for one in wanted for model in one.pending()]
        if stage not in ("experts", "routers") and makers.monolith is not None:
            pending += makers.monolith.pending()
        if stage not in ("experts", "monolith"):
            pending += [model for one in makers.routers.values() for model in one.pending()]
        make(pending, self.recipe.launcher, self.progress)


def run(
    recipe: Recipe,
    folder: Path,
    *,
    progress: Progress,
    fresh: bool = False,
    stage: str | None = None,
    expert: int | None = None,
) -> None:
    """Runs a recipe in a folder, or goes on with it.

    Args:
        recipe: what to do.
        folder: the run folder; made if absent.
        progress: shows where it is.
        fresh: throw away what is there.
        stage: make this one and what it needs; all of them if None. Experts, monolith and routers need the
            partition only.
        expert: train only this expert; implies the stage `experts`.

    Raises:
        ArtifactError: the folder belongs to another recipe, or holds something that is no run.
    """
    if stage is not None and stage not in STAGES:
        raise UsageError(f"--stage {stage}: the stages are {', '.join(STAGES)}")
    if expert is not None and stage not in (None, "experts"):
        raise UsageError("--expert goes with --stage experts, or alone")
    with locked(folder):
        begin(recipe, folder, fresh)
        last = "experts" if expert is not None else stage or STAGES[-1]
        Run(recipe=recipe, folder=folder, progress=progress).until(last, expert)


def begin(recipe: Recipe, folder: Path, fresh: bool) -> None:
    """Writes the resolved recipe into the folder, unless another one is there."""
    path = folder / "recipe.yaml"
    others = [p.name for p in folder.iterdir() if p.name != ".lock"]
    if others and not path.exists():
        raise ArtifactError(f"{folder}: holds files that are no run ({others[0]}, ...); choose another --out")
    if path.exists():
        changed = changes(recipe, folder)
        if fresh:
            for name in others:
                _remove(folder / name)
        elif changed:
            lines = "; ".join(changed[:8]) + (f"; and {len(changed) - 8} more" if len(changed) > 8 else "")
            raise ArtifactError(f"{folder}: made by another recipe ({lines}); --fresh starts over, --out keeps both")
    write_text(path, dump(recipe))


def changes(recipe: Recipe, folder: Path) -> list[str]:
    """What differs between the recipe of a run folder and this one, apart from what changes no result."""
    old = parse((folder / "recipe.yaml").read_text(encoding="utf-8"), str(folder / "recipe.yaml")).value
    if not isinstance(old, dict):
        raise ArtifactError(f"{folder / 'recipe.yaml'}: damaged; choose another --out, or start over with --fresh")
    return diff(_results(old), _results(to_plain(recipe)))


def _results(plain: dict[str, Any]) -> dict[str, Any]:
    """A plain recipe without the parts that decide where and how fast it runs, but not what comes out."""
    kept = {name: value for name, value in plain.items() if name not in ("launcher", "report")}
    if isinstance(kept.get("sample"), dict):
        kept["sample"] = {name: value for name, value in kept["sample"].items() if name != "batch"}
    return kept


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
