"""The sampler: from noise at t = 1 down a time grid to t = delta, one integrator step after the other, or up it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.field.conversions import at_time
from mixvel_core.protocols import (
    Expert,
    ExpertFamily,
    Integrator,
    NoiseSchedule,
    RandomIntegrator,
    Router,
    RouterFamily,
    Selector,
)
from mixvel_core.recipe.grids import Grid
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.grid import time_grid
from mixvel_core.sampling.routed_field import RoutedField, start_field
from mixvel_core.sampling.samples import Samples, cuts, joined
from mixvel_core.sampling.weights import AS_THEY_ARE, WeightTransform


def is_random(integrator: Integrator) -> bool:
    """Whether it follows an SDE, so that no trajectory of it can be compared with one of the ODE."""
    return isinstance(integrator, RandomIntegrator) and integrator.is_random


@frozen(kw_only=True)
class SingleExpertRouter:
    """The router of a sampler with one expert, K = 1, such as the monolith."""

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """Weights of one, (B, 1), at any (x, t)."""
        return x.new_ones(len(x), 1), None


@frozen(kw_only=True)
class Sampler:
    """Everything that makes a trajectory: ``steps`` N on ``grid`` from t = 1 to ``delta``.

    ``experts``: K of them, in any sequence, each of this schedule or its own; one that loads on demand is only loaded
    when it is selected. ``weights``: what is done to the router's weights. ``autocast``: let networks compute in
    bfloat16. ``shape`` of one sample and ``device``: what ``sample`` takes where it is given none.
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

    def __attrs_post_init__(self) -> None:
        # What `build` makes of experts and routers are ways to make them, and the first mistake to make in Python.
        if isinstance(self.router, RouterFamily):
            raise UsageError(
                "router: a family of routers, as build makes; `ready_router(NAME, experts=K, schedule=...)` makes a "
                "router without data, open_run(FOLDER).sampler(...) has those of a run"
            )
        given = self.experts if isinstance(self.experts, (list, tuple)) else ()
        networks = [one for one in given if isinstance(one, torch.nn.Module) and not hasattr(one, "denoise")]
        if networks or any(isinstance(one, ExpertFamily) for one in (self.experts, *given)):
            raise UsageError(
                "experts: networks, or families as build makes, and no experts; of a network, "
                "`mixvel_foreign.adapter.module_expert(net, prediction=..., schedule=...)` makes one"
            )

    def sample(
        self,
        count: int,
        *,
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
            shape: ``*data`` of one sample; the sampler's own if None.
            seed: of noise and selections.
            batch: samples moved together, at least 1.
            dtype: of the samples; float64 for oracles.
            device: where they are computed; the sampler's own if None.
            on_step: called with the number of sample-steps done, of count * steps.

        Raises:
            UsageError: count or batch is below 1, or no shape is given.
            SamplingError: an expert, the router or the selector fails.
        """
        if count < 1 or batch < 1:
            raise UsageError(f"count and batch must be at least 1, not {count} and {batch}")
        parts = []
        for first, last in cuts(count, batch):

            def add(done: int, first: int = first) -> None:
                if on_step is not None:
                    on_step(first * self.steps + done)

            parts.append(self.part(first, last, shape=shape, seed=seed, dtype=dtype, device=device, on_step=add))
        return joined(parts)

    def part(
        self,
        first: int,
        last: int,
        *,
        shape: tuple[int, ...] | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Samples:
        """Samples ``first`` to ``last - 1``, moved together; the other arguments are those of ``sample``.

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

        return _samples(*self.trajectory(draws.noise(shape, dtype), draws, count_steps))

    def encode(self, x: Tensor, *, batch: int = 256, on_step: Callable[[int], None] | None = None) -> Samples:
        """The noise that the sampling ODE takes to x: its trajectories followed from delta up to t = 1.

        The grid is that of ``sample``, reversed. x stands for points at t = delta, as samples do, and ``decode`` leads
        back to it up to the integrator's error. There is an ODE where selector (``mixture``, ``topk``, ``nucleus``) and
        router carry nothing along a trajectory.

        Args:
            x: data, (n, *data), floating point, in [-1, 1].
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
        return self._given(x, times, batch=batch, seed=0, on_step=on_step, state="encode follows an ODE")

    def decode(
        self, noise: Tensor, *, seed: int = 0, batch: int = 256, on_step: Callable[[int], None] | None = None
    ) -> Samples:
        """The ends of the trajectories of ``sample`` from a given noise at t = 1, such as that of ``encode``.

        Args:
            noise: (n, *data), floating point; standard normal for samples.
            seed: of selections, for selectors that draw.
            batch, on_step: as of ``encode``.

        Raises:
            UsageError: the noise is no floating-point tensor of finite values, or has another shape.
            SamplingError: an expert, the router or the selector fails.
        """
        return self._given(noise, self._times(), batch=batch, seed=seed, on_step=on_step)

    def _given(
        self,
        x: Tensor,
        times: Sequence[float],
        *,
        batch: int,
        seed: int,
        on_step: Callable[[int], None] | None,
        state: str | None = None,
    ) -> Samples:
        """Trajectories from given points. ``state``: why none may be carried along them; None: one may."""
        if not isinstance(x, Tensor) or not x.is_floating_point():
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise UsageError(
                f"points must be a floating-point tensor (n, *data), not {found}; of bytes give x.float() / 127.5 - 1, "
                "of an array torch.from_numpy(x)"
            )
        if x.ndim < 2 or len(x) < 1 or batch < 1:
            raise UsageError(
                f"there must be at least one point, (n, *data), and one in a batch, not {tuple(x.shape)} and {batch}"
            )
        if self.shape is not None and tuple(x.shape[1:]) != tuple(self.shape):
            raise UsageError(f"points of shape {tuple(x.shape[1:])} are given to a sampler of shape {self.shape}")
        if not bool(x.isfinite().all()):
            raise UsageError("points have values that are not finite; leave those out")
        parts = []
        for first, last in cuts(len(x), batch):

            def count_steps(step: int, first: int = first, last: int = last) -> None:
                if on_step is not None:
                    on_step(first * self.steps + step * (last - first))

            draws = SampleDraws(seed=seed, index=torch.arange(first, last, device=self.device))
            points = x[first:last].to(self.device)
            field = self.start(points, times[0], draws)
            if state is not None and is_random(self.integrator):
                raise UsageError(f"{state}, and the integrator follows an SDE; take one of the ODE, such as pc")
            if state is not None and field.stateful:
                raise UsageError(
                    f"{state}, but the {field.stateful} carries a state along each trajectory; take selector mixture "
                    "and a router that is a function of x and t"
                )
            parts.append(_samples(self._follow(field, points, times, count_steps), field))
        return joined(parts)

    def _times(self) -> list[float]:
        return time_grid(self.grid, self.schedule, self.steps, self.delta)

    def start(self, x: Tensor, t: float, draws: SampleDraws) -> RoutedField:
        """The routed field where trajectories begin: at x, (B, *data), and the time t, before any evaluation."""
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
        )

    def trajectory(
        self, x: Tensor, draws: SampleDraws, on_step: Callable[[int], None] | None = None
    ) -> tuple[Tensor, RoutedField]:
        """The ends of trajectories that start at x, (B, *data), at the first time, and the field they went through."""
        times = self._times()
        field = self.start(x, times[0], draws)
        return self._follow(field, x, times, on_step), field

    @torch.inference_mode()
    def _follow(
        self, field: RoutedField, x: Tensor, times: Sequence[float], on_step: Callable[[int], None] | None
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


def _samples(x: Tensor, field: RoutedField) -> Samples:
    """The ends of trajectories with what the field counted."""
    return Samples(
        x=x,
        evaluations=field.evaluations,
        times=torch.tensor(field.times, dtype=torch.float64),
        usage=torch.stack(field.usage),
        origin=field.origin,
    )
