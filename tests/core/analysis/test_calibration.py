from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from attrs import evolve
from classed_shards import classed_config, classed_shards
from report_runs import VECTORS, scored
from torch import Tensor

from mixvel_core.analysis import calibration_stage as stage
from mixvel_core.analysis.calibration import BUCKETS, LEAST, STEPS, calibration, measure
from mixvel_core.analysis.calibration_stage import calibrate
from mixvel_core.analysis.floor import HALF, HalfRouter, half_of_items
from mixvel_core.data.conditions import items_by_class
from mixvel_core.field.class_posterior import ClassPosterior
from mixvel_core.field.posterior import PosteriorAnswer, PosteriorEngine
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols import CLASS, Condition, Router, SchedulePoint
from mixvel_oracles.denoisers import ItemsRouter
from mixvel_routers.class_prior import class_prior
from mixvel_routers.fixed import FixedFamily, FixedRouter
from mixvel_routers.integrated import IntegratedRouter, RateAnswer
from mixvel_schedules.schedules import Cosine

EXACT = torch.tensor([[0.7, 0.3], [0.2, 0.8], [1.0, 0.0]])


def test_the_exact_posterior_is_calibrated() -> None:
    found = calibration(EXACT, EXACT)
    assert found.total_variation == 0
    assert found.calibration_error == 0
    assert found.cross_entropy == pytest.approx(found.entropy)
    assert found.count == 3


def test_known_distances() -> None:
    a = torch.tensor([[0.6, 0.4], [0.4, 0.6], [0.0, 1.0]])
    found = calibration(a, EXACT)
    assert found.total_variation == pytest.approx((0.1 + 0.2 + 1.0) / 3)
    # The first two share a bin, where 0.6 and 0.6 stand for 0.7 and 0.8; the third is sure and wrong.
    assert found.calibration_error == pytest.approx((0.3 + 1.0) / 3)
    entropies = [-(0.7 * np.log(0.6) + 0.3 * np.log(0.4)), -(0.2 * np.log(0.4) + 0.8 * np.log(0.6)), -np.log(LEAST)]
    assert found.cross_entropy == pytest.approx(np.mean(entropies))


def test_the_error_of_calibrated_weights_is_that_of_sampling_and_of_constant_ones_known() -> None:
    # Labels drawn from the weights: as one-hot truth they are right on average, bin by bin.
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.dirichlet(np.ones(3), 20_000))
    labels = (torch.from_numpy(rng.uniform(size=(20_000, 1))) > a.cumsum(1)).sum(1).clamp_max(2)
    truth = torch.nn.functional.one_hot(labels, 3).double()
    found = calibration(a, truth)
    # Ten bins, each off by at most half over the root of its points.
    assert found.calibration_error < 0.5 * (10 / 20_000) ** 0.5 * 2
    assert found.entropy == pytest.approx(0.0, abs=1e-9)
    # A router of weight 0.8 everywhere where its expert is right as often as 1 in 3 is off by the difference.
    constant = torch.tensor([[0.8, 0.1, 0.1]]).expand(20_000, 3)
    known = abs(0.8 - float(truth[:, 0].mean()))
    assert calibration(constant, truth).calibration_error == pytest.approx(known, abs=1e-6)


def engine() -> tuple[PosteriorEngine, np.ndarray]:
    rng = np.random.default_rng(0)
    parts = [rng.normal(c, 0.3, (n, 3)).astype(np.float32) for c, n in ((-1, 30), (0.5, 60), (1, 10))]
    return PosteriorEngine(shards=parts), np.concatenate(parts)


def test_exact_routers_are_right_and_the_prior_is_right_at_noise_alone() -> None:
    exact, items = engine()
    pi = (0.3, 0.6, 0.1)

    def rate(x: Tensor, t: Tensor) -> RateAnswer:
        answer = exact.at(x, Cosine().at(t.double()))
        return RateAnswer(log_rate=answer.rate() / answer.a.clamp_min(1e-30))

    routers: dict[str, Router] = {
        "exact": ItemsRouter(schedule=Cosine(), engine=exact, bandwidth=0.0),
        "integrated": IntegratedRouter(rate=rate, fractions=pi),
        "prior": FixedRouter(fractions=pi),
    }
    found = measure(routers, Cosine(), ClassPosterior(parts=(exact.shards,)), items, 0, 128, torch.device("cpu"))
    assert [r.points for r in found["exact"]] == ["noised"] * BUCKETS + ["flow"] * BUCKETS
    assert [r.points for r in found["integrated"]] == ["flow"] * BUCKETS
    assert max(r.total_variation for r in found["exact"]) < 1e-6
    prior = [r.total_variation for r in found["prior"]]
    assert prior[0] > 0.3 > 0.15 > prior[BUCKETS - 1]
    assert prior[BUCKETS] > 0.3 > 0.15 > prior[-1]
    integrated = [r.total_variation for r in found["integrated"]]
    # Trapezoids of length 1/24 are what is left.
    assert max(integrated) < 0.05
    assert max(integrated) < 0.3 * max(prior[BUCKETS:])
    assert all(r.low < r.high and r.count > 0 for rows in found.values() for r in rows)


