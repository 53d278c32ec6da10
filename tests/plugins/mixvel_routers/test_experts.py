"""The router `experts` on exact oracles: of order 2, exact where its Gaussians are, its probes unbiased and counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from class_conditions import of_classes
from exact import Exact, all_schedules, exact
from gaussian_shards import gaussians_of, slanted_shard
from labelled import labelled
from labelled_cells import cells_of, prior_of
from torch import Tensor

from mixvel_core.errors import DataError, SamplingError
from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.field.gaussians import Gaussians
from mixvel_core.protocols import Evaluations, Expert, Moments, NoiseSchedule
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.observation import all_answers
from mixvel_core.sampling.sampler import Sampler
from mixvel_integrators.integrators import DDIM
from mixvel_routers.experts import ExpertsFamily, ExpertsRouter
from mixvel_selectors.selectors import Iid, Mixture

SCHEDULES = all_schedules()
COSINE = SCHEDULES["vp-cosine"]
WITHOUT = ExpertsFamily(prior="none", second_moment="moments", freeze=0.0)
END = 0.1


def router(problem: Exact, options: ExpertsFamily, gaussians: Gaussians | None = None) -> ExpertsRouter:
    return ExpertsRouter(
        log_pi=torch.tensor(problem.fractions, dtype=torch.float64).log(),
        gaussians=gaussians_of(problem.experts) if gaussians is None else gaussians,
        schedule=problem.schedule,
        options=options,
    )


def off_along(made: ExpertsRouter, problem: Exact, steps: int, count: int = 64) -> Tensor:
    """Total variation of its weights from the posterior, (steps + 1,), along noisings of the mixture's samples."""
    x_0 = problem.exact(count=count)
    eps = torch.randn(count, problem.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    state, off = None, []
    for t in np.linspace(1.0, END, steps + 1):
        p = at_time(problem.schedule, float(t))
        x = p.alpha * x_0 + p.sigma * eps
        if state is None:
            state = made.start(x, x.new_ones(count))
        a, _, state = all_answers(made, problem.experts, x, float(t), state)
        wanted, _ = problem.router.weights(x, x.new_full((count,), float(t)), None)
        off.append(0.5 * (a - wanted).abs().sum(1).mean())
    return torch.stack(off)


def test_with_exact_answers_it_converges_with_order_two() -> None:
    problem = exact(COSINE, experts=5, dimension=6, seed=2)
    off = [float(off_along(router(problem, WITHOUT), problem, N)[-1]) for N in (20, 40, 80, 160)]
    slopes = [math.log2(a / b) for a, b in pairwise(off)]
    assert slopes[-1] == pytest.approx(2.0, abs=0.2), slopes
    assert off[0] < 0.02


@pytest.mark.parametrize("name", ["vp-cosine", "rectified"])
def test_where_the_gaussians_are_exact_so_is_it(name: str) -> None:
    problem = exact(SCHEDULES[name], experts=4, dimension=3, seed=5)
    assert float(off_along(router(problem, ExpertsFamily()), problem, 6).max()) < 1e-10


def test_exact_second_moments_leave_a_thousandth_along_the_flow() -> None:
    """24 DDIM steps of the exact mixture, as the calibration takes them."""
    problem = exact(COSINE, experts=5, dimension=6, seed=2)
    made = router(problem, WITHOUT)
    x, _ = problem.start(128)
    state, off, times = made.start(x, x.new_ones(128)), [], np.linspace(1.0, 0.01, 25).tolist()
    for t, s in pairwise(times):
        a, _, state = all_answers(made, problem.experts, x, t, state)
        at_t = x.new_full((128,), t)
        off.append(0.5 * (a - problem.router.weights(x, at_t, None)[0]).abs().sum(1).mean())
        x = ddim_step(problem.whole.denoise(x, at_t), x, at_time(COSINE, t), at_time(COSINE, s))
    assert float(torch.stack(off).mean()) < 0.001


def rough(problem: Exact) -> Gaussians:
    """The exact shards but for their covariances, which are one variance each."""
    good = gaussians_of(problem.experts)
    mean = good.variances.mean(-1, keepdim=True)
    nothing = good.variances[..., :0]
    return evolve(good, rest=mean, axes=good.axes[..., :0], variances=nothing)


@pytest.mark.parametrize("prior", ["none", "moments"])
def test_probes_are_right_on_the_average(prior: str) -> None:
    problem = exact(COSINE, experts=3, dimension=4, seed=1)
    options = ExpertsFamily(prior=prior, second_moment="probe")  # type: ignore[arg-type]  # a literal by parametrize
    made = router(problem, options, rough(problem))
    x = torch.randn(1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).expand(4000, 4)
    x = x + 1e-9 * torch.arange(4000)[:, None]
    t = x.new_full((4000,), 0.4)
    _, state = made.weights(x, t, made.start(x, x.new_ones(4000)))
    every = torch.ones(4000, 3, dtype=torch.bool)
    answers = evaluate(problem.experts, x, 0.4, every)
    found = made.second_moments(x, t, answers, lambda y, mask: evaluate(problem.experts, y, 0.4, mask), state)
    p = COSINE.at(t[:1])
    wanted = gaussians_of(problem.experts).answers(x[:1], p).trace[0]
    if prior == "moments":
        wanted = wanted - rough(problem).answers(x[:1], p).trace[0]
    for k in range(3):
        mine = found[answers.expert == k]
        assert abs(float(mine.mean() - wanted[k])) < 4 * float(mine.std()) / math.sqrt(4000) + 1e-5


def sampler(problem: Exact, options: ExpertsFamily, selector: Iid | Mixture) -> Sampler:
    made = problem.sampler(selector, DDIM(), 12, 0.05)
    return evolve(made, router=router(problem, options, rough(problem)))


@pytest.mark.parametrize("selector", [Mixture(), Iid()])
def test_samples_are_those_of_seed_and_index_whatever_the_batch(selector: Iid | Mixture) -> None:
    problem = exact(COSINE, experts=4, dimension=3, seed=5)
    made = sampler(problem, ExpertsFamily(second_moment="probe"), selector)
    whole, parts = (made.sample(10, shape=(3,), batch=batch, dtype=torch.float64) for batch in (10, 3))
    torch.testing.assert_close(whole.x, parts.x, rtol=0, atol=1e-9)
    assert bool(whole.x.isfinite().all())


def test_probes_are_evaluations_that_count() -> None:
    problem = exact(COSINE, experts=4, dimension=3, seed=5)
    plain = sampler(problem, ExpertsFamily(), Mixture()).sample(2, shape=(3,), dtype=torch.float64)
    probed = sampler(problem, ExpertsFamily(second_moment="probe"), Mixture()).sample(
        2, shape=(3,), dtype=torch.float64
    )
    assert plain.evaluations.tolist() == [48, 48]
    assert probed.evaluations.tolist() == [96, 96]


def test_a_step_uses_the_weights_that_its_own_answers_make() -> None:
    """The full mixture with exact Gaussians in the router: the oracle's own samples."""
    problem = exact(COSINE, experts=4, dimension=3, seed=5)
    made = problem.sampler(Mixture(), DDIM(), 12, 0.05)
    mine = evolve(made, router=router(problem, ExpertsFamily()))
    one, other = (each.sample(8, shape=(3,), dtype=torch.float64).x for each in (made, mine))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@frozen(kw_only=True)
class Lost:
    """An expert whose answers are no numbers near data."""

    schedule: NoiseSchedule
    moments: Moments | None = None

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return x / (t > 0.5).to(x).reshape(-1, 1) * 0.0


@frozen(kw_only=True)
class Smaller(Lost):
    """One for points of another shape."""

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return x[:, :2]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (
            Lost(schedule=COSINE),
            r"expert 2 returned values that are not finite at t=0.\d+, evaluation \d+ of the field",
        ),
        (Smaller(schedule=COSINE), r"expert 2 returned shape \(8, 2\) for points of shape \(8, 3\) at t=1"),
    ],
)
def test_experts_that_fail_are_named(bad: Expert, complaint: str) -> None:
    problem = exact(COSINE, experts=4, dimension=3, seed=5)
    made = sampler(problem, ExpertsFamily(), Mixture())
    experts: Sequence[Expert] = (*problem.experts[:2], bad, problem.experts[3])
    with pytest.raises(SamplingError, match=complaint):
        evolve(made, experts=experts).sample(8, shape=(3,), dtype=torch.float64)


