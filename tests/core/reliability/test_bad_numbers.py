"""Numbers at the ends of what there is: a result that means something, or one line; never a wrong result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from command import Command
from exact import Exact, exact
from torch import Tensor
from whole_runs import EXACT, TRAINED, recipe_of, run

from mixvel_core.artifacts.files import read_json
from mixvel_core.artifacts.tensors import read_checksummed
from mixvel_core.errors import RecipeError, SamplingError
from mixvel_core.pipeline import run as pipeline
from mixvel_core.sampling.weights import WeightTransform
from mixvel_integrators.integrators import DDIM
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.selectors import Mixture, TopK

EMPIRICAL = EXACT.replace("gaussian-mixture\n", "empirical\n")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are all the same, and a data set of two."""
    place = tmp_path_factory.mktemp("data")
    np.savez(place / "same.npz", items=np.full((12, 1, 8, 8), 0.5, np.float32), labels=np.repeat([0, 1, 2], 4))
    two = np.random.default_rng(0).uniform(-1, 1, (2, 1, 8, 8)).astype(np.float32)
    np.savez(place / "two.npz", items=two, labels=np.array([0, 1]))
    return place


def of(data: Path, name: str) -> str:
    return f"data={{use: numpy, path: {data / name}.npz, labels: labels, range: [-1, 1]}}"


def samples(run: Path) -> np.ndarray:
    found = []
    for path in sorted((run / "samples").rglob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            found.append(arrays["x"].ravel())
    return np.concatenate(found)


@pytest.mark.parametrize(
    "overrides",
    [
        ["sample.steps=[1]"],
        ["sample.steps=[1]", "sample.delta=0"],
        ["sample.delta=1.0e-12"],
        ["sample.delta=0.999999"],
        ["sample.grid=karras", "sample.delta=0"],
        ["sample.grid=logsnr", "sample.delta=0"],
        ["sample.grid=logsnr", "sample.delta=0.99"],
        ["sample.weights={temperature: 1.0e-300}"],
        ["sample.weights={temperature: 1.0e+300}"],
        ["sample.weights={floor: 0.999}"],
        ["sample.count=1"],
        ["data.components=1"],
        ["data={use: gaussian-mixture, components: 64, dimension: 2, count: 640}"],
        ["data.count=3"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_the_ends_of_every_range_give_finite_samples_and_scores(tmp_path: Path, overrides: list[str]) -> None:
    run(EXACT, tmp_path, *overrides, stage="evaluate")
    assert np.isfinite(samples(tmp_path)).all()
    assert all(np.isfinite(row["value"]) for row in read_json(tmp_path / "scores.json")["rows"])


@pytest.mark.parametrize("delta", ["1.0e-13", "1.0e-300", "-1.0e-9", "1.0"])
def test_a_time_that_no_number_can_hold_is_refused(delta: str) -> None:
    with pytest.raises(RecipeError, match=r"sample.delta  must be 0, or at least 1e-12 and below 1"):
        recipe_of(EXACT, f"sample.delta={delta}")


def test_of_images_that_are_all_the_same_every_expert_knows_the_one(data: Path, tmp_path: Path) -> None:
    # Of one point, DDIM's step to clean data is exact.
    run(EMPIRICAL, tmp_path, of(data, "same"), "sample.delta=0", "sample.methods={mixed: {}}", stage="evaluate")
    np.testing.assert_allclose(samples(tmp_path), 0.5, atol=1e-5)


def test_networks_train_on_images_that_are_all_the_same_and_in_batches_beyond_their_number(
    data: Path, tmp_path: Path
) -> None:
    run(TRAINED, tmp_path, of(data, "same"), "partition=labels", "expert.train.batch=40", expert=0)
    tensors, _ = read_checksummed(tmp_path / "experts/0/model.safetensors")
    assert all(bool(value.isfinite().all()) for value in tensors.values())
    assert float(tensors["variance"].abs().max()) < 1e-12


def test_one_item_is_a_shard_of_a_network(data: Path, tmp_path: Path) -> None:
    run(TRAINED, tmp_path, of(data, "two"), "partition=labels", stage="evaluate")
    assert np.isfinite(samples(tmp_path)).all()


def test_too_little_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 7.28 TiB")

    monkeypatch.setattr(pipeline, "run", full)
    (tmp_path / "r.yaml").write_text(EXACT)
    done = Command(monkeypatch=monkeypatch, capsys=capsys)("run", str(tmp_path / "r.yaml"), "--out", str(tmp_path))
    assert done.code == 4
    [line] = done.problems
    assert line.startswith("error: out of memory (Unable to allocate 7.28 TiB); take smaller sizes or batches")


@frozen(kw_only=True, eq=False)
class Says:
    """A router that says the same of every point."""

    row: tuple[float, ...]

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        return torch.tensor(self.row, dtype=x.dtype).expand(len(x), -1), None


@pytest.fixture(scope="module")
def problem() -> Exact:
    return exact(Cosine(), experts=4, dimension=3)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((0.0, 0.0, 0.0, 0.0), "weights whose sum is 0, not 1"),
        ((1e-320, 1e-320, 0.0, 0.0), r"weights whose sum is 2e-320, not 1"),
        ((0.5, 0.5, 0.5, 0.5), "weights whose sum is 2, not 1"),
        ((float("nan"), 1.0, 0.0, 0.0), "weights that are not finite"),
        ((float("inf"), 0.0, 0.0, 0.0), "weights that are not finite"),
    ],
)
@pytest.mark.parametrize("selector", [Mixture(), TopK(k=1)], ids=["mixture", "top1"])
def test_weights_that_are_none_are_refused(problem: Exact, row: tuple[float, ...], said: str, selector: object) -> None:
    sampler = evolve(problem.sampler(selector, DDIM(), 3, 0.05), router=Says(row=row))  # type: ignore[arg-type]  # parametrized
    with pytest.raises(SamplingError, match=f"the router returned {said}.* at t=1, evaluation 1 of the field"):
        sampler.sample(count=4, shape=(3,), dtype=torch.float64)


def test_weights_that_underflow_beside_others_are_nothing(problem: Exact) -> None:
    sampler = evolve(problem.sampler(Mixture(), DDIM(), 3, 0.05), router=Says(row=(1.0, 1e-320, 5e-324, 0.0)))
    alone = evolve(sampler, router=Says(row=(1.0, 0.0, 0.0, 0.0)))
    found, wanted = (one.sample(count=4, shape=(3,), dtype=torch.float64).x for one in (sampler, alone))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e-3])
def test_the_sharpest_temperature_takes_the_likeliest(temperature: float) -> None:
    a = torch.tensor([[0.2, 0.5, 0.3, 0.0], [0.0, 0.0, 1e-38, 1.0]])
    found = WeightTransform(temperature=temperature)(a, torch.zeros(2))
    assert torch.equal(found, torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]))
