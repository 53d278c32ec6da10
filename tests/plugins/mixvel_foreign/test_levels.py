"""Pipeline folders with a network for each of two levels of noise: written by diffusers, sampled beside its loop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import Command
from diffusers import DiffusionPipeline, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler
from diffusers_folders import SCALE, dit, network, plain_scheduler
from pages import blocks
from torch import Tensor, nn
from whole_runs import run

from mixvel_core.errors import AbsentError, DataError, MixvelError, RecipeError
from mixvel_core.pipeline.opened import open_run
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Condition, Expert, ExpertConfig
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import resolve
from mixvel_core.recipe.text import parse
from mixvel_core.sampling.draws import SampleDraws
from mixvel_foreign.diffusers_family import DiffusersFamily
from mixvel_routers.closed_form_options import NoiseLevelsOptions
from mixvel_schedules.schedules import Cosine

STEPS = 10
CLASSES = 5
NULL = CLASSES
LABELS = torch.tensor([3, 0, 4])


def expert_of_pair(pair: DiffusersFamily, index: int) -> Expert:
    config = ExpertConfig(index=index, count=0, fraction=0.5, shape=(3, 8, 8))
    return pair.load(config, pair.tensors_without_items(index), Cosine())


class TwoLevels(DiffusionPipeline):  # type: ignore[misc]  # diffusers has no types
    """As Wan2.2's: the first network for timesteps from boundary_ratio on, the other below."""

    def __init__(
        self, transformer: nn.Module, transformer_2: nn.Module, scheduler: Any, boundary_ratio: float | None = None
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, transformer_2=transformer_2, scheduler=scheduler)
        self.register_to_config(boundary_ratio=boundary_ratio)


def networks() -> tuple[nn.Module, nn.Module]:
    """For much noise, and for little."""
    high, low = dit(num_embeds_ada_norm=CLASSES), dit(num_embeds_ada_norm=CLASSES)
    torch.manual_seed(9)
    with torch.no_grad():
        for parameter in low.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
        low.proj_out_2.weight *= SCALE
    return high, low


def save(folder: Path, scheduler: Any, ratio: Any = 0.6) -> Path:
    high, low = networks()
    TwoLevels(high, low, scheduler, ratio).save_pretrained(folder)
    return folder


RECIPE = """
name: levels
data: null
partition: null
schedule: {schedule}
expert: {{use: diffusers, path: '{folder}', condition: class}}
routers: {{levels: noise-levels}}
sample:
  count: 3
  steps: [10]
  selector: mixture
  integrator: ddim
  grid: {grid}
  delta: 0
  condition: [3, 0, 4]
  guidance: {{use: cfg-levels, scales: [3.0, 4.0]}}
  methods: {{mixed: {{}}}}
evaluate: {{metrics: [{{use: sliced-w2, projections: 8}}]}}
launcher: local
"""


def text(folder: Path, schedule: str = "", grid: str = "native") -> str:
    return RECIPE.format(folder=folder, schedule=schedule or f"{{use: diffusers, path: '{folder}'}}", grid=grid)


def recipe(folder: Path, *overrides: str, schedule: str = "") -> Recipe:
    return resolve(parse(text(folder, schedule), "levels.yaml"), overrides, load_registry())


def boundary(found: Recipe) -> float:
    options = found.routers["levels"].options
    assert isinstance(options, NoiseLevelsOptions)
    [t] = options.boundaries or ()
    assert found.sample.guidance is not None
    assert found.sample.guidance.options.boundaries == (t,)
    return t


@torch.no_grad()
def theirs(scheduler: Any, noise: Tensor, first: float, scales: Mapping[str, float]) -> tuple[Tensor, int]:
    """Their loop: at each timestep the network of its level, guided by its scale; and the steps of the first one."""
    high, low = networks()
    scheduler.set_timesteps(STEPS)
    x, taken = noise, 0
    for time in scheduler.timesteps:
        model, w = (high, scales["high"]) if time >= first else (low, scales["low"])
        taken += int(time >= first)
        rows = time.expand(len(x))
        given = model(x, rows, class_labels=LABELS).sample[:, :4]
        other = model(x, rows, class_labels=torch.full((3,), NULL)).sample[:, :4]
        x = scheduler.step(other + w * (given - other), time, x).prev_sample
    return x, taken


