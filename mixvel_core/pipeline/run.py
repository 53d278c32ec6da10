"""The pipeline: the one place that knows the order of the stages.

partition -> experts -> monolith -> routers -> sample -> evaluate -> report. Each stage makes only what is not
there yet, so running a recipe again goes on where it was, or changes nothing. An assembled run begins with experts: its
shards are with their owners.
"""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from mixvel_core.artifacts.artifact import discard_damaged, report_damage
from mixvel_core.artifacts.lock import locked
from mixvel_core.cost.flops import model_flops
from mixvel_core.errors import UsageError
from mixvel_core.pipeline.checkpoints import PROVENANCE, CheckpointShards, open_checkpoints
from mixvel_core.pipeline.evaluate import evaluate
from mixvel_core.pipeline.jobs import make
from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.partition import Split, partition, partition_artifact, stored_shards
from mixvel_core.pipeline.preflight import check_expert_counts, preflight
from mixvel_core.pipeline.run_folder import begin, check_folder
from mixvel_core.pipeline.sample import sample
from mixvel_core.pipeline.shards import Shards, write_remote
from mixvel_core.protocols import Progress
from mixvel_core.recipe.model import Recipe
from mixvel_core.report.stage import report

STAGES = ("partition", "experts", "monolith", "routers", "sample", "evaluate", "report")


@frozen(kw_only=True)
class RunResult:
    """A run folder and the recipe it belongs to; the stages, upstream first."""

    recipe: Recipe
    folder: Path
    progress: Progress

    def partition(self, fresh: bool = False, only: int | None = None) -> Shards:
        """Data to shards, in a folder that is the recipe's from here on. Nothing is written, and nothing thrown away if
        ``fresh``, before data and recipe are known to fit together and expert ``only`` to be one of them."""
        artifact = partition_artifact(self.recipe, self.folder)
        stored = None if fresh else stored_shards(artifact)
        if stored is None and not fresh:
            report_damage([artifact.first_damaged()], self.progress)
        found: Shards | Split | CheckpointShards
        if stored is None and self.recipe.data is None:
            found = open_checkpoints(self.recipe, artifact.folder)
        else:
            found = stored or preflight(self.recipe, self.progress)
        if only is not None and not 0 <= only < len(found.parts):
            raise UsageError(f"--expert {only}: there are experts 0 to {len(found.parts) - 1}")
        check_expert_counts(self.recipe, len(found.parts))
        begin(self.recipe, self.folder, fresh)
        if isinstance(found, CheckpointShards):
            return write_remote(found.parts, artifact, PROVENANCE)
        return found if isinstance(found, Shards) else partition(found, artifact, self.progress)

    def until(self, shards: Shards, stage: str, only: int | None = None) -> None:
        """Everything after the partition up to and with ``stage``; of the experts, ``only`` one if given."""
        if stage == "partition":
            return
        stages = model_stages(self.recipe, self.folder, shards)
        self.train(stages, stage, only)
        if stage in ("experts", "monolith", "routers"):
            return
        samples = sample(stages.models, self.recipe.sample, self.folder / "samples", self.progress)
        if stage == "sample":
            return
        smoke, launcher = self.recipe.smoke, self.recipe.sample.launcher
        options = self.recipe.evaluate
        flops = model_flops(stages.models, self.folder, self.progress)
        scores = evaluate(samples, shards, options, flops, self.folder, self.progress, smoke=smoke, launcher=launcher)
        if stage == "evaluate":
            return
        report(self.recipe, shards, stages.models, samples, flops, scores, self.folder, self.progress)

    def train(self, stages: ModelStages, stage: str, only: int | None = None) -> None:
        """Shards to experts, monolith and routers; all of them in one launch unless a stage asks for its own.

        Routers that learn from the experts come in a second launch, after the samples that they learn from; for their
        sake the stage ``routers`` makes the experts too.
        """
        routers = [] if stage in ("experts", "monolith") else list(stages.routers.values())
        late = [one for one in routers if one.router_data is not None and not one.is_done()]
        models = []
        if stage not in ("monolith", "routers") or late:
            models += stages.expert_jobs(only)
        if stage not in ("experts", "routers") and stages.monolith is not None:
            models += stages.monolith.training_jobs()
        models += [model for one in routers if one.router_data is None for model in one.training_jobs()]
        make(models, self.recipe.launcher, self.progress)
        for one in late:
            if one.router_data is not None:
                one.router_data.make(self.progress)
        make([model for one in late for model in one.training_jobs()], self.recipe.launcher, self.progress)


def run(
    recipe: Recipe,
    folder: Path,
    *,
    progress: Progress,
    fresh: bool = False,
    stage: str | None = None,
    expert: int | None = None,
    verify: bool = False,
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
        verify: read all bytes of what is there, not only of files whose size or time changed.

    Raises:
        UsageError: the folder belongs to another recipe, or holds something that is no run, or ``expert`` is not
            trained by itself; nothing is changed.
        RecipeError, DataError: data are missing, or plugins cannot work with them; nothing is written.
        MixvelError: another process is at work in the folder.
    """
    if stage is not None and stage not in STAGES:
        raise UsageError(f"--stage {stage}: the stages are {', '.join(STAGES)}")
    if expert is not None and stage not in (None, "experts"):
        raise UsageError("--expert goes with --stage experts, or alone")
    if expert is not None and recipe.expert.is_shared:
        raise UsageError(f"--expert {expert}: expert.shared is true, one network is all experts; use --stage experts")
    with locked(folder):
        check_folder(recipe, folder, fresh)
        if verify and not fresh:
            discard_damaged(folder, progress)
        this = RunResult(recipe=recipe, folder=folder, progress=progress)
        shards = this.partition(fresh, expert)
        this.until(shards, "experts" if expert is not None else stage or STAGES[-1], expert)
