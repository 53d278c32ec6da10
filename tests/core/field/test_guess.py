"""Guesses: sums of the closed forms that Gaussians give one by one, and one expert a step where a guess is exact."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve, field, frozen
from exact import exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.field.gaussians import Gaussians
from mixvel_core.field.guess import DiagonalGuess, gaussian_guess
from mixvel_core.protocols import Moments, NoiseSchedule, Selector
from mixvel_integrators.angle_multistep import AngleMultistep
from mixvel_routers.moments import MomentsRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Mixture
from mixvel_selectors.switching import Switching

D = 5


def gaussians(shards: int, components: int, rank: int, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    rest = normal(shards, components, 1 if rank else D).square() + 0.01
    weights = normal(shards, components).softmax(1)
    axes = torch.linalg.qr(normal(shards, components, D, D)).Q[..., :rank]
    variances = normal(shards, components, rank).square() + 0.1
    means = normal(shards, components, D)
    return Gaussians(weights=weights, means=means, rest=rest, axes=axes, variances=variances)


@settings(max_examples=40, deadline=None)
@given(
    shards=st.integers(1, 4),
    components=st.integers(1, 3),
    rank=st.integers(0, D),
    t=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_sums_of_guesses_are_those_of_the_closed_forms(
    shards: int, components: int, rank: int, t: float, seed: int
) -> None:
    made = gaussians(shards, components, rank, seed)
    x = torch.randn(6, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    weights = torch.rand(6, shards, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    times = torch.full((6,), t, dtype=torch.float64)
    wanted = made.answers(x, Cosine().at(times)).m
    guess, p = gaussian_guess(made, x), Cosine().at(times[0])
    total = torch.einsum("bk,bkd->bd", weights, wanted)
    torch.testing.assert_close(guess.weighted(x, p, weights), total, rtol=1e-9, atol=1e-9)
    expert = torch.arange(6) % shards
    torch.testing.assert_close(
        guess.of(x, p, expert, torch.arange(6)), wanted[torch.arange(6), expert], rtol=1e-9, atol=1e-9
    )


def test_mean_and_variance_are_one_gaussian_without_axes() -> None:
    made = gaussians(3, 1, 0)
    x, weights = torch.randn(6, D, dtype=torch.float64), torch.rand(6, 3, dtype=torch.float64)
    expert, rows = torch.tensor([0, 2, 1, 1, 0, 2]), torch.arange(6)
    plain, general = DiagonalGuess(mean=made.means[:, 0], variance=made.rest[:, 0]), gaussian_guess(made, x)
    for t in (0.0, 0.3, 1.0):
        p = Cosine().at(torch.tensor(t, dtype=torch.float64))
        torch.testing.assert_close(plain.weighted(x, p, weights), general.weighted(x, p, weights), rtol=0, atol=1e-12)
        torch.testing.assert_close(plain.of(x, p, expert, rows), general.of(x, p, expert, rows), rtol=0, atol=1e-12)


@frozen(kw_only=True, eq=False)
class OneOfThem:
    """The expert of shard k, exact where shards are ``gaussians``; what it shares is not the shard's at all."""

    gaussians: Gaussians
    k: int
    schedule: NoiseSchedule = field(factory=Cosine)

    @property
    def moments(self) -> Moments:
        """Of no use."""
        return Moments(mean=torch.zeros(D), variance=torch.ones(D))

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """The closed form."""
        return self.gaussians.answers(x, self.schedule.at(t.double())).m[:, self.k]


@pytest.mark.parametrize(("components", "rank"), [(1, 2), (1, 0), (2, 0)])
@pytest.mark.parametrize("selector", [Cached(), Switching()], ids=["cached", "switching"])
def test_where_the_routers_guess_is_exact_one_expert_a_step_is_the_full_mixture(
    selector: Selector, components: int, rank: int
) -> None:
    made = gaussians(4, components, rank)
    router = MomentsRouter(log_pi=torch.full((4,), 0.25, dtype=torch.float64).log(), gaussians=made, schedule=Cosine())
    problem = exact(Cosine(), experts=4, dimension=D)
    experts = tuple(OneOfThem(gaussians=made, k=k) for k in range(4))
    sampler = evolve(problem.sampler(selector, AngleMultistep(), 10, 0.05, "chebyshev"), experts=experts, router=router)
    x, field_of_it = sampler.trajectory(*problem.start(24))
    wanted, _ = evolve(sampler, selector=Mixture()).trajectory(*problem.start(24))
    assert field_of_it.evaluations.tolist() == [10] * 24
    torch.testing.assert_close(x, wanted, rtol=0, atol=1e-9)