def test_the_flow_takes_its_steps_and_none_beyond_the_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, items = engine()
    calls: list[bool] = []
    at = PosteriorEngine.at

    def counted(self: PosteriorEngine, x: Tensor, p: SchedulePoint, *, means: bool = True) -> PosteriorAnswer:
        # Without means it is no step's.
        calls.append(means)
        return at(self, x, p, means=means)

    monkeypatch.setattr(PosteriorEngine, "at", counted)
    posterior = ClassPosterior(parts=(exact.shards,))
    measure({"prior": FixedRouter(fractions=(0.3, 0.6, 0.1))}, Cosine(), posterior, items, 0, 4, torch.device("cpu"))
    assert calls == [False] * BUCKETS + [True] * STEPS + [False]


def test_what_is_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = scored(VECTORS, tmp_path)
    models = model_stages(run.recipe, tmp_path, run.shards).models
    first = calibrate(models.routers, run.recipe.schedule, run.shards, 0, tmp_path)
    assert {r.router for r in first} == {"exact", HALF}
    rows = json.loads(run.report(tmp_path).json_path.read_text(encoding="utf-8"))["calibration"]
    assert len(rows) == len(first) == 2 * 2 * BUCKETS
    # What half of the items does not show is more than nothing, and less than what the law would.
    halves = [r.total_variation for r in first if r.router == HALF]
    assert 0 < np.mean(halves) < 0.2
    assert calibrate({}, run.recipe.schedule, run.shards, 0, tmp_path) == ()
    calls: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        calls.append(arguments)
        raise RuntimeError

    monkeypatch.setattr(stage, "measure", refuse)
    assert calibrate(models.routers, run.recipe.schedule, run.shards, 0, tmp_path) == first
    renamed = {name: evolve(router, key="other") for name, router in models.routers.items()}
    with pytest.raises(RuntimeError):
        calibrate(renamed, run.recipe.schedule, run.shards, 0, tmp_path)
    assert len(calls) == 1


def test_by_class_routers_are_beside_the_posterior_of_their_class() -> None:
    """One that counts classes is right at noise alone; one that reads none is measured by its p(k | x) there."""
    shards = classed_shards([[30, 6], [4, 20]], dimension=3)
    labels = np.concatenate([shard.condition_values()[CLASS][:] for shard in shards])
    items = np.concatenate([shard.items[:] for shard in shards])
    posterior = ClassPosterior(parts=(*items_by_class(shards), [shard.items for shard in shards]))
    config = classed_config(shards)
    routers: dict[str, Router] = {
        "exact": HalfRouter(schedule=Cosine(), posterior=posterior),
        "shares": FixedFamily().load(config, {}, Cosine()),
        "unaware": FixedRouter(fractions=config.fractions),
        "integrated": IntegratedRouter(
            rate=lambda x, t, classes=None: RateAnswer(log_rate=x.new_zeros(len(x), 2)),
            fractions=config.fractions,
            by_class=class_prior(config),
        ),
    }
    done: list[int] = []
    found = measure(
        routers, Cosine(), posterior, items, 0, 80, torch.device("cpu"), (), done.append, conditions={CLASS: labels}
    )
    assert done == list(range(1, 2 * (BUCKETS + STEPS + 1) + 1))
    by_points = {
        name: {points: [r.total_variation for r in rows if r.points == points] for points in {r.points for r in rows}}
        for name, rows in found.items()
    }
    assert set(by_points["exact"]) == {"noised", "flow", "noised by class", "flow by class"}
    assert set(by_points["integrated"]) == {"flow", "flow by class"}
    assert max(max(values) for values in by_points["exact"].values()) < 1e-6
    for points in ("noised by class", "flow by class"):
        assert by_points["shares"][points][-1] < 0.7 * by_points["unaware"][points][-1]
    # Without a class both know as much.
    assert by_points["shares"]["noised"] == pytest.approx(by_points["unaware"]["noised"], abs=1e-6)
    assert by_points["integrated"]["flow by class"] == pytest.approx(by_points["shares"]["flow by class"], abs=1e-5)


def test_the_floor_by_class_is_the_posterior_of_half_of_each_cell() -> None:
    shards = classed_shards([[8, 5, 0], [1, 4, 6]], dimension=3)
    whole = Shards(key="k", parts=cast(Any, tuple(shards)), about={})
    half = half_of_items(whole, Cosine(), 0)
    assert [[len(items) for items in row] for row in half.posterior.parts] == [[4, 1], [2, 2], [0, 3], [6, 5]]
    for c, row in enumerate(half.posterior.parts[:3]):
        for k, items in enumerate(row):
            cell = shards[k].items[:][shards[k].condition_values()[CLASS][:] == c]
            assert all((cell == one).all(1).any() for one in items[:])
    assert half.null is not None
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    given = half.given(Condition(values={CLASS: torch.tensor([0, 1, 2, 3])}))
    a, _ = given.weights(x, torch.ones(4), None)
    wanted = torch.tensor([[8 / 9, 1 / 9], [5 / 9, 4 / 9], [0, 1], [13 / 24, 11 / 24]])
    torch.testing.assert_close(a, wanted, rtol=0, atol=1e-5)
