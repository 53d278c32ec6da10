"""Gaussians and guesses by the class of each row: those of the class, alone or among others; exact where cells are."""

from __future__ import annotations

import pytest
import torch
from class_conditions import of_classes
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import labelled
from labelled_cells import cells_of, prior_of
from torch import Tensor

from mixvel_core.field.class_gaussians import ClassGaussians
from mixvel_core.field.conversions import changed_point
from mixvel_core.field.gaussians import Gaussians
from mixvel_core.protocols import Guidance, Selector
from mixvel_core.sampling.sampler import Sampler
from mixvel_guidance.guidance import ClassifierFree
from mixvel_integrators.angle_multistep import AngleMultistep
from mixvel_routers.moments import MomentsRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Mixture
from mixvel_selectors.switching import Switching

D, B = 5, 7


def gaussians(shards: int, components: int, rank: int, seed: int) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    return Gaussians(
        weights=normal(shards, components).softmax(1),
        means=normal(shards, components, D),
        rest=normal(shards, components, 1 if rank else D).square() + 0.01,
        axes=torch.linalg.qr(normal(shards, components, D, D)).Q[..., :rank],
        variances=normal(shards, components, rank).square() + 0.1,
    )


@settings(max_examples=30, deadline=None)
@given(
    shards=st.integers(1, 3),
    components=st.integers(1, 3),
    rank=st.integers(0, D),
    t=st.floats(0.0, 1.0),
    classes=st.lists(st.integers(0, 3), min_size=B, max_size=B),
)
def test_each_row_is_seen_by_the_gaussians_of_its_class(
    shards: int, components: int, rank: int, t: float, classes: list[int]
) -> None:
    made = ClassGaussians(by_class=tuple(gaussians(shards, components, rank, seed) for seed in range(4)))
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(B, D, dtype=torch.float64, generator=generator)
    weights = torch.rand(B, shards, dtype=torch.float64, generator=generator)
    # Times of their own, where this is allowed.
    p = Cosine().at(torch.linspace(t, 1.0, B, dtype=torch.float64))
    rows = made.of_rows(torch.tensor(classes))
    density, answers = rows.log_density(x, p), rows.answers(x, p)
    guess, at_t = rows.guess(x), Cosine().at(torch.tensor(t, dtype=torch.float64))
    sample = torch.arange(B).flip(0)
    expert = torch.arange(B) % shards
    found, of = guess.weighted(x, at_t, weights), guess.of(x[sample], at_t, expert, sample)
    for i, c in enumerate(classes):
        one, own = slice(i, i + 1), changed_point(p, lambda v, i=i: v[i : i + 1])  # type: ignore[misc]  # mypy infers no lambda with defaults
        wanted = made.by_class[c].answers(x[one], own)
        torch.testing.assert_close(density[one], wanted.log_density, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(answers.log_density[one], wanted.log_density, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(answers.m[one], wanted.m, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(answers.trace[one], wanted.trace, rtol=1e-9, atol=1e-9)
        m = made.by_class[c].answers(x[one], Cosine().at(torch.full((1,), t, dtype=torch.float64))).m[0]
        torch.testing.assert_close(found[i], weights[i] @ m, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(of[B - 1 - i], m[expert[B - 1 - i]], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("guidance", [None, ClassifierFree(scale=3.0)], ids=["given", "cfg"])
@pytest.mark.parametrize("selector", [Cached(), Switching()], ids=["cached", "switching"])
def test_where_cells_are_gaussians_one_expert_a_step_is_the_full_mixture_of_the_class(
    selector: Selector, guidance: Guidance | None
) -> None:
    """Guesses from cells are exact there, and from shards of two Gaussians for the null condition."""
    problem = labelled(Cosine(), experts=4)
    cells = cells_of(problem)
    router = MomentsRouter(
        log_pi=torch.tensor(problem.fractions, dtype=torch.float64).log(),
        gaussians=cells.by_class[-1],
        schedule=problem.schedule,
        cells=cells,
        by_class=prior_of(problem),
    )

    def drawn(chosen: Selector) -> Tensor:
        made = Sampler(
            schedule=problem.schedule,
            experts=problem.experts,
            router=router,
            selector=chosen,
            integrator=AngleMultistep(),
            steps=8,
            grid="chebyshev",
            delta=0.05,
            shape=(4,),
            guidance=guidance,
        )
        samples = made.sample(18, condition=of_classes(torch.arange(18) % 3), dtype=torch.float64)
        if chosen is selector:
            assert int(samples.evaluations.max()) <= 8 * (1 if guidance is None else 2)
        return samples.x

    torch.testing.assert_close(drawn(selector), drawn(Mixture()), rtol=0, atol=1e-8)
