"""Experts by import path, azula's denoisers, Paris-style folders, and families mixed in one recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from whole_runs import EXACT, recipe_of, run

from mixvel_core.errors import DataError, RecipeError, SamplingError
from mixvel_core.protocols import ExpertConfig, ExpertFamily, RouterConfig
from mixvel_core.recipe.build import build
from mixvel_core.sampling.snr_matched import snr_matched
from mixvel_core.testing.problems import MemoryShard
from mixvel_foreign.examples import Denoiser, Shrink
from mixvel_foreign.user_networks import TimeConvention
from mixvel_schedules.schedules import Cosine, Linear, Rectified

AZULA = "mixvel_foreign.examples:Denoiser"
SHARD = MemoryShard(items=np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32))
CONFIG = ExpertConfig(index=0, count=9, fraction=1.0, shape=(4,))


class Flow(nn.Module):
    """The flow prediction of standard normal data on the rectified path, from T t: exact."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        t = (time / 1000)[:, None]
        return (2 * t - 1) / ((1 - t) ** 2 + t**2) * x


def broken(x: Tensor, t: Tensor) -> Tensor:
    raise KeyError("lost")


def made(what: str) -> Any:
    return {"broken": broken, "nothing": lambda x, t: None, "number": 3}[what]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("users_own")
    module.Flow, module.made, module.Shrink = Flow, made, Shrink  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "users_own", module)
    monkeypatch.setenv("MIXVEL_TRUST", "users_own, nowhere_at_all")


def loaded(family: ExpertFamily, index: int = 0) -> Any:
    shard = MemoryShard(items=SHARD.items, index=index)
    config = ExpertConfig(index=index, count=9, fraction=1.0, shape=(4,))
    assert family.task(shard, Cosine()) is None
    return family.load(config, family.tensors(shard, None), Cosine())


def test_a_module_with_its_own_schedule_time_and_prediction_is_an_exact_expert_of_any_sampler() -> None:
    options = {"module": "users_own:Flow", "prediction": "flow", "schedule": "rectified", "time": "scaled"}
    expert = loaded(build("expert", "torch-module", options))
    assert expert.schedule == Rectified()
    x, t = torch.randn(20, 4), torch.linspace(0.02, 0.98, 20)
    p = Cosine().at(t)
    # Standard normal data: m = alpha x / (alpha^2 + sigma^2), and a VP path has alpha^2 + sigma^2 = 1.
    torch.testing.assert_close(snr_matched(expert, Cosine()).denoise(x, t), p.alpha[:, None] * x, rtol=1e-4, atol=1e-5)


def test_networks_get_the_time_they_were_trained_with() -> None:
    t = torch.tensor([0.0, 0.001, 0.5004, 1.0])
    for time, rounded, wanted in (
        ("unit", False, t.tolist()),
        ("scaled", False, [0.0, 1.0, 500.4, 1000.0]),
        ("entries", False, [0.0, 0.0, 499.4, 999.0]),
        ("entries", True, [0.0, 0.0, 499.0, 999.0]),
    ):
        found = TimeConvention(time=time, length=1000, rounded=rounded)(t)  # type: ignore[arg-type]  # the values above
        assert found.tolist() == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_a_module_of_a_recipe_with_data_at_time_one(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Flow()
    turned = {"Turned": lambda: lambda x, time: -flow(x, 1000.0 - time)}
    monkeypatch.setitem(sys.modules, "users_own", SimpleNamespace(**turned))
    options = {"module": "users_own:Turned", "prediction": "flow", "schedule": "rectified", "time": "scaled"}
    expert = loaded(build("expert", "torch-module", {**options, "reversed_time": True}))
    x, t = torch.randn(20, 4), torch.linspace(0.02, 0.98, 20)
    wanted = ((1 - t) / ((1 - t) ** 2 + t**2))[:, None] * x
    torch.testing.assert_close(expert.denoise(x, t), wanted, rtol=1e-4, atol=1e-5)


def test_weights_beside_a_module_are_checked_and_found_by_shard(tmp_path: Path) -> None:
    for k in range(2):
        save_file({"strength": torch.tensor(0.5 + k)}, tmp_path / f"{k}.safetensors")
    options = {"module": "users_own:Shrink", "prediction": "x0", "weights": str(tmp_path / "{k}.safetensors")}
    family = build("expert", "torch-module", options)
    x, t = torch.ones(1, 4), torch.tensor([0.5])
    assert [float(loaded(family, k).denoise(x, t)[0, 0]) for k in range(2)] == [0.25, 0.75]
    with pytest.raises(DataError, match=r"2\.safetensors: no such file or folder"):
        loaded(family, 2)
    with pytest.raises(RecipeError, match="is a path for each shard"):
        loaded(family, -1)
    save_file({"strength": torch.ones(2)}, tmp_path / "0.safetensors")
    with pytest.raises(DataError, match=r"strength has shape \(2,\) where the network has \(\)"):
        loaded(family, 0)
    save_file({"strength": torch.tensor(torch.nan)}, tmp_path / "0.safetensors")
    with pytest.raises(DataError, match="strength is not finite"):
        loaded(family, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"module": "nowhere_at_all:x"}, "no module nowhere_at_all; install it, or run with PYTHONPATH"),
        ({"module": "users_own:Missing"}, "users_own has no Missing"),
        ({"module": "users_own:Shrink", "arguments": {"colour": 1}}, "raised TypeError"),
        ({"module": "users_own:made", "arguments": {"what": "number"}}, "made a int, which cannot be called"),
        ({"module": "users_own:made", "arguments": {"what": "broken"}, "weights": "w"}, "made no nn.Module"),
    ],
)
def test_a_module_that_cannot_be_had_is_a_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded(build("expert", "torch-module", {"prediction": "x0", **options}))
    assert words in str(caught.value)


