"""What a recipe costs: counts with known answers, and estimates beside what a run then takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from trainable import short, vectors
from whole_runs import EXACT, TRAINED, files, recipe_of, run

from mixvel_core.artifacts.files import write_json
from mixvel_core.cost.counting import Counts, Network
from mixvel_core.cost.jobs import MeasuredSpeed, PlannedJob, makespan, planned_jobs, rate_of, speed_at
from mixvel_core.cost.quantities import amount, duration
from mixvel_core.pipeline.plan import plan
from mixvel_core.protocols import Batch, ConditionSpec, NoiseSchedule
from mixvel_core.recipe.model import PlanOptions
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.options import TrainOptions
from mixvel_schedules.schedules import Cosine

THREE = "da: {use: da-network, ends: [0.3, 0.7], width: 8, depth: 1, train: {steps: 4, batch: 8, warmup: 1}}"


class Square(nn.Module):
    """A D x D matrix applied to points."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.matrix = nn.Linear(size, size, bias=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Of all rows."""
        answer: Tensor = self.matrix(x)
        return answer


@frozen
class SquareObjective:
    network: nn.Module

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        raise AssertionError("a count trains nothing")


@frozen(kw_only=True, eq=False)
class SquareTask:
    """``reads``: whether its loss looks at the data when it is made, which no meta device can."""

    reads: bool = False
    items: np.ndarray = field(factory=vectors)
    shards: None = None
    schedule: NoiseSchedule = field(factory=Cosine)
    options: TrainOptions = field(factory=short)

    def objective(self, seed: int) -> SquareObjective:
        if self.reads:
            float(torch.ones(3).sum())
        return SquareObjective(Square(5))


@pytest.mark.parametrize("reads", [False, True])
def test_a_matrix_costs_two_flops_a_number_and_its_gradient_as_many(reads: bool) -> None:
    assert Counts(shape=(5,)).of(SquareTask(reads=reads)) == Network(parameters=25, forward=50, training=100)


def test_a_network_of_another_kind_is_not_counted() -> None:
    assert Counts(shape=(4,)).of(SquareTask()) is None


def test_experts_of_several_designs_are_planned_and_counted_each_by_its_own(tmp_path: Path) -> None:
    small = re.findall(r"^expert: (.*)$", TRAINED, re.MULTILINE)[0]
    # The same training, and another network.
    large = small.replace("[4, 8]", "[8, 16]")
    mixed = f"{{use: per-shard, experts: [{small}, {large}, empirical]}}"
    text = str(plan(recipe_of(TRAINED.replace(f"expert: {small}", f"expert: {mixed}")), tmp_path))
    [row] = re.findall(r"^experts .*$", text, re.MULTILINE)
    assert "2 jobs of 6 steps, batch 8, 1 with nothing to train" in row
    parameters = dict(re.findall(r"^(expert-\d) +48 +([\d.]+) k ", text, re.MULTILINE))
    assert list(parameters) == ["expert-0", "expert-1"]
    assert float(parameters["expert-1"]) > 3 * float(parameters["expert-0"])


def test_a_design_is_counted_once_however_it_is_trained() -> None:
    counts = Counts(shape=(5,))
    assert counts.of(SquareTask()) is counts.of(SquareTask(options=short(steps=9)))


def test_a_unet_counts_as_it_does_with_weights() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    family = recipe_of(TRAINED).expert.build()
    task = family.task(MemoryShard(items=np.zeros((2, 1, 8, 8), np.float32)), Cosine())
    assert task is not None
    network = task.objective(0).network
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 8, 8), torch.zeros(1)).sum().backward()
    found = Counts(shape=(1, 8, 8)).of(task)
    assert found is not None
    assert found.training == counter.get_total_flops() > 2.5 * found.forward > 0
    assert found.parameters == sum(p.numel() for p in network.parameters())


def test_a_unet_of_classes_and_numbers_is_counted_with_what_reads_them() -> None:
    family = recipe_of(TRAINED).expert.build()
    items = np.zeros((2, 1, 8, 8), np.float32)
    specs = (ConditionSpec(name="class", classes=3), ConditionSpec(name="place", shape=(2,)))
    found = {}
    for count in range(3):
        task = family.task(MemoryShard(items=items, conditions=specs[:count]), Cosine())
        assert task is not None
        found[count] = Counts(shape=(1, 8, 8)).of(task)
    plain, classes, both = found[0], found[1], found[2]
    assert plain is not None
    assert classes is not None
    assert both is not None
    # A vector for each class and for none, four times as wide as the first level; looking one up is no product.
    assert classes == evolve(plain, parameters=plain.parameters + 4 * 16)
    assert (both.parameters, both.forward) == (classes.parameters + 2 * 16, classes.forward + 2 * 2 * 16)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=12), st.integers(1, 8))
def test_the_longest_first_is_between_the_bounds(seconds: list[float], at_once: int) -> None:
    found = makespan(seconds, at_once)
    assert found >= max(max(seconds), sum(seconds) / at_once) * (1 - 1e-9)
    assert found <= (sum(seconds) / at_once + max(seconds)) * (1 + 1e-9)
    if at_once == 1:
        assert found == pytest.approx(sum(seconds))


