"""The pipeline: the one place that knows the order of the stages.

partition -> experts -> monolith -> routers -> sample -> evaluate -> report. Each stage makes only what is not
there yet, so running a recipe again goes on where it was, or changes nothing; another recipe of the same models is a
further question to them. An assembled run begins with experts: its
shards are with their owners.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import define, frozen

from mixvel_core.artifacts.artifact import discard_damaged, report_damage
from mixvel_core.artifacts.lock import locked
from mixvel_core.cost.flops import model_flops
from mixvel_core.data.conditions import LABELS
from mixvel_core.errors import UsageError
from mixvel_core.pipeline.checkpoints import PROVENANCE, CheckpointShards, open_checkpoints
from mixvel_core.pipeline.condition_checks import check_conditions
from mixvel_core.pipeline.data_identity import changed_data, identity_of
from mixvel_core.pipeline.discard import Discard, check_kept, discard_of
from mixvel_core.pipeline.evaluate import evaluate
from mixvel_core.pipeline.jobs import make
from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.partition import partition, partition_artifact, stored_shards
from mixvel_core.pipeline.preflight import check_expert_counts, preflight
from mixvel_core.pipeline.questions import questions, to_score
from mixvel_core.pipeline.run_folder import begin, check_folder
from mixvel_core.pipeline.sample import sample
from mixvel_core.pipeline.shards import Shards, write_remote
from mixvel_core.pipeline.splits import Split
from mixvel_core.protocols import CLASS, Progress, ProgressTask
from mixvel_core.recipe.model import Recipe
from mixvel_core.report.stage import report

STAGES = ("partition", "experts", "monolith", "routers", "sample", "evaluate", "report")


@frozen(kw_only=True)
class RunResult:
    """A run folder and the recipe it belongs to; the stages, upstream first."""

    recipe: Recipe
    folder: Path
    progress: Progress

    def partition(self, discard: Discard | None = None, only: int | None = None) -> Shards:
        """Data to shards, in a folder whose last question is the recipe from here on. Nothing is written, and nothing
        discarded, before data and recipe are known to fit together and expert ``only`` to be one of them."""
        artifact = partition_artifact(self.recipe, self.folder)
        stored = None if discard is not None and discard.holds(artifact.folder) else stored_shards(artifact)
        if stored is None and discard is None:
            report_damage([artifact.first_damaged()], self.progress)
        found: Shards | Split | CheckpointShards
        if stored is None and self.recipe.data is None:
            found = open_checkpoints(self.recipe, artifact.folder)
        else:
            found = stored or preflight(self.recipe, self.progress)
        if only is not None and not 0 <= only < len(found.parts):
            raise UsageError(f"--expert {only}: there are experts 0 to {len(found.parts) - 1}")
        check_expert_counts(self.recipe, len(found.parts))
        check_conditions(self.recipe, found.parts)
        if discard is not None:
            discard.carry_out()
        begin(self.recipe, self.folder, self.progress, anew=discard is not None)
        if isinstance(found, CheckpointShards):
            return write_remote(found.parts, artifact, PROVENANCE, found.codec)
        if isinstance(found, Shards):
            return found
        made = partition(found, artifact, self.progress, identity_of(self.recipe))
        # Made again from data that have changed, they are not those that models were trained on.
        check_kept(self.recipe, self.folder)
        return made

    def until(self, shards: Shards, stage: str, only: int | None = None) -> None:
        """Everything after the partition up to and with ``stage``; of the experts, ``only`` one if given."""
        if stage == "partition":
            return
        stages = model_stages(self.recipe, self.folder, shards)
        self.train(stages, stage, only)
        if stage in ("experts", "monolith", "routers"):
            return
        sample(stages.models, self.recipe.sample, self.folder / "samples", self.progress)
        if stage == "sample":
            return
        asked = questions(self.recipe, shards, self.folder, self.progress)
        now, models = asked.now, stages.models
        flops = model_flops(models, self.folder, self.progress)
        scores = evaluate(
            now.samples,
            shards,
            self.recipe.evaluate,
            flops,
            self.folder,
            self.progress,
            smoke=self.recipe.smoke,
            launcher=self.recipe.sample.launcher,
            threads=self.recipe.sample.threads,
            labelled=(self.recipe.condition or {}).get(CLASS) == LABELS,
            earlier=[one for question in asked.earlier if (one := to_score(question, flops.by_key))],
        )
        if stage == "evaluate":
            return
        report(self.recipe, shards, models, asked.samples, flops, scores, self.folder, self.progress, rows=asked.rows)

    def train(self, stages: ModelStages, stage: str, only: int | None = None) -> None:
        """Shards to experts, monolith and routers; all of them in one launch unless a stage asks for its own.

        Routers that learn from the experts come in a second launch, after the samples that they learn from; for their
        sake the stage ``routers`` makes the experts too. Experts that are adapters of the monolith come after it.
        """
        routers = [] if stage in ("experts", "monolith") else list(stages.routers.values())
        late = [one for one in routers if one.router_data is not None and not one.is_done()]
        models = []
        has_experts, adapts = stage not in ("monolith", "routers") or bool(late), stages.base is not None
        if has_experts and not adapts:
            models += stages.expert_jobs(only)
        if stages.monolith is not None and (stage not in ("experts", "routers") or (has_experts and adapts)):
            models += stages.monolith.training_jobs()
        models += [model for one in routers if one.router_data is None for model in one.training_jobs()]
        make(models, self.recipe.launcher, self.progress)
        if has_experts and adapts:
            make(stages.expert_jobs(only), self.recipe.launcher, self.progress)
        for one in late:
            if one.router_data is not None:
                one.router_data.make(self.progress)
        make([model for one in late for model in one.training_jobs()], self.recipe.launcher, self.progress)


def run(
    recipe: Recipe,
    folder: Path,
    *,
    progress: Progress,
    fresh: Sequence[str] | None = None,
    stage: str | None = None,
    expert: int | None = None,
    verify: bool = False,
) -> bool:
    """Runs a recipe in a folder, or goes on with it: what is there of its models and of what was asked stays.

    Args:
        recipe: what to do.
        folder: the run folder; made if absent.
        progress: shows where it is.
        fresh: throw away all results first, and the trained models that are named: experts, monolith, routers,
            routers.NAME or all. None: throw away nothing.
        stage: make this one and what it needs; all of them if None. Experts, monolith and routers need the
            partition only.
        expert: train only this expert; implies the stage `experts`.
        verify: read all bytes of what is there, not only of files whose size or time changed.

    Returns:
        Whether there was anything to do.

    Raises:
        UsageError: models would be lost that are not named, or the folder holds something that is no run, or
            ``expert`` is not trained by itself; nothing is changed.
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
        discard = None if fresh is None else discard_of(folder, fresh)
        check_folder(folder, all_goes=discard is not None and not discard.kept)
        check_kept(recipe, folder, discard)
        if verify and discard is None:
            discard_damaged(folder, progress)
        for line in () if discard is None else discard.lines():
            progress.line(line)
        if discard is None:
            for line in changed_data(recipe, partition_artifact(recipe, folder), folder):
                progress.line(line)
        watched = _Watched(progress=progress)
        this = RunResult(recipe=recipe, folder=folder, progress=watched)
        shards = this.partition(discard, expert)
        this.until(shards, "experts" if expert is not None else stage or STAGES[-1], expert)
        return watched.is_used


@define(kw_only=True)
class _Watched:
    """Passes progress on, and notices whether there was any: whatever makes something shows it."""

    progress: Progress
    is_used: bool = False

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[ProgressTask]:
        self.is_used = True
        return self.progress.task(name, total, unit)

    def line(self, text: str) -> None:
        self.is_used = True
        self.progress.line(text)