@pytest.mark.parametrize(("what", "words"), [("broken", "raised KeyError"), ("nothing", "returned a NoneType")])
def test_a_module_that_fails_while_sampling_is_named(what: str, words: str) -> None:
    options = {"module": "users_own:made", "arguments": {"what": what}, "prediction": "x0"}
    expert = loaded(build("expert", "torch-module", options))
    with pytest.raises(SamplingError, match=rf"expert 0, users_own:made, {words}"):
        expert.denoise(torch.ones(2, 4), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("path", ["os.path", "a:b:c", "a b:c", ":x"])
def test_an_import_path_has_a_form(path: str) -> None:
    with pytest.raises(RecipeError, match="must be an import path"):
        build("expert", "torch-module", {"module": path, "prediction": "x0"})


def test_an_azula_denoiser_brings_its_own_schedule() -> None:
    """Variance exploding from 1e-3 to 1e3: neither clean at t = 0 nor of any variance preserving scale."""
    expert = loaded(build("expert", "azula", {"module": AZULA}))
    x, t = torch.randn(20, 4), torch.linspace(0.0, 0.99, 20)
    with torch.inference_mode():
        got = snr_matched(expert, Cosine()).denoise(x, t)
    torch.testing.assert_close(got, Cosine().at(t).alpha[:, None] * x, rtol=1e-3, atol=2e-3)
    p = expert.schedule.at(torch.tensor([0.3, 0.6], dtype=torch.float64))
    rate = torch.tensor(1e6, dtype=torch.float64).log()
    torch.testing.assert_close(p.d_sigma, rate * p.sigma)
    assert p.d_alpha.tolist() == p.dd_alpha.tolist() == [0.0, 0.0]


def test_what_is_no_azula_denoiser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="has no schedule"):
        loaded(build("expert", "azula", {"module": "users_own:Shrink"}))
    monkeypatch.setattr(Denoiser, "schedule", lambda self, t: (torch.ones_like(t), 1.0 - t))
    with pytest.raises(RecipeError, match="does not fall with t"):
        loaded(build("expert", "azula", {"module": AZULA}))


def test_azula_itself(tmp_path: Path) -> None:
    azula = pytest.importorskip("azula.denoise")
    noise = pytest.importorskip("azula.noise")

    class Network(nn.Module):
        def forward(self, x: Tensor, t: Tensor, **_: Any) -> Tensor:
            return torch.zeros_like(x)

    module = sys.modules["users_own"]
    module.karras = lambda: azula.KarrasDenoiser(Network(), noise.VPSchedule())  # type: ignore[attr-defined]  # as above
    expert = loaded(build("expert", "azula", {"module": "users_own:karras"}))
    x, t = torch.randn(8, 4), torch.linspace(0.1, 0.9, 8)
    wanted = azula.KarrasDenoiser(Network(), noise.VPSchedule())(x, t).mean
    torch.testing.assert_close(expert.denoise(x, t), wanted)


def paris(folder: Path, experts: int = 3) -> None:
    for k in range(experts):
        (folder / f"expert_{k}").mkdir(parents=True)
        save_file({"strength": torch.tensor(1.0 - 0.1 * k)}, folder / f"expert_{k}" / "any_name.safetensors")
    (folder / "router").mkdir()
    save_file({"bias": torch.tensor([0.2, 0.3, 0.5]).log()}, folder / "router" / "model.safetensors")


