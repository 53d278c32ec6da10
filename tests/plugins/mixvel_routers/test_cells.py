"""`moments` under classes: exact where cells are Gaussians; small and empty cells; a class that names the shard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attrs import evolve
from class_conditions import of_classes
from classed_shards import classed_config, classed_shards, untrained
from exact import all_schedules
from labelled import CLASSES, LabelledProblem, labelled
from labelled_cells import cells_of, prior_of
from torch import Tensor

from mixvel_core.field.gaussian_fit import FLOOR, fit_gaussians
from mixvel_core.field.gaussians import Gaussians
from mixvel_core.protocols import RouterConfig
from mixvel_core.testing.problems import MemoryShard
from mixvel_routers.cells import by_class
from mixvel_routers.moments import MomentsFamily, MomentsRouter
from mixvel_schedules.schedules import Cosine

SCHEDULES = all_schedules()
OPTIONS = [{"rank": 0}, {"rank": 2}, {"components": 3}]


def router_of(problem: LabelledProblem) -> MomentsRouter:
    """`moments` of the exact cells of a labelled mixture."""
    cells = cells_of(problem)
    pi = torch.tensor(problem.fractions, dtype=torch.float64)
    return MomentsRouter(
        log_pi=pi.log(),
        gaussians=cells.by_class[-1],
        schedule=problem.schedule,
        cells=cells,
        by_class=prior_of(problem),
    )


def points(count: int, dimension: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, dimension, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return x, torch.linspace(0.02, 1.0, count, dtype=dtype)


@pytest.mark.parametrize("name", SCHEDULES)
def test_one_gaussian_a_cell_is_the_exact_conditional_posterior(name: str) -> None:
    """D2 under a class: the router of the cells' own laws is the oracle, row by row, and without a class too."""
    problem = labelled(SCHEDULES[name], experts=4)
    router = router_of(problem)
    x, t = points(60, 4)
    classes = torch.arange(60) % CLASSES
    found = router.given(of_classes(classes)).weights(x, t, None)[0]
    wanted = problem.router.given(of_classes(classes)).weights(x, t, None)[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(router.weights(x, t, None)[0], problem.router.weights(x, t, None)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_null_condition_is_the_router_of_the_shards_alone(options: dict[str, int]) -> None:
    shards = classed_shards([[20, 12, 9], [8, 30, 11]])
    plain = [MemoryShard(items=one.items, index=one.index, fraction=one.fraction) for one in shards]
    config = classed_config(shards)
    family = MomentsFamily(**options)
    router = untrained(family, shards, Cosine())
    tensors = family.tensors(plain, {})
    alone = family.load(RouterConfig(fractions=config.fractions, shape=config.shape), tensors, Cosine())
    x, t = points(12, 5, torch.float32)
    assert torch.equal(router.weights(x, t, None)[0], alone.weights(x, t, None)[0])
    assert isinstance(router, MomentsRouter)
    null = router.given(of_classes(torch.full((12,), 3))).weights(x, t, None)[0]
    torch.testing.assert_close(null, alone.weights(x, t, None)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
def test_at_much_noise_it_is_the_share_of_the_class(options: dict[str, int]) -> None:
    shards = classed_shards([[20, 12, 0], [8, 30, 11]])
    router = untrained(MomentsFamily(**options), shards, Cosine())
    assert isinstance(router, MomentsRouter)
    x = points(4, 5)[0]
    found = router.given(of_classes(torch.tensor([0, 1, 2, 3]))).weights(x, x.new_ones(4), None)[0]
    wanted = [[20 / 28, 8 / 28], [12 / 42, 30 / 42], [0, 1], [32 / 81, 49 / 81]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-7)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_class_that_names_the_shard_leaves_one_expert(options: dict[str, int]) -> None:
    """Shards by label: p(k | c) is one-hot, at every time and without NaN."""
    shards = classed_shards([[25, 0, 0, 0], [0, 25, 0, 0], [0, 0, 25, 0]])
    router = untrained(MomentsFamily(**options), shards, Cosine())
    assert isinstance(router, MomentsRouter)
    x, t = points(30, 5)
    classes = torch.arange(30) % 3
    found = router.given(of_classes(classes)).weights(x, t, None)[0]
    assert torch.equal(found, torch.nn.functional.one_hot(classes, 3).double())
    # Nobody has class 3: it says nothing.
    nothing = router.given(of_classes(torch.full((30,), 3))).weights(x, t, None)[0]
    torch.testing.assert_close(nothing, router.weights(x, t, None)[0], rtol=0, atol=1e-12)


def test_large_cells_have_their_own_covariance_and_small_ones_their_shards() -> None:
    shards = classed_shards([[4000, 3, 1], [50, 50, 50]])
    made = untrained(MomentsFamily(rank=2), shards, Cosine())
    assert isinstance(made, MomentsRouter)
    assert made.cells is not None
    cells = by_class(shards[0], 3)
    of_shard = fit_gaussians(shards[0], rank=2, components=1)
    large, small, single = (one for one in made.cells.by_class[:3])
    alone = fit_gaussians(cells[0], rank=2, components=1)
    torch.testing.assert_close(large.variances[0], alone.variances.double(), rtol=0.02, atol=0)
    torch.testing.assert_close(large.rest[0], alone.rest.double(), rtol=0.02, atol=0)
    for one, cell in ((small, cells[1]), (single, cells[2])):
        mean = torch.from_numpy(np.asarray(cell.items[:], np.float64)).mean(0)
        torch.testing.assert_close(one.means[0, 0], mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(one.variances[0], of_shard.variances.float().double())
        torch.testing.assert_close(one.axes[0], of_shard.axes.float().double())


def test_a_cell_of_one_item_is_no_spike() -> None:
    """Each coordinate's variance is ten items' worth of the shard's and one of the cell's, which is the floor."""
    shards = classed_shards([[200, 1], [50, 50]])
    for options in ({"rank": 0}, {"components": 2}):
        tensors = MomentsFamily(**options).tensors(shards, {})
        pooled = (tensors["weights"][0, :, None] * tensors["rest"][0]).sum(0)
        wanted = (10 * pooled + FLOOR) / 11
        for rest in tensors["class.rest"][0, 1]:
            torch.testing.assert_close(rest, wanted, rtol=1e-5, atol=0)


def test_along_the_axes_of_a_cell_its_variance_is_pooled_with_the_shards() -> None:
    """By the full covariance matrices."""
    shards = classed_shards([[40, 30], [50, 50]])
    made = untrained(MomentsFamily(rank=2), shards, Cosine())
    assert isinstance(made, MomentsRouter)
    assert made.cells is not None
    cell, alone = made.cells.by_class[1], fit_gaussians(by_class(shards[0], 2)[1], rank=2, components=1)
    of_shard = fit_gaussians(shards[0], rank=2, components=1)
    U, u = of_shard.axes[0], alone.axes[0]
    rest = torch.eye(5, dtype=torch.float64) - U @ U.T
    S = U @ torch.diag(of_shard.variances[0]) @ U.T + of_shard.rest[0, 0] * rest
    along = torch.diag(u.T @ S @ u)
    torch.testing.assert_close(cell.variances[0, 0], (30 * alone.variances[0] + 10 * along) / 40, rtol=1e-5, atol=0)
    left = (S.trace() - along.sum()) / 3
    torch.testing.assert_close(cell.rest[0, 0, 0], (30 * alone.rest[0, 0] + 10 * left) / 40, rtol=1e-5, atol=0)


@pytest.mark.parametrize("options", OPTIONS)
def test_guesses_under_a_class_are_the_denoisers_of_its_cells(options: dict[str, int]) -> None:
    router = untrained(MomentsFamily(**options), classed_shards([[20, 12, 1], [8, 30, 0]]), Cosine())
    assert isinstance(router, MomentsRouter)
    assert router.cells is not None
    x = points(8, 5)[0]
    classes = torch.tensor([0, 3, 2, 1, 1, 0, 2, 3])
    weights = torch.rand(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    guess = router.given(of_classes(classes)).guess(x)
    assert guess is not None
    sample, expert = torch.tensor([7, 0, 3, 2, 2]), torch.tensor([0, 1, 0, 1, 0])
    for time in (1.0, 0.4, 0.02):
        p = Cosine().at(torch.tensor(time, dtype=torch.float64))
        each = Cosine().at(torch.full((8,), time, dtype=torch.float64))
        m = torch.stack([router.cells.by_class[int(c)].answers(x, each).m[i] for i, c in enumerate(classes)])
        torch.testing.assert_close(guess.weighted(x, p, weights), torch.einsum("bk,bkd->bd", weights, m))
        torch.testing.assert_close(guess.of(x[sample], p, expert, sample), m[sample, expert])


def test_without_cells_the_shares_of_the_class_weigh_the_shards_gaussians() -> None:
    """As for owners who share moments of their shards and no more."""
    shards = classed_shards([[20, 12], [8, 30]])
    made = untrained(MomentsFamily(rank=1), shards, Cosine())
    assert isinstance(made, MomentsRouter)
    assert isinstance(made.gaussians, Gaussians)
    router = evolve(made, cells=None)
    x, t = points(10, 5)
    classes = torch.arange(10) % 2
    counts = torch.tensor([[20.0, 12.0], [8.0, 30.0]], dtype=torch.float64)
    shares = (counts / counts.sum(1, keepdim=True)).T[classes]
    wanted = router.weights(x, t, None)[0] * shares
    wanted /= wanted.sum(1, keepdim=True)
    torch.testing.assert_close(router.given(of_classes(classes)).weights(x, t, None)[0], wanted, rtol=0, atol=1e-12)
    assert router.guess(x) is not None
    assert router.given(of_classes(classes)).guess(x) is None