def job(name: str, training: int, speed: MeasuredSpeed | None = None, group: str = "experts") -> PlannedJob:
    network = Network(parameters=1, forward=training // 3, training=training)
    return PlannedJob(name=name, group=group, steps=10, batch=4, keep=2, network=network, speed=speed)


def test_what_is_measured_comes_before_what_is_stated_and_flops_last() -> None:
    own = job("expert-0", 300, MeasuredSpeed(images_per_second=8.0, workers=2, device="cpu"))
    like, other = job("expert-1", 300), job("router-a", 600, group="router a")
    jobs, options = [own, like, other], PlanOptions(peak_teraflops=3e-9, utilisation=0.5)
    found = [rate_of(one, jobs, options) for one in jobs]
    assert [(r.images_per_second, r.source) for r in found if r] == [
        (4.0, "measured"),
        (4.0, "measured on one like it"),
        (0.5 * 3e3 / 600, "FLOPs"),
    ]
    stated = rate_of(other, jobs, evolve(options, images_per_second=7.0))
    assert stated is not None
    assert (stated.images_per_second, stated.source) == (3.5, "stated")
    assert rate_of(evolve(other, network=None), jobs, options) is None
    # No device is guessed.
    assert rate_of(other, jobs, PlanOptions()) is None


def test_amounts_and_durations() -> None:
    assert [amount(v) for v in (0, 999, 999.9, 12345, 2e9, 0.5)] == ["0", "999", "1 k", "12.3 k", "2 G", "0.5"]
    assert [amount(v, "B") for v in (999, 12345)] == ["999 B", "12.3 kB"]
    assert [duration(s) for s in (0, 5e-5, 0.0031, 0.9999, 1)] == ["0 s", "50 µs", "3.1 ms", "1 s", "1 s"]
    assert [duration(s) for s in (12, 120, 7200, 3.6e6 * 5, 3.6e9 * 2)] == ["12 s", "2 min", "2 h", "5,000 h", "2 M h"]


def test_a_router_of_three_networks_is_three_jobs(tmp_path: Path) -> None:
    text = EXACT.replace("prior: fixed", f"prior: fixed, {THREE}")
    lines = str(plan(recipe_of(text), tmp_path)).splitlines()
    [row] = [line for line in lines if line.startswith("router da")]
    assert "3 jobs of 4 steps, batch 8" in row
    [row] = [line for line in lines if line.startswith("3: router-da-interval-0 to router-da-interval-2")]
    assert "32 " in row
    assert any(line.startswith("in all      3 jobs of 1 worker, 96 images") for line in lines)


def test_closed_forms_train_nothing_and_say_so(tmp_path: Path) -> None:
    text = str(plan(recipe_of(EXACT), tmp_path))
    assert "images each" not in text
    # Eight samples of 2 + 3 steps by four methods, one of which takes two evaluations; three experts but for the first.
    fewest, most = 8 * 5 * (1 + 2 + 1 + 1), 8 * 5 * (1 + 3 * 2 + 3 + 3)
    assert f"sampling    {fewest} to {most} evaluations of an expert" in text


def test_the_estimate_beside_what_the_run_takes(tmp_path: Path) -> None:
    recipe = recipe_of(TRAINED)
    assert "not measured" in str(plan(recipe, tmp_path / "run"))
    assert "312 TFLOP/s" in str(plan(recipe_of(TRAINED, "plan.peak_teraflops=312"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    run(TRAINED, tmp_path / "run", stage="sample")
    assert "of cpu" in str(plan(recipe, tmp_path / "run"))
    shards = [MemoryShard(items=np.zeros((2, 1, 8, 8)), index=k) for k in range(3)]
    sizes = {name: path.stat().st_size for name, path in files(tmp_path / "run").items()}
    for one in planned_jobs(recipe, tmp_path / "run", shards):
        assert one.network is not None
        home = {"experts": f"experts/{one.name[-1]}", "monolith": "monolith"}.get(one.group, "routers/a")
        for ending, bytes_each in (("model.safetensors", 4), ("6.safetensors", 16)):
            [size] = [size for name, size in sizes.items() if name.startswith(home) and name.endswith(ending)]
            # Headers and names are a few hundred bytes a tensor, which is much of so small a network.
            assert bytes_each * one.network.parameters < size < 1.7 * bytes_each * one.network.parameters


def test_a_damaged_speed_is_no_speed(tmp_path: Path) -> None:
    assert speed_at(tmp_path) is None
    write_json(tmp_path / "speed.json", {"images_per_second": 10, "workers": 2, "device": "cpu"})
    assert speed_at(tmp_path) == MeasuredSpeed(images_per_second=10, workers=2, device="cpu")
    damaged: list[object] = [{}, [], {"images_per_second": "fast", "workers": 1, "device": "cpu"}]
    for bad in damaged:
        write_json(tmp_path / "speed.json", bad)
        assert speed_at(tmp_path) is None


def test_routers_of_two_networks_at_a_step_cost_twice_as_much(tmp_path: Path) -> None:
    router = "{use: da-network, width: 8, depth: 1, correct: %s, train: {steps: 4, batch: 8, warmup: 1}}"

    def of_routers(correct: str) -> float:
        recipe = recipe_of(TRAINED, f"routers={{a: {router % correct}}}")
        said = " ".join(str(plan(recipe, tmp_path)).split())
        [(found, unit)] = re.findall(r"of which routers ([\d.]+) ([kMG])FLOP", said)
        return float(found) * {"k": 1e3, "M": 1e6, "G": 1e9}[unit]

    assert of_routers("network") == pytest.approx(2 * of_routers("own"), rel=0.05)
