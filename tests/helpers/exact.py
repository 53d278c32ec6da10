"""Problems with known answers, shared by the tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.beta_table import BetaTable, usual_betas
from mixvel_core.protocols import DensityExpert, Expert, Integrator, Moments, NoiseSchedule, Selector
from mixvel_core.recipe.grids import Grid
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.guided_field import SampledField
from mixvel_core.sampling.ode import reference
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_core.sampling.sampler import Sampler
from mixvel_core.theory.exact import ClosedForms
from mixvel_oracles.denoisers import OracleRouter, gaussian_expert
from mixvel_oracles.law import random_law, split
from mixvel_schedules.schedules import Cosine, Linear, Rectified


def ddpm_table() -> BetaTable:
    """The usual DDPM table as a continuous schedule."""
    return BetaTable.from_betas(usual_betas("linear", 1000, 1e-4, 0.02))


def all_schedules() -> dict[str, NoiseSchedule]:
    return {
        "vp-linear": Linear(),
        "vp-cosine": Cosine(),
        "ddpm-table": ddpm_table(),
        "rectified": Rectified(),
    }


@frozen(kw_only=True, eq=False)
class Exact:
    """A Gaussian mixture whose components are shared out among experts, in float64."""

    schedule: NoiseSchedule
    experts: tuple[DensityExpert, ...]
    whole: DensityExpert
    router: OracleRouter
    fractions: tuple[float, ...]
    dimension: int

    @property
    def law(self) -> ClosedForms:
        """The mixture as the theory takes it."""
        return ClosedForms(schedule=self.schedule, experts=self.experts, fractions=self.fractions)

    def start(self, count: int, seed: int = 0) -> tuple[Tensor, SampleDraws]:
        """Starting points, (count, D), and the random numbers of those samples."""
        draws = SampleDraws(seed=seed, index=torch.arange(count))
        return draws.noise((self.dimension,), torch.float64), draws

    def sampler(
        self, selector: Selector, integrator: Integrator, steps: int, delta: float, grid: Grid = "uniform"
    ) -> Sampler:
        return Sampler(
            schedule=self.schedule,
            experts=self.experts,
            router=self.router,
            selector=selector,
            integrator=integrator,
            steps=steps,
            grid=grid,
            delta=delta,
        )

    def run(
        self, selector: Selector, integrator: Integrator, steps: int, *, delta: float = 0.05, count: int = 100
    ) -> tuple[Tensor, SampledField]:
        return self.sampler(selector, integrator, steps, delta).trajectory(*self.start(count))

    def exact(self, *, delta: float = 0.05, count: int = 100) -> Tensor:
        """Where the mixture's own flow takes the same starting points.

        Solved with the mixture as one expert: by D1 the same flow, and K times faster.
        """
        return reference(
            self.start(count)[0],
            schedule=self.schedule,
            experts=(self.whole,),
            router=SingleExpertRouter(),
            delta=delta,
            rtol=1e-9,
            atol=1e-9,
        )


def exact(
    schedule: NoiseSchedule, *, experts: int = 4, dimension: int = 2, seed: int = 0, components: int = 1
) -> Exact:
    """``components``: of each expert. One flatters the guess from moments, which is exact for it on the line."""
    law = random_law(components=experts * components, dimension=dimension, seed=seed)
    parts = split(law, [list(range(k * components, (k + 1) * components)) for k in range(experts)])
    made = tuple(gaussian_expert(part, schedule) for _, part in parts)
    fractions = tuple(weight for weight, _ in parts)
    return Exact(
        schedule=schedule,
        experts=made,
        whole=gaussian_expert(law, schedule),
        router=OracleRouter(experts=made, fractions=fractions),
        fractions=fractions,
        dimension=dimension,
    )


@frozen(kw_only=True, eq=False)
class Altered:
    """An expert whose denoiser m (B, D) is ``change(m, t)``, with t a number."""

    expert: Expert
    change: Callable[[Tensor, float], Tensor]

    @property
    def schedule(self) -> NoiseSchedule:
        """The expert's."""
        return self.expert.schedule

    @property
    def moments(self) -> Moments | None:
        """The expert's."""
        return self.expert.moments

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """Changed."""
        return self.change(self.expert.denoise(x, t), float(t[0]))