def test_tensors_are_those_of_the_gaussians_or_none() -> None:
    shards = [slanted_shard(k) for k in range(3)]
    assert set(ExpertsFamily(rank=2).tensors(shards, {})) == {"weights", "means", "rest", "axes", "variances"}
    assert ExpertsFamily(prior="none", second_moment="probe").tensors(shards, {}) == {}
    with pytest.raises(DataError, match="router experts: rank 6 is not below"):
        ExpertsFamily(rank=6).check(shards)


def test_answers_of_some_experts_correct_those_alone() -> None:
    """Before anything else is known, an expert's answers change its own weight against the others', not theirs."""
    problem = exact(COSINE, experts=3, dimension=4, seed=1)
    made = router(problem, ExpertsFamily(freeze=0.0), rough(problem))
    x, t = problem.start(5)[0], torch.full((5,), 0.8, dtype=torch.float64)
    _, state = made.weights(x, t + 0.1, made.start(x, t + 0.2))
    before, _ = made.weights(x, t, state)
    _, state = made.weights(x, t, state)
    mask = torch.tensor([[True, False, False]]).expand(5, 3)
    answers: Evaluations = evaluate(problem.experts, x, 0.8, mask)
    state = made.observe(x, t, answers, lambda y, mask: evaluate(problem.experts, y, 0.8, mask), state)
    after, _ = made.weights(x, t, state)
    torch.testing.assert_close(after[:, 1] / after[:, 2], before[:, 1] / before[:, 2])
    assert bool((after[:, 0] != before[:, 0]).all())


