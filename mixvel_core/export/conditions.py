"""What the samples of a call of a pipeline are asked to be: what is given, or what those of the exported run were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from attrs import evolve

from mixvel_core.errors import UsageError
from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.sample_conditions import FROM_DATA
from mixvel_core.protocols import Condition
from mixvel_core.sampling.sampler import Sampler

ClassLabels: TypeAlias = int | str | Sequence[int | str] | torch.Tensor
"""Classes by number or name, one for each sample or one for all."""
Conditions: TypeAlias = Mapping[str, Any] | Literal["null"]
"""Classes and arrays by the names of the run's conditions, a row for each sample or one for all; or none of them."""


def condition_for(
    run: Run,
    sampler: Sampler,
    count: int,
    *,
    seed: int,
    class_labels: ClassLabels | None,
    condition: Conditions | None,
) -> Condition | None:
    """The condition of ``count`` samples, as many rows; None for the null one, and for models that read none.

    Args:
        run: the exported one.
        sampler: of it.
        count: of samples.
        seed: of the samples.
        class_labels: their classes; None: by ``condition``.
        condition: what they are asked to be; None: as ``mixvel sample`` asks.

    Raises:
        UsageError: both are given, the models read no condition, there is no such class or name, or there is another
            number of rows; or nothing is given, and the run's samples had the conditions of its items.
    """
    if class_labels is not None and condition is not None:
        raise UsageError("class_labels and condition both say what samples are asked to be; give one of them")
    if class_labels is not None:
        given = class_labels.tolist() if isinstance(class_labels, torch.Tensor) else class_labels
        return _rows(run.condition(given), count)
    if condition == "null":
        return None
    if condition is not None:
        if not isinstance(condition, Mapping):
            raise UsageError(f"condition {condition!r:.40}: give values by name, or 'null'")
        return _rows(run.condition(condition), count)
    if not sampler.reads:
        return None
    spec = run.sample_spec(run.recipe.sample, router=None, monolith=not run.models.routers)
    if spec.condition == FROM_DATA:
        raise UsageError(
            "the run's samples had the conditions of items at random, which are not exported; give condition={...}, or "
            "condition='null'"
        )
    return run.models.condition(evolve(spec, seed=seed), count)


def _rows(found: Condition, count: int) -> Condition:
    if len(found) not in (1, count):
        raise UsageError(f"a condition of {len(found)} rows for {count} samples; give one for each, or one for all")
    return found if len(found) == count else found.repeated(count)
