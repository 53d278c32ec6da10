"""The sampler: from noise at t = 1 down a time grid to t = delta, one integrator step after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.protocols import Expert, Integrator, NoiseSchedule, Router, Selector
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.field import RoutedField, start_field
from mixvel_core.sampling.grid import Grid, time_grid
from mixvel_core.sampling.weights import AS_THEY_ARE, WeightTransform


@frozen(kw_only=True, eq=False)
class Samples:
    """``x``: (count, *data). ``evaluations``: expert calls of each sample, (count,). ``times``: of the calls of the
    field, (calls,). ``usage``: the share of samples that evaluated each expert at each call, (calls, K)."""

    x: Tensor
    evaluations: Tensor
    times: Tensor
    usage: Tensor


@frozen(kw_only=True)
class Sampler:
    """Everything that makes a trajectory: ``steps`` N on ``grid`` from t = 1 to ``delta``.

    ``experts``: K of them, in any sequence, each of this schedule or its own; one that loads on demand is only loaded
    when it is selected. ``weights``: what is done to the router's weights. ``autocast``: let networks compute in
    bfloat16.
    """

    schedule: NoiseSchedule
    experts: Sequence[Expert]
    router: Router
    selector: Selector
    integrator: Integrator
    steps: int
    grid: Grid = "uniform"
    delta: float = 0.01
    weights: WeightTransform = AS_THEY_ARE
    autocast: bool = False

    def sample(
        self,
        *,
        count: int,
        shape: tuple[int, ...],
        seed: int = 0,
        batch: int = 256,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        on_step: Callable[[int], None] | None = None,
    ) -> Samples:
        """Draws ``count`` samples of shape ``*data``.

        Sample i is a function of (seed, i): neither ``count`` nor ``batch`` changes it beyond rounding.
        ``on_step`` is told how many sample-steps are behind, of count * steps.
        """
        if count < 1 or batch < 1:
            raise UsageError(f"count and batch must be at least 1, not {count} and {batch}")
        parts = []
        for first in range(0, count, batch):
            index = torch.arange(first, min(first + batch, count), device=device)
            draws = SampleDraws(seed=seed, index=index)
            x = draws.noise(shape, dtype)

            def tell(step: int, first: int = first, size: int = len(index)) -> None:
                if on_step is not None:
                    on_step(first * self.steps + step * size)

            parts.append(self.trajectory(x, draws, tell))
        sizes = torch.tensor([len(x) for x, _ in parts], dtype=torch.float32, device=device)
        usage = torch.stack([torch.stack(field.usage) for _, field in parts])
        return Samples(
            x=torch.cat([x for x, _ in parts]),
            evaluations=torch.cat([field.evaluations for _, field in parts]),
            times=torch.tensor(parts[0][1].times, dtype=torch.float64),
            usage=torch.einsum("p,pck->ck", sizes / sizes.sum(), usage),
        )

    @torch.inference_mode()
    def trajectory(
        self, x: Tensor, draws: SampleDraws, on_step: Callable[[int], None] | None = None
    ) -> tuple[Tensor, RoutedField]:
        """The ends of trajectories that start at x, (B, *data), at the first time, and the field they went through."""
        times = time_grid(self.grid, self.schedule, self.steps, self.delta)
        field = start_field(
            schedule=self.schedule,
            experts=self.experts,
            router=self.router,
            selector=self.selector,
            x=x,
            t=times[0],
            draws=draws,
            weights=self.weights,
            autocast=self.autocast,
        )
        history: Any = None
        for step, (t, s) in enumerate(pairwise(times), start=1):
            x, history = self.integrator.step(field, x, t, s, history)
            if on_step is not None:
                on_step(step)
        return x, field
