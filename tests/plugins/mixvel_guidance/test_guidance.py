"""The guidances: their scales over time, and that experts of levels of noise are guided by the scale of their level."""

from __future__ import annotations

import pytest
import torch
from labelled import classes, labelled

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Guidance
from mixvel_core.recipe.build import build
from mixvel_core.sampling.sampler import Sampler
from mixvel_guidance.guidance import ClassifierFree, LevelledClassifierFree
from mixvel_guidance.hooks import LevelsOptions
from mixvel_integrators.integrators import DDIM
from mixvel_routers.noise_levels import NoiseLevelsRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.selectors import Mixture


@pytest.mark.parametrize(
    ("guidance", "scales"),
    [
        (ClassifierFree(scale=3.0), [3.0, 3.0, 3.0, 3.0, 3.0]),
        (ClassifierFree(scale=3.0, low=0.25, high=0.5), [1.0, 3.0, 3.0, 1.0, 1.0]),
        (LevelledClassifierFree(boundaries=(0.25, 0.75), scales=(1.0, 2.0, 4.0)), [1.0, 2.0, 2.0, 4.0, 4.0]),
    ],
)
def test_the_scale_is_that_of_the_time(guidance: Guidance, scales: list[float]) -> None:
    assert [guidance.at(t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)] == scales
    M_c, M_null = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 3.0]])
    for t, w in zip((0.0, 0.25, 0.5, 0.75, 1.0), scales, strict=True):
        assert torch.equal(guidance.combine(M_c, M_null, t), M_null + w * (M_c - M_null))


def test_two_experts_of_levels_of_noise_are_guided_each_by_its_own_scale() -> None:
    """One step on each side of the boundary: as with that side's expert alone under its own scale."""
    problem = labelled(Cosine(), experts=2)
    condition = classes(6)

    def after(times: tuple[float, float], guidance: Guidance, only: int | None = None) -> torch.Tensor:
        router = NoiseLevelsRouter(boundaries=(0.5,), width=0.0)
        chosen = problem.experts if only is None else (problem.experts[only],) * 2
        sampler = Sampler(
            schedule=problem.schedule,
            experts=chosen,
            router=router,
            selector=Mixture(),
            integrator=DDIM(),
            steps=1,
            grid=times,
            delta=times[1],
            guidance=guidance,
            shape=(4,),
        )
        return sampler.sample(6, condition=condition, dtype=torch.float64).x

    levels = LevelledClassifierFree(boundaries=(0.5,), scales=(1.5, 4.0))
    assert torch.equal(after((1.0, 0.6), levels), after((1.0, 0.6), ClassifierFree(scale=4.0), only=1))
    assert not torch.equal(after((1.0, 0.6), levels), after((1.0, 0.6), ClassifierFree(scale=1.5), only=1))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cfg", {"scale": float("nan")}, "scale"),
        ("cfg", {"scale": -1.0}, "at least 0"),
        ("cfg", {"low": 0.5, "high": 0.5}, "low must be below high"),
        ("cfg-levels", {"boundaries": [0.5], "scales": [1.0]}, "1 boundaries part 2 levels, and there are 1 scales"),
        ("cfg-levels", {"boundaries": [0.5, 0.4], "scales": [1.0, 2.0, 3.0]}, "boundaries must rise"),
        ("cfg-levels", {"boundaries": [0.5], "scales": [1.0, float("inf")]}, "finite"),
    ],
)
def test_scales_and_intervals_that_are_none_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build("guidance", name, options)


def test_boundaries_left_open_are_given_before_anything_is_guided() -> None:
    options = LevelsOptions(scales=(1.0, 2.0))
    assert options.at_levels((0.4,)).boundaries == (0.4,)
    with pytest.raises(ValueError, match="1 boundaries part 2 levels, and there are 3 scales"):
        LevelsOptions(scales=(1.0, 2.0, 3.0)).at_levels((0.4,))
    with pytest.raises(RecipeError, match="guidance cfg-levels: boundaries are left open; give the times"):
        build("guidance", "cfg-levels", {"scales": [1.0, 2.0]}).at(0.5)
