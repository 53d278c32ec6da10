"""The sampler: from noise at t = 1 down a time grid to t = delta, one integrator step after the other, or up it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.field.conversions import at_time
from mixvel_core.protocols import (
    Condition,
    Expert,
    Guidance,
    Integrator,
    NoiseSchedule,
    Router,
    Selector,
)
from mixvel_core.recipe.grids import Grid
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.guided_field import GuidedField, SampledField
from mixvel_core.sampling.inputs import (
    check_follows_ode,
    check_models,
    check_points,
    condition_of,
    names_read,
)
from mixvel_core.sampling.routed_field import RoutedField, SingleExpertRouter, start_field
from mixvel_core.sampling.samples import Samples, cuts, ended, joined
from mixvel_core.sampling.weights import AS_THEY_ARE, WeightTransform


@frozen(kw_only=True)
class Sampler:
    """Everything that makes a trajectory: ``steps`` N on ``grid`` from t = 1 to ``delta``.

    ``experts``: K of them, in any sequence, each of this schedule or its own; one that loads on demand is only loaded
    when it is selected. ``weights``: what is done to the router's weights. ``autocast``: let networks compute in
    bfloat16. ``shape`` of one sample and ``device``: what ``sample`` takes where it is given none. ``guidance``: what
    strengthens a condition; None: nothing. ``weaker``: the one expert of a guidance by a weaker model.
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
    shape: tuple[int, ...] | None = None
    device: torch.device | str = "cpu"
    guidance: Guidance | None = None
    weaker: Expert | None = None

    def __attrs_post_init__(self) -> None:
        check_models(self.experts, self.router)

    @property
    def reads(self) -> frozenset[str]:
        """The names of the conditions that experts or router read; empty where none do."""
        return names_read(self.experts, self.router)

    def sample(
        self,
        count: int,
        *,
        condition: Condition | None = None,
        shape: tuple[int, ...] | None = None,
        seed: int = 0,
        batch: int = 256,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Samples:
        """Samples 0 to ``count - 1``. Sample i is a function of (seed, i): count and batch change rounding only.

        Args:
            count: how many, at least 1.
            condition: of every sample, ``count`` rows, or of all of them, one row; None: the null condition.
            shape: ``*data`` of one sample; the sampler's own if None.
            seed: of noise and selections.
            batch: samples moved together, at least 1.
            dtype: of the samples; float64 for oracles.
            device: where they are computed; the sampler's own if None.
            on_step: called with the number of sample-steps done, of count * steps.

        Raises:
            UsageError: count or batch is below 1, no shape is given, or the condition is none that the experts read.
            SamplingError: an expert, the router or the selector fails.
        """
        if count < 1 or batch < 1:
            raise UsageError(f"count and batch must be at least 1, not {count} and {batch}")
        condition = condition_of(condition, count, self.experts, self.router, self.guidance)
        parts = []
        for first, last in cuts(count, batch):

            def add(done: int, first: int = first) -> None:
                if on_step is not None:
                    on_step(first * self.steps + done)

            rows = None if condition is None else condition.rows(slice(first, last))
            part = self.part(
                first, last, condition=rows, shape=shape, seed=seed, dtype=dtype, device=device, on_step=add
            )
            parts.append(part)
        return joined(parts)

    def part(
        self,
        first: int,
        last: int,
        *,
        condition: Condition | None = None,
        shape: tuple[int, ...] | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Samples:
        """Samples ``first`` to ``last - 1``, moved together, ``condition`` their own; the other arguments are those of
        ``sample``.

        ``joined`` puts those of ``cuts`` together to the result of ``sample``, to the last bit.
        """
        shape = self.shape if shape is None else shape
        if shape is None:
            raise UsageError("the sampler has no shape of its own; give the shape of one sample")
        index = torch.arange(first, last, device=self.device if device is None else device)
        draws = SampleDraws(seed=seed, index=index)

        def count_steps(step: int) -> None:
            if on_step is not None:
                on_step(step * len(index))

        condition = condition_of(condition, len(index), self.experts, self.router, self.guidance)
        return ended(*self.trajectory(draws.noise(shape, dtype), draws, count_steps, condition), condition)

    def encode(
        self,
        x: Tensor,
        *,
        condition: Condition | None = None,
        batch: int = 256,
        on_step: Callable[[int], None] | None = None,
    ) -> Samples:
        """The noise that the sampling ODE takes to x: its trajectories followed from delta up to t = 1.

        The grid is that of ``sample``, reversed. x stands for points at t = delta, as samples do, and ``decode`` leads
        back to it up to the integrator's error. There is an ODE where selector (``mixture``, ``topk``, ``nucleus``) and
        router carry nothing along a trajectory.

        Args:
            x: data, (n, *data), floating point, in [-1, 1].
            condition: as of ``sample``, for n points.
            batch: points moved together, at least 1.
            on_step: called with the point-steps done, of n * steps.
        Returns: the noise as ``x``, with its cost; its times rise.

        Raises:
            UsageError: x is no floating-point tensor of finite values or has another shape, delta is 0, the integrator
                follows an SDE, or the selector or the router carries a state.
            SamplingError: an expert, the router or the selector fails.
        """
        times = self._times()[::-1]
        if float(at_time(self.schedule, times[0]).sigma) == 0.0:
            raise UsageError("encode starts at delta, where there must be some noise; set delta above 0, as in 0.001")
        why = "encode follows an ODE"
        return self._given(x, times, condition=condition, batch=batch, seed=0, on_step=on_step, state=why)

    def decode(
        self,
        noise: Tensor,
        *,
        condition: Condition | None = None,
        seed: int = 0,
        batch: int = 256,
        on_step: Callable[[int], None] | None = None,
    ) -> Samples:
        """The ends of the trajectories of ``sample`` from a given noise at t = 1, such as that of ``encode``.

        Args:
            noise: (n, *data), floating point; standard normal for samples.
            condition: as of ``sample``, for n points.
            seed: of selections, for selectors that draw.
            batch, on_step: as of ``encode``.

        Raises:
            UsageError: the noise is no floating-point tensor of finite values, or has another shape.
            SamplingError: an expert, the router or the selector fails.
        """
        return self._given(noise, self._times(), condition=condition, batch=batch, seed=seed, on_step=on_step)

    def _given(
        self,
        x: Tensor,
        times: Sequence[float],
        *,
        condition: Condition | None,
        batch: int,
        seed: int,
        on_step: Callable[[int], None] | None,
        state: str | None = None,
    ) -> Samples:
        """Trajectories from given points. ``state``: why none may be carried along them; None: one may."""
        check_points(x, self.shape, batch)
        condition = condition_of(condition, len(x), self.experts, self.router, self.guidance)
        parts = []
        for first, last in cuts(len(x), batch):

            def count_steps(step: int, first: int = first, last: int = last) -> None:
                if on_step is not None:
                    on_step(first * self.steps + step * (last - first))

            draws = SampleDraws(seed=seed, index=torch.arange(first, last, device=self.device))
            points = x[first:last].to(self.device)
            rows = None if condition is None else condition.rows(slice(first, last))
            field = self.start(points, times[0], draws, rows)
            if state is not None:
                check_follows_ode(state, self.integrator, field.stateful)
            parts.append(ended(self._follow(field, points, times, count_steps), field, rows))
        return joined(parts)

    def _times(self) -> list[float]:
        return time_grid(self.grid, self.schedule, self.steps, self.delta)

    def start(self, x: Tensor, t: float, draws: SampleDraws, condition: Condition | None = None) -> SampledField:
        """The field where trajectories begin: at x, (B, *data), and the time t, before any evaluation.

        ``condition``: B rows; None: the null condition, which nothing guides. Raises UsageError where the guidance is
        by a weaker model, and there is none.
        """
        condition = None if condition is None else condition.to(x.device)
        given = self._routed(x, t, draws, condition)
        if self.guidance is None or condition is None:
            return given
        if self.guidance.reference == "null":
            # The same list of experts: those that both halves select are evaluated once.
            other = self._routed(x, t, draws, None)
            other.experts = given.experts
        elif self.weaker is None:
            raise UsageError("guidance by a weaker model needs one; train a monolith, or take guidance cfg")
        else:
            weaker = evolve(self, experts=[self.weaker], router=SingleExpertRouter(), guidance=None)
            other = weaker._routed(x, t, draws, condition)
        return GuidedField(guidance=self.guidance, given=given, other=other)

    def _routed(self, x: Tensor, t: float, draws: SampleDraws, condition: Condition | None) -> RoutedField:
        return start_field(
            schedule=self.schedule,
            experts=self.experts,
            router=self.router,
            selector=self.selector,
            x=x,
            t=t,
            draws=draws,
            weights=self.weights,
            autocast=self.autocast,
            condition=condition,
        )

    def trajectory(
        self,
        x: Tensor,
        draws: SampleDraws,
        on_step: Callable[[int], None] | None = None,
        condition: Condition | None = None,
    ) -> tuple[Tensor, SampledField]:
        """The ends of trajectories that start at x, (B, *data), at the first time, and the field they went through.

        ``condition``: of the trajectories, B rows.
        """
        times = self._times()
        field = self.start(x, times[0], draws, condition)
        return self._follow(field, x, times, on_step), field

    @torch.inference_mode()
    def _follow(
        self, field: SampledField, x: Tensor, times: Sequence[float], on_step: Callable[[int], None] | None
    ) -> Tensor:
        """The ends of trajectories along ``times``, which fall or rise."""
        history: Any = None
        for step, (t, s) in enumerate(pairwise(times), start=1):
            field.begin_step(t, s)
            x, history = self.integrator.step(field, x, t, s, history)
            if on_step is not None:
                on_step(step)
        field.check()
        return x
