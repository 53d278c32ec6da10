"""Exact conditional mixtures: components with classes in every shard, and their guided reference flows."""

from __future__ import annotations

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import CLASS, Condition, Guidance, NoiseSchedule
from mixvel_core.sampling.ode import flow
from mixvel_oracles.labelled import LabelledExpert, LabelledRouter, labelled_expert
from mixvel_oracles.law import random_law, split

CLASSES = 2


@frozen(kw_only=True, eq=False)
class LabelledProblem:
    """K experts of two components each, the classes 0 and 1, and the law of all data."""

    schedule: NoiseSchedule
    experts: tuple[LabelledExpert, ...]
    fractions: tuple[float, ...]
    whole: LabelledExpert

    @property
    def router(self) -> LabelledRouter:
        return LabelledRouter(experts=self.experts, fractions=self.fractions)

    def guided_flow(self, x: Tensor, condition: Condition, guidance: Guidance, times: tuple[float, float]) -> Tensor:
        """Where the guided flow of the exact law takes x from the first time to the second."""
        under, shared = self.whole.given(condition), self.router.given(condition)

        def denoise(x: Tensor, t: float) -> Tensor:
            at_t = x.new_full((len(x),), t)
            if guidance.route == "own":
                other = self.whole.denoise(x, at_t)
            else:
                a, _ = shared.weights(x, at_t, None)
                other = torch.einsum("bk,kbd->bd", a, torch.stack([one.denoise(x, at_t) for one in self.experts]))
            return guidance.combine(under.denoise(x, at_t), other, t)

        return flow(denoise, x, schedule=self.schedule, times=times, rtol=1e-9, atol=1e-9)[-1]


def labelled(schedule: NoiseSchedule, experts: int = 3, dimension: int = 4, seed: int = 0) -> LabelledProblem:
    law = random_law(components=CLASSES * experts, dimension=dimension, seed=seed)
    parts = split(law, [range(CLASSES * k, CLASSES * (k + 1)) for k in range(experts)])
    classes = np.tile(np.arange(CLASSES), experts)
    return LabelledProblem(
        schedule=schedule,
        experts=tuple(labelled_expert(part, np.arange(CLASSES), schedule) for _, part in parts),
        fractions=tuple(pi for pi, _ in parts),
        whole=labelled_expert(law, classes, schedule),
    )


def classes(count: int) -> Condition:
    """Classes 0 and 1 in turn."""
    return Condition(values={CLASS: torch.arange(count) % CLASSES})
