"""Experts that are one network, from recipe to report: one job, one folder, in memory once, asked together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import define, evolve, field, frozen
from torch import Tensor
from whole_runs import TRAINED, Bomb, KilledError, recipe_of, results, run, snapshot

from mixvel_core.errors import ArtifactError, RecipeError, SamplingError, UsageError
from mixvel_core.federated.train import train_expert
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.more_samples import sample_run
from mixvel_core.pipeline.opened import open_run
from mixvel_core.pipeline.plan import plan
from mixvel_core.pipeline.shared_experts import StoredMember
from mixvel_core.protocols import Moments, NoiseSchedule
from mixvel_core.protocols.progress import Silent
from mixvel_core.sampling.dispatch import evaluate, group_of, members
from mixvel_core.sampling.snr_matched import all_snr_matched, snr_matched
from mixvel_core.training.log import read_losses
from mixvel_schedules.schedules import Cosine, Linear, Rectified

K = 3
SHARED = TRAINED.replace("monolith: {use: unet", "monolith: {use: unet, shared: true").replace(
    "expert: {use: unet", "expert: {use: unet, shared: true"
)
DRAWN = "routers.a.train_on=experts"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from data to report."""
    folder = tmp_path_factory.mktemp("shared")
    run(SHARED, folder)
    return folder


def test_one_job_one_folder_and_the_files_of_an_expert(whole: Path) -> None:
    assert [path.name for path in (whole / "experts").iterdir()] == ["shared"]
    about = json.loads((whole / "experts/shared/config.json").read_text())
    assert [one["index"] for one in about["experts"]] == [0, 1, 2]
    assert sum(one["fraction"] for one in about["experts"]) == pytest.approx(1.0)
    assert read_losses(whole / "experts/shared/losses.csv")["step"] == [1.0, 2.0, 4.0, 6.0]
    assert {"model.safetensors", "moments.safetensors", "config.json"} <= set(
        json.loads((whole / "experts/shared/done.json").read_text())["files"]
    )


def test_running_again_changes_nothing(whole: Path) -> None:
    before = snapshot(whole / "experts")
    run(SHARED, whole)
    assert snapshot(whole / "experts") == before


