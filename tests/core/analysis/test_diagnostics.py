"""Disagreement and alignment with known answers, and what a run keeps of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve, field, frozen
from report_runs import VECTORS, Scored, scored
from torch import Tensor
from whole_runs import Bomb

from mixvel_core.analysis.alignment import MIXTURE, OWN, LabelledItems, alignment
from mixvel_core.analysis.diagnostics import STEPS, Diagnostics, diagnose, noisy_items
from mixvel_core.analysis.disagreement import along_mixture, disagreement, row_of, truncated
from mixvel_core.protocols import GaussianLaw, NoiseSchedule
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.model import ReportOptions
from mixvel_core.sampling.draws import SampleDraws
from mixvel_oracles.denoisers import OracleRouter, gaussian_expert
from mixvel_routers.fixed import FixedRouter
from mixvel_schedules.schedules import Cosine


@frozen(kw_only=True, eq=False)
class Constant:
    """An expert with one answer everywhere."""

    value: Tensor
    schedule: NoiseSchedule = field(factory=Cosine)
    moments: None = None

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return self.value.expand_as(x)


def test_one_expert_and_equal_experts_do_not_disagree() -> None:
    m = torch.randn(5, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    assert disagreement(torch.ones(5, 1), m).tolist() == [0.0] * 5
    a = torch.tensor([[0.2, 0.3, 0.5]]).expand(5, 3)
    assert disagreement(a, m.expand(5, 3, 2, 3)).abs().max() < 1e-12


def test_two_constant_experts_disagree_by_their_variance_along_the_whole_way() -> None:
    experts = [Constant(value=torch.tensor([1.0, 1.0])), Constant(value=torch.tensor([-1.0, 0.0]))]
    routers = {"uneven": FixedRouter(fractions=(0.75, 0.25)), "even": FixedRouter(fractions=(0.5, 0.5))}
    draws = SampleDraws(seed=0, index=torch.arange(4))
    rows = along_mixture(routers, experts, Cosine(), draws, (2,), [1.0, 0.5, 0.1], lambda done: None)
    assert [(row.router, row.t) for row in rows] == [(name, t) for t in (1.0, 0.5, 0.1) for name in routers]
    # The difference of the experts is (2, 1): a (1 - a) times its square, per coordinate.
    for row in rows:
        likeliest = 0.75 if row.router == "uneven" else 0.5
        assert row.disagreement == pytest.approx(likeliest * (1 - likeliest) * 5 / 2)
        assert row.shares == pytest.approx((likeliest, 1.0))
        assert row.errors == pytest.approx(((1 - likeliest) ** 2 * 5 / 2, 0.0))
        assert row.imbalance == pytest.approx((1 - likeliest, 0.0))


def test_the_likeliest_of_each_point_may_keep_the_balance() -> None:
    a = torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    assert truncated(a, 1).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    row = row_of("a", 0.5, a, torch.zeros(2, 2, 3))
    assert row.shares == pytest.approx((0.6, 1.0))
    assert (row.imbalance[0], row.disagreement) == (0.0, 0.0)
    kept = truncated(torch.tensor([[0.5, 0.3, 0.2]]), 2)
    torch.testing.assert_close(kept, torch.tensor([[0.625, 0.375, 0.0]]))


def test_exact_gaussian_experts_have_the_known_denoising_losses() -> None:
    # x_0 ~ N(mu_j, s_j^2) in one dimension, many items: expert k's error on shard j has a closed form.
    mu, s, n, t = np.array([-1.0, 2.0]), np.array([0.5, 1.5]), 40_000, 0.4
    rng = np.random.default_rng(0)
    x_0 = torch.from_numpy(np.concatenate([m + d * rng.standard_normal((n, 1)) for m, d in zip(mu, s, strict=True)]))
    items = LabelledItems(
        x_0=x_0, shard=torch.tensor([0, 1]).repeat_interleave(n), weight=torch.full((2 * n,), 0.5 / n).double()
    )
    laws = [
        GaussianLaw(weights=np.ones(1), means=np.array([[m]]), covariances=np.array([[[d * d]]]))
        for m, d in zip(mu, s, strict=True)
    ]
    experts = [gaussian_expert(law, Cosine()) for law in laws]
    router = OracleRouter(experts=tuple(experts), fractions=(0.5, 0.5))
    [row], rules = alignment(items, experts, None, {"exact": router}, Cosine(), 0, [t], lambda done: None)
    alpha, sigma = np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)
    for k in range(2):
        gain = alpha * s[k] ** 2 / (alpha**2 * s[k] ** 2 + sigma**2)
        for j in range(2):
            # m_k - x_0 = (1 - gain alpha) (mu_k - x_0) + gain sigma eps.
            exact = (1 - gain * alpha) ** 2 * ((mu[k] - mu[j]) ** 2 + s[j] ** 2) + (gain * sigma) ** 2
            assert row.losses[k][j] == pytest.approx(exact, rel=0.03)
    losses = {rule.rule: rule.loss for rule in rules}
    assert losses[OWN] == pytest.approx((row.losses[0][0] + row.losses[1][1]) / 2)
    # Who knows the shard denoises best, and of who does not the exact mixture.
    assert losses[OWN] < losses[MIXTURE] < losses["top-1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scored, Path]:
    folder = tmp_path_factory.mktemp("run")
    return scored(VECTORS, folder), folder


def found_of(run: tuple[Scored, Path], progress: Bomb | None = None, **changed: object) -> Diagnostics | None:
    made, folder = run
    recipe = evolve(made.recipe, report=ReportOptions(**changed))  # type: ignore[arg-type]  # as the caller says
    return diagnose(recipe, made.shards, made.models, folder, progress or Silent())


def test_a_run_is_measured_once(run: tuple[Scored, Path]) -> None:
    first = found_of(run)
    assert first is not None
    # As many trajectories as samples, twice as many items, of three shards each.
    assert (first.points, first.items, len(first.flow), len(first.alignment)) == (8, 18, STEPS + 1, 8)
    assert {rule.rule for rule in first.rules} == {"own expert", "monolith", "mixture", "top-1", "top-2"}
    assert first.flow[-1].shares[0] > 0.9 > 0.6 > first.flow[0].shares[0]
    assert found_of(run, Bomb(fuse=0)) == first
    assert found_of(run, diagnostics=0) is None
    more = found_of(run, diagnostics=10)
    assert more is not None
    assert (more.points, more.items) == (10, 21)


def test_items_count_by_the_fraction_of_their_shard(run: tuple[Scored, Path]) -> None:
    shards = run[0].shards
    items = noisy_items(shards, 12, 0, torch.device("cpu"))
    assert torch.bincount(items.shard).tolist() == [4, 4, 4]
    sums = [float(items.weight[items.shard == k].sum()) for k in range(3)]
    assert sums == pytest.approx(shards.fractions)


def test_a_router_that_observes_is_taken_along_with_the_answers_of_all_experts(tmp_path: Path) -> None:
    made = scored(VECTORS, tmp_path, "routers.asked=experts")
    found = diagnose(made.recipe, made.shards, made.models, tmp_path, Silent())
    assert found is not None
    exact, asked = ([row for row in found.flow if row.router == name] for name in ("exact", "asked"))
    assert [row.t for row in exact] == [row.t for row in asked]
    # Both begin at the fractions, and exact experts' answers lead near the exact posterior.
    assert exact[0].shares == pytest.approx(asked[0].shares, abs=1e-5)
    assert exact[-1].shares[0] == pytest.approx(asked[-1].shares[0], abs=0.1)
    assert {rule.router for rule in found.rules} == {"", "exact"}
