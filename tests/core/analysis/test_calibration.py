from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from report_runs import VECTORS, scored
from torch import Tensor

from mixvel_core.analysis import calibration as stage
from mixvel_core.analysis.calibration import BUCKETS, HALF, LEAST, STEPS, calibrate, calibration, measure
from mixvel_core.field.posterior import PosteriorAnswer, PosteriorEngine
from mixvel_core.pipeline.models import model_stages
from mixvel_core.protocols import Router, SchedulePoint
from mixvel_oracles.denoisers import ItemsRouter
from mixvel_routers.fixed import FixedRouter
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
    found = measure(routers, Cosine(), exact, items, 0, 128, torch.device("cpu"))
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
    measure({"prior": FixedRouter(fractions=(0.3, 0.6, 0.1))}, Cosine(), exact, items, 0, 4, torch.device("cpu"))
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

    def refuse(*arguments: Any) -> None:
        calls.append(arguments)
        raise RuntimeError

    monkeypatch.setattr(stage, "measure", refuse)
    assert calibrate(models.routers, run.recipe.schedule, run.shards, 0, tmp_path) == first
    renamed = {name: evolve(router, key="other") for name, router in models.routers.items()}
    with pytest.raises(RuntimeError):
        calibrate(renamed, run.recipe.schedule, run.shards, 0, tmp_path)
    assert len(calls) == 1
