"""The weights of routers that go by the experts' answers, once these are there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mixvel_core.protocols import Ask, Condition, Evaluations, Expert, ObservingRouter, Router
from mixvel_core.sampling.dispatch import evaluate


def observed(
    router: Router, x: Tensor, t: Tensor, answers: Evaluations, ask: Ask, state: Any, *, all_answered: bool
) -> tuple[Tensor | None, Any]:
    """The weights once the answers at (x, t) are known, and the state; no weights where nothing changes them.

    Args:
        router: any; one that does not observe keeps its state.
        x: points, (B, *data).
        t: their times, (B,).
        answers: of the experts that were evaluated.
        ask: for further evaluations.
        state: the router's, after ``weights`` at (x, t).
        all_answered: whether every expert was evaluated for every point: then the weights are asked for once more.
    """
    if not isinstance(router, ObservingRouter):
        return None, state
    state = router.observe(x, t, answers, ask, state)
    return router.weights(x, t, state) if all_answered else (None, state)


def evaluate_all(experts: Sequence[Expert], x: Tensor, t: float, condition: Condition | None = None) -> Evaluations:
    """The answers of all K experts at the points x, (B, *data), and time t: K B of them, grouped by expert.

    ``condition``: of the points, B rows, for experts that read one.
    """
    return evaluate(experts, x, t, torch.ones(len(x), len(experts), dtype=torch.bool), condition=condition)


def all_answers(
    router: Router,
    experts: Sequence[Expert],
    x: Tensor,
    t: float,
    state: Any,
    answers: Evaluations | None = None,
    condition: Condition | None = None,
) -> tuple[Tensor, Evaluations, Any]:
    """Weights (B, K), the answers of all experts, and the router's state, at the points x, (B, *data), and time t.

    ``answers``: of all experts at these points, for several routers; evaluated here if None. ``condition``: of the
    points, B rows, for experts that read one; the router is that of it.
    """
    at_t = x.new_full((len(x),), t)
    a, state = router.weights(x, at_t, state)
    if answers is None:
        answers = evaluate_all(experts, x, t, condition)
    ask = partial(_ask, experts, t, condition)
    again, state = observed(router, x, at_t, answers, ask, state, all_answered=True)
    return a if again is None else again, answers, state


def _ask(experts: Sequence[Expert], t: float, condition: Condition | None, x: Tensor, mask: Tensor) -> Evaluations:
    return evaluate(experts, x, t, mask, condition=condition)