def off_under_classes(options: ExpertsFamily, steps: int) -> float:
    """Total variation at the end of its weights from the exact p(k | x, c), with answers of experts under classes."""
    problem = labelled(COSINE, experts=4)
    cells = cells_of(problem)
    made = ExpertsRouter(
        log_pi=torch.tensor(problem.fractions, dtype=torch.float64).log(),
        gaussians=cells.by_class[-1],
        schedule=COSINE,
        options=options,
        cells=cells,
        by_class=prior_of(problem),
    )
    condition = of_classes(torch.arange(48) % 3)
    x_0, eps = torch.randn(2, 48, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).unbind(0)
    under, exact_router = made.given(condition), problem.router.given(condition)
    state, a, wanted = None, x_0, x_0
    for t in np.linspace(1.0, END, steps + 1).tolist():
        p = at_time(COSINE, t)
        x = p.alpha * x_0 + p.sigma * eps
        state = under.start(x, x.new_ones(48)) if state is None else state
        a, _, state = all_answers(under, problem.experts, x, t, state, None, condition)
        wanted, _ = exact_router.weights(x, x.new_full((48,), t), None)
    return float(0.5 * (a - wanted).abs().sum(1).mean())


def test_under_classes_it_is_exact_with_exact_cells_and_of_order_two_without() -> None:
    """Classes 0 and 1, and 2 for none, row by row."""
    assert off_under_classes(ExpertsFamily(), 6) < 1e-10
    off = [off_under_classes(WITHOUT, N) for N in (80, 160)]
    assert math.log2(off[0] / off[1]) == pytest.approx(2.0, abs=0.2)
    assert off[1] < 0.01
