"""Reference trajectories: the full mixture's ODE solved to tight tolerances. The only importer of torchdiffeq."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Expert, NoiseSchedule, Router
from mixvel_core.sampling.dispatch import evaluate


def reference(
    x: Tensor,
    *,
    schedule: NoiseSchedule,
    experts: Sequence[Expert],
    router: Router,
    delta: float,
    rtol: float = 1e-8,
    atol: float = 1e-8,
) -> Tensor:
    """Where the mixture's own flow (D1, V1) takes x from t = 1 to ``delta``, by adaptive Dormand-Prince 5(4).

    Args:
        x: points at t = 1, (B, *data); float64 for oracles. The error norm is the root mean square over the batch.
        schedule: of the ODE.
        experts: K of them, all evaluated at every stage.
        router: stateless; an adaptive solver goes back in time when it rejects a step, which a router that
            integrates its weights cannot follow.
        delta: the end, in (0, 1).
        rtol: relative tolerance.
        atol: absolute tolerance.

    Returns:
        The points at ``delta``, (B, *data).
    """
    from torchdiffeq import odeint

    everyone = torch.ones(len(x), len(experts), dtype=torch.bool, device=x.device)
    state = router.start(x, x.new_ones(len(x)))

    def field(t: Tensor, x: Tensor) -> Tensor:
        a, _ = router.weights(x, t.to(x).expand(len(x)), state)
        M = weighted_sum(a, evaluate(experts, x, float(t), everyone))
        return velocity(M, x, at_time(schedule, float(t)))

    times = torch.tensor([1.0, delta], dtype=torch.float64, device=x.device)
    with torch.no_grad():
        path: Tensor = odeint(field, x, times, rtol=rtol, atol=atol, method="dopri5")
    return path[-1]