def test_a_paris_style_folder_gives_experts_and_router(tmp_path: Path) -> None:
    paris(tmp_path)
    options = {"path": str(tmp_path), "module": "users_own:Shrink", "prediction": "x0", "schedule": "vp-linear"}
    family = build("expert", "paris", options)
    x, t = torch.ones(2, 4), torch.tensor([0.5, 0.5])
    assert [float(loaded(family, k).denoise(x, t)[0, 0]) for k in range(3)] == pytest.approx([0.5, 0.45, 0.4])
    assert loaded(family).schedule == Linear()
    made = build("router", "paris", {"path": str(tmp_path), "module": "mixvel_foreign.examples:Logits"})
    assert not made.tasks([SHARD], Cosine())
    tensors = made.tensors([SHARD], {})
    router = made.load(RouterConfig(fractions=(0.3, 0.3, 0.4), shape=(4,)), tensors, Cosine())
    a, _ = router.weights(x, t, router.start(x, t))
    torch.testing.assert_close(a, torch.tensor([[0.2, 0.3, 0.5]]).expand(2, 3))
    two = made.load(RouterConfig(fractions=(0.5, 0.5), shape=(4,)), tensors, Cosine())
    with pytest.raises(SamplingError, match=r"logits of shape \(2, 3\) for 2 experts"):
        two.weights(x, t, None)


def test_a_router_of_another_schedule_is_asked_at_its_own_time(tmp_path: Path) -> None:
    paris(tmp_path)
    seen: list[tuple[Tensor, Tensor]] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            seen.append((x, t))
            return self.bias.expand(len(x), -1)

    sys.modules["users_own"].Watching = Watching  # type: ignore[attr-defined]  # as above
    options = {"path": str(tmp_path), "module": "users_own:Watching", "schedule": "rectified"}
    made = build("router", "paris", options)
    router = made.load(RouterConfig(fractions=(0.3, 0.3, 0.4), shape=(4,)), made.tensors([SHARD], {}), Cosine())
    x, t = torch.ones(1, 4), torch.tensor([0.5])
    router.weights(x, t, None)
    # Equal parts of data and noise: t = 1/2 on both, and the rectified point is shorter by the root of two.
    torch.testing.assert_close(seen[0][1], torch.tensor([0.5]))
    torch.testing.assert_close(seen[0][0], x * 0.5**0.5)


FLOW = 'use: torch-module, module: "users_own:Flow", prediction: flow, schedule: rectified, time: scaled'
MIXED = [
    f'expert={{use: per-shard, experts: [gaussian-mixture, {{{FLOW}}}, {{use: azula, module: "{AZULA}"}}]}}',
    "sample.methods={mixed: {}, cached: {selector: cached}}",
    "sample.steps=[3]",
]


def test_families_schedules_and_predictions_mix_in_one_recipe(tmp_path: Path) -> None:
    run(EXACT, tmp_path / "run", *MIXED)
    with np.load(next((tmp_path / "run" / "samples" / "mixed").glob("*.npz"))) as arrays:
        assert np.isfinite(arrays["x"]).all()
        assert arrays["evaluations"].tolist() == [9] * 8
    assert (tmp_path / "run" / "report" / "index.html").exists()


def test_a_shard_without_an_expert_is_refused() -> None:
    recipe = recipe_of(EXACT, *MIXED)
    family = recipe.expert.build()
    for index, which in ((3, "shard 3"), (-1, "the monolith")):
        with pytest.raises(RecipeError, match=f"3 experts, and none of them is for {which}"):
            family.task(MemoryShard(items=SHARD.items, index=index), Cosine())


def test_problems_inside_a_nested_plugin_have_their_place() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_of(EXACT, MIXED[0].replace("time: scaled", "time: scald").replace("rectified", "rectifid"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert any("expert.experts.1.time" in line and "did you mean scaled?" in line for line in lines)
    assert any("expert.experts.1.schedule" in line and "did you mean rectified?" in line for line in lines)


def test_the_native_grid_asks_for_delta_zero() -> None:
    with pytest.raises(RecipeError, match="write `delta: 0`"):
        recipe_of(EXACT, *MIXED, "sample.grid=native")
    assert recipe_of(EXACT, *MIXED, "sample.grid=native", "sample.delta=0").sample.grid == "native"
