"""Models that are not made yet: what has to be trained for each, and how it is put together afterwards.

Experts, monolith and routers do not wait for each other: all their networks are jobs of one launch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mixvel_core.artifacts.artifact import report_damage
from mixvel_core.plugin.definition import LauncherUse
from mixvel_core.protocols import Job, Progress

if TYPE_CHECKING:
    from torch import Tensor


@frozen(kw_only=True)
class TrainingJob:
    """One model. ``jobs``: its networks, by part, none for a closed form. ``finish``: makes the model's folder from the
    trained state of each part. ``damaged``: the file for whose sake it is made again, if it was made before."""

    name: str
    jobs: Mapping[str, Job]
    finish: Callable[[Mapping[str, Mapping[str, Tensor]]], None]
    damaged: Path | None = None


def make(models: Sequence[TrainingJob], launcher: LauncherUse, progress: Progress) -> None:
    """Trains what has to be trained, then finishes every model.

    Raises whatever the launcher raises; models whose networks were trained before are finished by the next run.
    """
    if not models:
        return
    report_damage((model.damaged for model in models), progress)
    jobs = [job for model in models for job in model.jobs.values()]
    if jobs:
        launcher.build().run(jobs, progress)
    closed = [model.name for model in models if not model.jobs]
    if closed:
        progress.line(f"in closed form, nothing to train: {_listed(closed)}")
    for model in models:
        model.finish(_trained(model))


def _trained(model: TrainingJob) -> Mapping[str, Mapping[str, Tensor]]:
    from mixvel_core.training.checkpoint import read_trained

    return {part: read_trained(job.folder) for part, job in model.jobs.items()}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