@pytest.mark.parametrize(
    ("scheduler", "ratio", "own"),
    [
        # 600 is one of its timesteps 900, 800, ...; it is answered by the first network.
        (plain_scheduler(prediction_type="v_prediction"), 0.6, 0.601),
        (FlowMatchEulerDiscreteScheduler(shift=3.0), 0.875, 0.875),
    ],
    ids=["ddim", "flow"],
)
def test_the_networks_change_where_theirs_do_each_with_its_scale(
    tmp_path: Path, scheduler: Any, ratio: float, own: float
) -> None:
    folder = save(tmp_path / "two", scheduler, ratio)
    assert boundary(recipe(folder)) == own
    run(text(folder), tmp_path / "run", stage="sample")
    for name in ("transformer", "transformer_2"):
        shutil.rmtree(folder / name)  # The run has a copy of both.
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    sampler = open_run(tmp_path / "run").sampler()
    draws = SampleDraws(seed=0, index=torch.arange(3))
    got, field = sampler.trajectory(noise, draws, condition=Condition(values={"class": LABELS}))
    wanted, first = theirs(scheduler, noise, ratio * 1000, {"low": 3.0, "high": 4.0})
    assert 0 < first < STEPS
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4)
    # At each step one network answers, with and without the class.
    assert field.evaluations.tolist() == [2 * STEPS] * 3
    other, _ = theirs(scheduler, noise, ratio * 1000 + 100, {"low": 3.0, "high": 4.0})
    assert float((other - wanted).abs().max()) > 0.01


def test_under_another_schedule_the_boundary_has_the_same_signal_to_noise_ratio(tmp_path: Path) -> None:
    flow = FlowMatchEulerDiscreteScheduler(shift=3.0)
    t = boundary(recipe(save(tmp_path / "two", flow, 0.75), "sample.grid=angle", schedule="vp-cosine"))
    p = Cosine().at(torch.tensor(t, dtype=torch.float64))
    assert float(p.sigma / p.alpha) == pytest.approx(0.75 / 0.25, rel=1e-6)


def spoiled(folder: Path, **changes: Any) -> Path:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))
    return folder


OPEN = "boundaries: left open, and the experts have none of their own; give the times"


@pytest.mark.parametrize(
    ("changes", "overrides", "error", "words"),
    [
        ({"boundary_ratio": None}, (), RecipeError, OPEN),
        ({"transformer_2": [None, None]}, (), RecipeError, OPEN),
        (
            {"boundary_ratio": 1.5},
            (),
            DataError,
            "model_index.json: boundary_ratio 1.5 is no number above 0 and below 1",
        ),
        ({"boundary_ratio": "half"}, (), DataError, "boundary_ratio 'half' is no number"),
        ({"boundary_ratio": True}, (), DataError, "boundary_ratio True is no number"),
        ({"boundary_ratio": 0.9995}, (), DataError, "leaves one of the networks no times"),
        (
            {},
            ("routers.levels={use: noise-levels, boundaries: [0.6]}",),
            RecipeError,
            "routers.levels  noise-levels: boundaries: [0.6], and those of the experts are [0.601]; leave them out",
        ),
        (
            {},
            ("sample.guidance.boundaries=[0.3, 0.6]", "sample.guidance.scales=[1, 2, 3]"),
            RecipeError,
            "sample.guidance  cfg-levels: boundaries: [0.3, 0.6], and those of the experts are [0.601]",
        ),
        ({}, ("sample.guidance.scales=[1, 2, 3]",), RecipeError, "1 boundaries part 2 levels, and there are 3 scales"),
        ({}, ("expert.path=nowhere",), AbsentError, "nowhere: no such folder"),
    ],
)
def test_boundaries_that_are_none_or_others_are_refused_in_a_line(
    tmp_path: Path, changes: dict[str, Any], overrides: tuple[str, ...], error: type[MixvelError], words: str
) -> None:
    folder = spoiled(save(tmp_path / "two", plain_scheduler()), **changes)
    with pytest.raises(error) as found:
        recipe(folder, *overrides)
    line, *more = str(found.value).splitlines()
    assert words in line
    # The router and the guidance lack the same.
    assert all(words in other for other in more)


