"""Reference trajectories: where the full mixture's own flow ends. The only importer of torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.field.conversions import at_time, ddim_step, velocity
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Condition, Expert, NoiseSchedule, Router
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.observation import all_answers
from mixvel_core.sampling.snr_matched import all_snr_matched

MOST_STEPS = 10_000
"""Of dopri5. Smooth fields take some hundreds at the tightest tolerances; noise would be followed for ever."""

Denoise = Callable[[Tensor, float], Tensor]
"""m(x, t) for points (B, *data) at one time."""
OnProgress = Callable[[float], None]
"""Called with the part of the way from t = 1 to delta that is done, 0 to 1."""


def reference(
    x: Tensor,
    *,
    schedule: NoiseSchedule,
    experts: Sequence[Expert],
    router: Router,
    delta: float,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """Where the mixture's own flow (D1, V1) takes x from t = 1 to ``delta``, by adaptive Dormand-Prince 5(4).

    Args:
        x: points at t = 1, (B, *data); float64 for oracles. Steps are as short as the point with the largest error
            needs, so companions in a batch change a point, by less than the tolerances.
        schedule: of the ODE.
        experts: K of them, of this schedule or their own, all evaluated at every stage.
        router: stateless; an adaptive solver goes back in time when it rejects a step, which a router that
            integrates its weights cannot follow.
        delta: the end, in (0, 1).
        rtol: relative tolerance. Networks in float32 carry noise of about 1e-6: give no less than 1e-5 for them.
        atol: absolute tolerance.
        on_progress: called with the part of the way that is done, 0 to 1.

    Returns:
        The points at ``delta``, (B, *data).

    Raises:
        SamplingError: the router keeps a state, or the field is too rough for the tolerances.
    """
    if router.start(x, x.new_ones(len(x))) is not None:
        raise SamplingError(
            "dopri5 goes back in time, which a router with a state cannot follow; "
            "take reference ddim-1000 or another router"
        )
    denoise = full_mixture(schedule=schedule, experts=experts, router=router)
    return flow(denoise, x, schedule=schedule, times=(1.0, delta), rtol=rtol, atol=atol, on_progress=on_progress)[-1]


def full_mixture(
    *, schedule: NoiseSchedule, experts: Sequence[Expert], router: Router, condition: Condition | None = None
) -> Denoise:
    """The denoiser sum_k a_k m_k (D1) of all K experts and a router without a state; gradients pass.

    ``condition``: of the points, for experts that read one; the router is that of the condition already.
    """
    matched = all_snr_matched(experts, schedule)

    def denoise(x: Tensor, t: float) -> Tensor:
        a, _ = router.weights(x, x.new_full((len(x),), t), None)
        return weighted_sum(a.to(x.dtype), evaluate(matched, x, t, _all_selected(x, experts), 1, condition))

    return denoise


def flow(
    denoise: Denoise,
    x: Tensor,
    *,
    schedule: NoiseSchedule,
    times: Sequence[float],
    rtol: float = 1e-8,
    atol: float = 1e-8,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """The probability flow (V1) of any denoiser, by adaptive Dormand-Prince 5(4).

    Args:
        denoise: m(x, t), (B, *data), at one time for all points.
        x: points at the first time, (B, *data).
        schedule: of the ODE.
        times: strictly falling, all positive; the solver stops at each.
        rtol, atol, on_progress: as of ``reference``.

    Returns:
        The points at every time, (len(times), B, *data); the first is x.

    Raises:
        SamplingError: the field is too rough for the tolerances.
    """

    def field(t: float, x: Tensor) -> Tensor:
        return velocity(denoise(x, t), x, at_time(schedule, t))

    return solve(field, x, times, rtol=rtol, atol=atol, on_progress=on_progress)


def solve(
    field: Callable[[float, Tensor], Tensor],
    x: Tensor,
    times: Sequence[float],
    *,
    rtol: float,
    atol: float,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """dx/dt = field(t, x) from x, (B, ...), at the first time, by adaptive Dormand-Prince 5(4).

    Args:
        field: without gradients, unless it takes them itself.
        times: strictly falling or strictly rising; the solver stops at each.
        x, rtol, atol, on_progress: as of ``reference``.

    Returns:
        x at every time, (len(times), B, ...).

    Raises:
        SamplingError: the field is too rough for the tolerances.
    """
    from torchdiffeq import odeint

    first, last = times[0], times[-1]

    def watched(t: Tensor, x: Tensor) -> Tensor:
        if on_progress is not None:
            on_progress((float(t) - first) / (last - first))
        return field(float(t), x)

    stops = torch.tensor(times, dtype=torch.float64, device=x.device)
    # Without step_t the last step goes beyond the end, where there may be no schedule, and comes back by
    # interpolation; the stops on the way are not interpolated either.
    options = {"norm": _largest_of_points, "step_t": stops[1:], "max_num_steps": MOST_STEPS}
    try:
        with torch.no_grad():
            path: Tensor = odeint(watched, x, stops, rtol=rtol, atol=atol, method="dopri5", options=options)
    except AssertionError as error:
        # How torchdiffeq reports that a step became too short to be one, or a value not finite.
        raise SamplingError(
            f"dopri5 does not reach tolerance {max(rtol, atol):g} here ({error}); "
            "ask for a larger one or take reference ddim-1000"
        ) from None
    return path


def ddim_reference(
    x: Tensor,
    *,
    schedule: NoiseSchedule,
    experts: Sequence[Expert],
    router: Router,
    delta: float,
    steps: int = 1000,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """Where ``steps`` DDIM steps of the full mixture on the uniform grid take x: the reference of the paper's E.3.

    It has an error of its own, of order 1/steps, below which nothing can be seen.

    Args:
        x: points at t = 1, (B, *data); each goes its own way.
        schedule, experts, on_progress: as of ``reference``.
        router: any, also one that integrates its weights.
        delta: the end, in [0, 1).
        steps: how many.

    Returns:
        The points at ``delta``, (B, *data).
    """
    matched = all_snr_matched(experts, schedule)
    times = time_grid("uniform", schedule, steps, delta)
    state = router.start(x, x.new_ones(len(x)))
    with torch.no_grad():
        for step, (t, s) in enumerate(pairwise(times), start=1):
            a, answers, state = all_answers(router, matched, x, t, state)
            M = weighted_sum(a, answers)
            x = ddim_step(M, x, at_time(schedule, t), at_time(schedule, s))
            if on_progress is not None:
                on_progress(step / steps)
    return x


def _all_selected(x: Tensor, experts: Sequence[Expert]) -> Tensor:
    return torch.ones(len(x), len(experts), dtype=torch.bool)


def _largest_of_points(error: Tensor) -> Tensor:
    """The largest RMS of a point's coordinates: a mean over the batch would let a single point go astray."""
    return error.flatten(1).square().mean(1).sqrt().max() if error.ndim > 1 else error.abs().max()
