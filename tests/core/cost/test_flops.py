"""FLOPs with known answers: of networks and closed forms, and of what a sampler called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from report_runs import VECTORS, scored
from torch import Tensor, nn
from whole_runs import TRAINED, recipe_of, run

from mixvel_core.artifacts.files import read_json
from mixvel_core.cost.flops import ModelFlops, expert_flops, router_flops
from mixvel_core.cost.jobs import planned_jobs
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.pipeline.opened import open_run
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_oracles.denoisers import ItemsRouter
from mixvel_routers.fixed import FixedRouter
from mixvel_schedules.schedules import Cosine


class TwoLayers(nn.Module):
    """A 3x3 convolution from 2 to 5 channels, and one back."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.SiLU(), nn.Conv2d(5, 2, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer


def test_a_convolutions_flops_are_two_for_each_of_its_products() -> None:
    expert = NetworkDenoiser(schedule=Cosine(), network=TwoLayers(), prediction="v", clip=False, moments=None)
    # 6 x 4 pixels, 9 places in the kernel, 2 x 5 pairs of channels, two layers.
    assert expert_flops(expert, (2, 6, 4)) == 2 * (6 * 4 * 9 * 2 * 5) * 2


def test_the_exact_posterior_costs_one_product_with_every_item_and_a_fixed_router_nothing() -> None:
    items = np.random.default_rng(0).standard_normal((30, 7)).astype(np.float32)
    router = ItemsRouter(schedule=Cosine(), engine=PosteriorEngine(shards=(items[:10], items[10:])), bandwidth=0.0)
    # An item's squared norm is one more column of the product.
    assert router_flops(router, (7,)) == 2 * 30 * (7 + 1)
    assert router_flops(FixedRouter(fractions=(0.5, 0.5)), (7,)) == 0


FLOPS = ModelFlops(experts=(10, 20), monolith=7, routers={"a": 3})


def test_a_samples_flops_are_those_of_its_calls() -> None:
    # Two calls: expert 0 for three samples of four and expert 1 for one, then both for all.
    usage = np.array([[0.75, 0.25], [1.0, 1.0]], np.float32)
    of_calls = 0.75 * 10 + 0.25 * 20 + 30 + 2 * 3
    assert FLOPS.of_usage(usage, 3.0, "a") == pytest.approx(of_calls)
    # Two more evaluations, those of a router that observes.
    assert FLOPS.of_usage(usage, 5.0, "a") == pytest.approx(of_calls + 2 * 15)
    assert FLOPS.of_usage(np.ones((4, 1), np.float32), 4.0, None) == pytest.approx(4 * 7)
    assert FLOPS.share("a") == 0.2
    assert ModelFlops(experts=(0, 0), monolith=None, routers={"a": 3}).share("a") is None


def test_the_flops_of_a_run_are_those_that_its_plan_counted(tmp_path: Path) -> None:
    run(TRAINED, tmp_path, stage="evaluate")
    found = read_json(tmp_path / "cost/flops.json")
    assert len(found.pop("models")) == 5
    planned = {
        job.group: job.network for job in planned_jobs(recipe_of(TRAINED), tmp_path, open_run(tmp_path).shards.parts)
    }
    each = {group: network.forward for group, network in planned.items() if network is not None}
    assert found == {"experts": [each["experts"]] * 3, "monolith": each["monolith"], "routers": {"a": each["router a"]}}
    scores = read_json(tmp_path / "scores.json")
    flops = {row["method"]: row["flops"] for row in scores["rows"]}
    # Two steps; the mixture evaluates three experts.
    assert flops["alone"] == pytest.approx(2 * each["monolith"])
    assert flops["drawn"] == pytest.approx(2 * (each["experts"] + each["router a"]))
    assert flops["mixed"] == pytest.approx(2 * (3 * each["experts"] + each["router a"]))
    assert [row["method"] for row in scores["timings"]] == ["alone", "drawn", "mixed"]
    assert all(row["seconds"] > 0 and row["device"].startswith("cpu") for row in scores["timings"])


def test_counting_leaves_torch_as_it_was() -> None:
    before = torch.is_grad_enabled()
    router_flops(FixedRouter(fractions=(1.0,)), (2,))
    assert torch.is_grad_enabled() == before


def test_times_are_of_one_sample_and_the_median_of_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Eight samples in batches of 3, 3 and 2, which take 9, 3 and 1 seconds.
    clock = iter([0.0, 9.0, 0.0, 3.0, 0.0, 1.0] * 12)
    monkeypatch.setattr("mixvel_core.pipeline.parts.perf_counter", lambda: next(clock))
    found = scored(VECTORS, tmp_path, "sample.batch=3")
    times = [one.time for one in found.samples]
    assert [(time.seconds, time.each) for time in times] == [(13.0, 1.0)] * len(times)