def test_boundaries_of_a_recipe_stand_where_the_folder_has_none_or_the_same(tmp_path: Path) -> None:
    given = ("routers.levels={use: noise-levels, boundaries: [0.601]}", "sample.guidance.boundaries=[0.601]")
    folder = save(tmp_path / "two", plain_scheduler())
    assert boundary(recipe(folder, *given)) == 0.601
    assert boundary(recipe(spoiled(folder, boundary_ratio=None), *given)) == 0.601
    assert boundary(recipe(tmp_path / "gone", *given)) == 0.601


def test_edm_has_no_timesteps_to_count(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"boundary_ratio 0\.6 counts timesteps, and EDM has none"):
        recipe(save(tmp_path / "two", EDMEulerScheduler()))


def test_two_networks_are_two_experts_and_no_more(tmp_path: Path) -> None:
    folder = save(tmp_path / "two", plain_scheduler())
    two = DiffusersFamily(path=folder, condition="class")
    assert two.shapes() == ((4, 8, 8), (4, 8, 8))
    for index, words in ((2, "none of them is for shard 2"), (-1, "none of them is for the whole data; name one")):
        with pytest.raises(RecipeError, match=words):
            two.tensors_without_items(index)
    with pytest.raises(RecipeError, match="both read a class; set `condition: class`, or one `label`"):
        DiffusersFamily(path=folder).shapes()
    folder.rename(tmp_path / "0")
    with pytest.raises(
        RecipeError, match=r"holds two networks, and \{k\} names one for each shard; name one, .*former"
    ):
        DiffusersFamily(path=tmp_path / "{k}", condition="class").shapes()
    spoiled(tmp_path / "0", vae=["diffusers", "AutoencoderKL"])
    with pytest.raises(DataError, match=r"name each of its two networks, .*transformer_2`, in a list of `per-shard`"):
        DiffusersFamily(path=tmp_path / "0", condition="class").shapes()


def test_a_pair_of_unets_is_read_too(tmp_path: Path) -> None:
    for k, name in enumerate(("unet", "unet_2")):
        model = network()
        with torch.no_grad():
            model.conv_out.bias += k
        model.save_pretrained(tmp_path / name)
    plain_scheduler(prediction_type="sample").save_pretrained(tmp_path / "scheduler")
    parts = {"unet": ["diffusers", "UNet2DModel"], "unet_2": ["diffusers", "UNet2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(parts | {"boundary_ratio": 0.5}))
    both = DiffusersFamily(path=tmp_path)
    assert len(both.shapes()) == 2
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([0.2, 0.8])
    low, high = (expert_of_pair(both, k).denoise(x, t) for k in (0, 1))
    torch.testing.assert_close(low, high + 1, rtol=0, atol=1e-5)


def test_the_lines_of_the_page_make_samples(mixvel: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = {block.text.partition("\n")[0]: block.text for block in blocks("python", "yaml")}
    exec(compile(page["# two_levels.py"], "two_levels.py", "exec"), {"__name__": __name__})
    (tmp_path / "two-levels.yaml").write_text(page["# two-levels.yaml"])
    [shell] = [block.text for block in blocks("sh") if "two-levels.yaml" in block.text]
    done = mixvel(*shell.strip().rpartition("mixvel ")[2].split())
    assert done.code == 0, done.err
    with np.load(next((tmp_path / "runs/two-levels/samples").rglob("*.npz"))) as found:
        assert np.isfinite(found["x"]).all()
        assert found["evaluations"].tolist() == [20] * 8
