"""The denoiser that guided samplers follow in the limit of small steps: all experts, under a condition and without."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import Condition, Expert, Guidance, NoiseSchedule, Router
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.ode import Denoise, OnProgress, full_mixture
from mixvel_core.sampling.routed_field import SingleExpertRouter


def guided_mixture(
    *,
    schedule: NoiseSchedule,
    experts: Sequence[Expert],
    given: Router,
    router: Router,
    condition: Condition,
    guidance: Guidance | None = None,
    weaker: Expert | None = None,
) -> Denoise:
    """M of M_c = sum_k p(k | x, c) m_k(x, t, c) and the reference M_r, as ``guidance`` puts them together (D1 of both).

    Args:
        schedule: of the ODE.
        experts: K of them.
        given: p(k | x, c), (B, K), for the rows of the condition, without a state.
        router: p(k | x), without a state.
        condition: c, B rows.
        guidance: None: M is M_c.
        weaker: the one expert of a guidance by a weaker model.

    Returns:
        M(x, t) for points (B, *data), those of the condition.
    """
    of_condition = full_mixture(schedule=schedule, experts=experts, router=given, condition=condition)
    if guidance is None:
        return of_condition
    if guidance.reference == "weaker" and weaker is not None:
        one = SingleExpertRouter()
        reference = full_mixture(schedule=schedule, experts=[weaker], router=one, condition=condition)
    else:
        route = given if guidance.route == "shared" else router
        reference = full_mixture(schedule=schedule, experts=experts, router=route)
    used = guidance

    def denoise(x: Tensor, t: float) -> Tensor:
        M_c = of_condition(x, t)
        return M_c if used.at(t) == 1.0 else used.combine(M_c, reference(x, t), t)

    return denoise


def ddim_flow(
    denoise: Denoise,
    x: Tensor,
    *,
    schedule: NoiseSchedule,
    delta: float,
    steps: int = 1000,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """Where ``steps`` DDIM steps of any denoiser on the uniform grid take x, (B, *data), from t = 1 to ``delta``."""
    with torch.no_grad():
        for step, (t, s) in enumerate(pairwise(time_grid("uniform", schedule, steps, delta)), start=1):
            x = ddim_step(denoise(x, t), x, at_time(schedule, t), at_time(schedule, s))
            if on_progress is not None:
                on_progress(step / steps)
    return x
