"""Conditions of the class alone."""

from __future__ import annotations

import torch
from torch import Tensor

from mixvel_core.protocols import CLASS, Condition


def of_classes(classes: Tensor) -> Condition:
    """One row for each of ``classes``, (B,) int64."""
    return Condition(values={CLASS: classes.to(torch.int64)})