def test_each_expert_is_the_shards_own_and_knows_its_moments(whole: Path) -> None:
    finished = open_run(whole)
    parts, shards = finished.models.experts, finished.shards.parts
    assert len({part.key for part in parts}) == K
    x, t = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.linspace(0.2, 0.9, 4)
    assert isinstance(parts[0], StoredMember)
    together = parts[0].load_group()
    for k, (part, shard) in enumerate(zip(parts, shards, strict=True)):
        assert (part.config.index, part.config.count, part.config.fraction) == (k, shard.count, shard.fraction)
        clean = shard.items[:] if shard.items.dtype != np.uint8 else shard.items[:] / 127.5 - 1
        moments = part.moments()
        assert moments is not None
        np.testing.assert_allclose(moments.mean.numpy(), clean.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(moments.variance.numpy(), clean.var(axis=0), atol=1e-5)
        alone = part.load()
        assert torch.equal(alone.denoise(x, t), together.denoise(x, t, torch.full((4,), k)))
        assert alone.moments is not None
        assert torch.equal(alone.moments.mean, moments.mean)


def test_sampling_holds_the_network_once(whole: Path) -> None:
    finished = open_run(whole)
    experts = Loaded(finished.models, finished.recipe.sample).experts()
    assert len(experts) == K
    assert group_of(experts) is not None


@pytest.mark.parametrize("how", ["sample.resident_experts=1", "sample.channels_last=true"])
def test_room_and_layout_change_no_sample(whole: Path, tmp_path: Path, how: str) -> None:
    def drawn(out: Path, *overrides: str) -> Path:
        more = ("sample.count=5", "sample.seeds=[7]", *overrides)
        return sample_run(whole, more, router=None, monolith=False, out=out, progress=Silent())[0]

    with np.load(drawn(tmp_path / "plain")) as plain, np.load(drawn(tmp_path / "other", how)) as other:
        np.testing.assert_allclose(other["x"], plain["x"], atol=2e-4)
        assert np.array_equal(other["evaluations"], plain["evaluations"])
        assert np.array_equal(other["usage"], plain["usage"])


def test_stopped_and_gone_on_with_it_is_the_same_run(whole: Path, tmp_path: Path) -> None:
    stops = 0
    for fuse in range(5, 400, 6):
        try:
            run(SHARED, tmp_path, stage="experts", progress=Bomb(fuse=fuse))
        except KilledError:
            stops += 1
        else:
            break
    assert stops >= 1
    of_experts = {name: what for name, what in results(whole).items() if name.startswith("experts/")}
    assert {n: w for n, w in results(tmp_path).items() if n.startswith("experts/")} == of_experts


def test_the_monolith_is_the_one_of_a_run_without(whole: Path, tmp_path: Path) -> None:
    run(TRAINED, tmp_path, stage="monolith")
    assert results(tmp_path)["monolith/losses.csv"] == results(whole)["monolith/losses.csv"]


def test_a_damaged_network_is_made_again(whole: Path, tmp_path: Path) -> None:
    run(SHARED, tmp_path, stage="experts")
    before = (tmp_path / "experts/shared/model.safetensors").read_bytes()
    (tmp_path / "experts/shared/model.safetensors").write_bytes(before[:-40])
    with pytest.raises(ArtifactError, match=r"experts/shared/model\.safetensors: damaged"):
        open_run(tmp_path)
    run(SHARED, tmp_path, stage="experts")
    assert (tmp_path / "experts/shared/model.safetensors").read_bytes() == before


def test_routers_learn_from_samples_of_each_label(whole: Path, tmp_path: Path) -> None:
    run(SHARED, tmp_path, DRAWN, "routers.a.drawn={count: 12, steps: 2, integrator: ddim}", stage="routers")
    drawn = [np.load(path) for path in sorted((tmp_path / "router_data").glob("*/*/items.npy"))]
    assert len(drawn) == K
    assert sum(map(len, drawn)) == 12


def test_the_plan_has_one_job(tmp_path: Path, whole: Path) -> None:
    def row(folder: Path) -> str:
        return next(line for line in str(plan(recipe_of(SHARED), folder)).splitlines() if line.startswith("experts  "))

    assert "1 job of 6 steps, batch 8" in row(tmp_path / "none")
    assert row(tmp_path / "none").endswith("to do")
    assert row(whole).endswith("done")
    cost = "\n".join(plan(recipe_of(SHARED), tmp_path / "none").cost)
    assert "all items to one place" in cost
    assert "not known" not in cost


def test_one_expert_alone_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--expert 1: expert\.shared is true, one network is all experts") as refused:
        run(SHARED, tmp_path / "run", expert=1)
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_silos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^expert\.shared: one network for all shards needs all data in one place"):
        train_expert(recipe_of(SHARED), 0, tmp_path / "out", progress=Silent())
    assert not list(tmp_path.iterdir())


def test_a_mixture_of_experts_apart_cannot_share(tmp_path: Path) -> None:
    unet = "{use: unet, channels: [4, 8], shared: true}"
    with pytest.raises(RecipeError, match=r"experts\[1\]\.shared: one network is for all shards or for none"):
        recipe_of(TRAINED, f"expert={{use: per-shard, experts: [{unet.replace('true', 'false')}, {unet}]}}")


def test_a_config_of_something_else_is_refused(whole: Path, tmp_path: Path) -> None:
    stored = open_run(whole).models.experts[0]
    (tmp_path / "config.json").write_text('{"index": 0}')
    with pytest.raises(ArtifactError, match=r"config\.json: not of experts that share a network"):
        _ = evolve(stored, folder=tmp_path).config


@define(kw_only=True, eq=False)
class Linears:
    """A group whose member k answers (k + 1) x, and which counts how it is asked."""

    schedule: NoiseSchedule = field(factory=Cosine)
    asked: list[int] = field(factory=list)
    cut: int = 0
    mean: Tensor | None = None

    def moments(self, k: int) -> Moments | None:
        """Of shard k, where there is a mean."""
        return None if self.mean is None else Moments(mean=self.mean[k], variance=torch.ones_like(self.mean[k]))

    def denoise(self, x: Tensor, t: Tensor, k: Tensor) -> Tensor:
        """(k + 1) x."""
        self.asked.append(len(x))
        return ((k + 1).to(x)[:, None] * x)[self.cut :]


@frozen(kw_only=True)
class Apart:
    """The same members without a group, which asks them one by one."""

    k: int
    schedule: NoiseSchedule
    moments: None = None

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """(k + 1) x."""
        return (self.k + 1) * x


MASKS: dict[str, Callable[[int], Tensor]] = {
    "one each": lambda B: torch.nn.functional.one_hot(torch.arange(B) % K, K).bool(),
    "all": lambda B: torch.ones(B, K, dtype=torch.bool),
    "some": lambda B: torch.rand(B, K, generator=torch.Generator().manual_seed(3)) < 0.5,
    "none": lambda B: torch.zeros(B, K, dtype=torch.bool),
}


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("name", MASKS)
def test_together_or_one_by_one_the_answers_are_the_same(name: str, order: list[int]) -> None:
    x, mask = torch.randn(7, 2, dtype=torch.float64), MASKS[name](7)
    group = Linears()
    every = members(group, K)
    together = evaluate([every[k] for k in order], x, 0.5, mask)
    apart = evaluate([Apart(k=k, schedule=Cosine()) for k in order], x, 0.5, mask)
    assert torch.equal(together.sample, apart.sample)
    assert torch.equal(together.expert, apart.expert)
    assert torch.equal(together.m, apart.m)
    # As few forwards as there can be, none larger than the batch.
    pairs = int(mask.sum())
    assert group.asked == [7] * (pairs // 7) + [pairs % 7] * bool(pairs % 7)


def test_a_network_that_loses_rows_is_named() -> None:
    x = torch.randn(4, 2)
    with pytest.raises(
        SamplingError, match=r"one network returned shape \(3, 2\) for points of shape \(4, 2\) at t=0\.5"
    ):
        evaluate(members(Linears(cut=1), K), x, 0.5, MASKS["one each"](4))


def test_a_group_is_one_only_if_all_are_of_it() -> None:
    one, other = members(Linears(), K), members(Linears(), K)
    assert group_of(one) is one[0].group
    assert group_of([*one[:2], other[2]]) is None
    assert group_of([*one[:2], Apart(k=2, schedule=Cosine())]) is None
    assert group_of([]) is None


@pytest.mark.parametrize("own", [Linear(), Rectified()], ids=["linear", "rectified"])
@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_members_of_another_schedule_are_evaluated_together(own: NoiseSchedule, t: float) -> None:
    group = Linears(schedule=own, mean=torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]], dtype=torch.float64))
    x = torch.randn(5, 2, dtype=torch.float64)
    matched = all_snr_matched(members(group, K), Cosine())
    assert group_of(matched) is not None
    together = evaluate(matched, x, t, MASKS["all"](5))
    assert group.asked == [5] * K
    one_by_one = evaluate([snr_matched(expert, Cosine()) for expert in members(group, K)], x, t, MASKS["all"](5))
    torch.testing.assert_close(together.m, one_by_one.m)
