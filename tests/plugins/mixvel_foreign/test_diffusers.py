"""Folders written by diffusers itself, and what our sampler makes of them beside diffusers' own pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from diffusers import DDIMPipeline, DDIMScheduler, EDMEulerScheduler, UNet2DModel
from diffusers_folders import CONFIG, SHAPE, SHARD, family, loaded, network, rewritten, save_pipeline
from report_runs import IMAGES
from safetensors.torch import load_file, save_file
from torch import Tensor
from whole_runs import run

from mixvel_core.errors import DataError, RecipeError
from mixvel_core.recipe.build import build
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_core.sampling.sampler import Sampler
from mixvel_foreign.examples import diffusers_folder
from mixvel_foreign.scheduler import training_of
from mixvel_integrators.integrators import DDIM
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.selectors import Mixture


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("pipeline"))


def theirs(folder: Path, steps: int, **options: Any) -> tuple[Tensor, Tensor]:
    """The noise that DDIMPipeline begins with, and its images in [0, 1], (2, H, W, C)."""
    pipeline = DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        batch_size=2,
        generator=torch.Generator().manual_seed(5),
        num_inference_steps=steps,
        output_type="numpy",
        **options,
    )
    noise = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(5))
    return noise, torch.from_numpy(drawn.images)


def ours(folder: Path, noise: Tensor, steps: int, bound: float | None, **options: Any) -> Tensor:
    """The images of our ``ddim`` from the same noise."""
    expert = loaded(folder, **options)
    sampler = Sampler(
        schedule=build("schedule", "diffusers", {"path": str(folder)}),
        experts=[expert],
        router=SingleExpertRouter(),
        selector=Mixture(),
        integrator=DDIM(clip=bound),
        steps=steps,
        grid="native",
        delta=0.0,
    )
    assert expert.schedule == sampler.schedule
    x, field = sampler.trajectory(noise, SampleDraws(seed=0, index=torch.arange(2)))
    assert len(field.times) == steps
    return (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("steps", "settings", "clip"),
    [
        (50, {}, 1.0),
        (50, {"clip_sample": False}, None),
        (10, {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}, None),
        (10, {"clip_sample": False, "timestep_spacing": "trailing"}, None),
        (10, {"clip_sample": False, "prediction_type": "v_prediction", "beta_schedule": "scaled_linear"}, None),
        (10, {"prediction_type": "sample", "beta_schedule": "squaredcos_cap_v2"}, 1.0),
    ],
    ids=["as-it-comes", "unclipped", "offset", "trailing", "v-scaled", "sample-cosine"],
)
def test_a_folder_of_diffusers_gives_the_images_of_its_own_pipeline(
    saved: Path, tmp_path: Path, steps: int, settings: dict[str, Any], clip: float | None
) -> None:
    folder = rewritten(saved, tmp_path / "folder", DDIMScheduler(**settings))
    noise, images = theirs(folder, steps)
    assert float(images.std()) > 0.05
    torch.testing.assert_close(ours(folder, noise, steps, clip, clip=False), images, rtol=0, atol=1e-4)


def test_a_clipped_denoiser_is_their_clipped_model_output(saved: Path) -> None:
    noise, images = theirs(saved, 10, use_clipped_model_output=True)
    torch.testing.assert_close(ours(saved, noise, 10, None), images, rtol=0, atol=1e-4)
    assert not torch.allclose(ours(saved, noise, 10, None), ours(saved, noise, 10, 1.0, clip=False), atol=1e-3)


def test_rounded_timesteps_change_nothing_at_the_entries_of_the_table(saved: Path) -> None:
    noise, images = theirs(saved, 10)
    torch.testing.assert_close(ours(saved, noise, 10, 1.0, clip=False, timesteps="rounded"), images, rtol=0, atol=1e-4)
    between = torch.full((2,), 0.50042)
    continuous, rounded = (loaded(saved, clip=False, timesteps=how) for how in ("continuous", "rounded"))
    assert not torch.allclose(continuous.denoise(noise, between), rounded.denoise(noise, between), atol=1e-7)


def test_an_edm_network_answers_as_edms_scheduler_reads_it(saved: Path, tmp_path: Path) -> None:
    for prediction in ("epsilon", "v_prediction"):
        scheduler = EDMEulerScheduler(prediction_type=prediction)
        folder = rewritten(saved, tmp_path / prediction, scheduler)
        expert = loaded(folder)
        t = torch.tensor([0.3, 0.8, 0.999])
        s = torch.tan(expert.schedule.angle * t)
        edm = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)) * s[:, None, None, None]
        unet = UNet2DModel.from_pretrained(folder / "unet")
        with torch.no_grad():
            for row, sigma in enumerate(s):
                point = edm[row : row + 1]
                output = unet(scheduler.precondition_inputs(point, sigma), scheduler.precondition_noise(sigma)).sample
                wanted = scheduler.precondition_outputs(point, output, sigma)
                got = expert.denoise(point * torch.cos(expert.schedule.angle * t[row]), t[row : row + 1])
                torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
        times = expert.schedule.times(18)
        scheduler.set_timesteps(18)
        sigmas = torch.tan(expert.schedule.angle * torch.tensor(times, dtype=torch.float64))
        torch.testing.assert_close(sigmas, scheduler.sigmas.double(), rtol=1e-4, atol=1e-6)


def test_the_oldest_layout_and_names_are_read(saved: Path, tmp_path: Path) -> None:
    """One folder for model and scheduler, and attention by the names it had: the public ddpm-cifar10-32."""
    shutil.copytree(saved / "unet", tmp_path / "flat")
    shutil.copy(saved / "scheduler" / "scheduler_config.json", tmp_path / "flat")
    weights = tmp_path / "flat" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(weights)
    for new, name in old.items():
        tensors = {n.replace(f".{new}.", f".{name}."): v for n, v in tensors.items()}
    assert any(".query." in name for name in tensors)
    save_file(tensors, weights)
    x, t = torch.randn(2, *SHAPE), torch.tensor([0.2, 0.9])
    torch.testing.assert_close(loaded(tmp_path / "flat").denoise(x, t), loaded(saved).denoise(x, t))


def test_a_model_alone_needs_its_scheduler_in_the_recipe(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "unet", tmp_path / "alone")
    with pytest.raises(DataError, match=r"holds no scheduler_config.json; say in `scheduler`"):
        loaded(tmp_path / "alone")
    x, t = torch.randn(2, *SHAPE), torch.tensor([0.2, 0.9])
    for scheduler in (saved / "scheduler", saved / "scheduler" / "scheduler_config.json"):
        got = loaded(tmp_path / "alone", scheduler=scheduler).denoise(x, t)
        torch.testing.assert_close(got, loaded(saved).denoise(x, t))


def test_weights_in_parts_are_read_and_their_names_stay_in_the_folder(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "parts")
    unet = tmp_path / "parts" / "unet"
    tensors = load_file(unet / "diffusion_pytorch_model.safetensors")
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    names = sorted(tensors)
    home = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(names)}
    for part in set(home.values()):
        save_file({n: tensors[n] for n in names if home[n] == part}, unet / part)
    index = unet / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": home}))
    x, t = torch.randn(2, *SHAPE), torch.tensor([0.2, 0.9])
    torch.testing.assert_close(loaded(tmp_path / "parts").denoise(x, t), loaded(saved).denoise(x, t))
    for outside in ("../part-0.safetensors", "/etc/passwd", "part-0.bin"):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(names, outside)}))
        with pytest.raises(DataError, match="not the name of a safetensors file in its folder"):
            loaded(tmp_path / "parts")


def test_classes_are_shards_or_what_is_said(saved: Path, tmp_path: Path) -> None:
    folder = rewritten(saved, tmp_path / "classes", DDIMScheduler(clip_sample=False))
    unet = network(num_class_embeds=3)
    unet.save_pretrained(folder / "unet")
    x, t = torch.randn(2, *SHAPE), torch.tensor([0.2, 0.9])
    made = family(folder)
    answers = []
    for k in range(3):
        shard = evolve(SHARD, index=k)
        answers.append(made.load(evolve(CONFIG, index=k), made.tensors(shard, None), Cosine()).denoise(x, t))
    assert not torch.allclose(answers[0], answers[1])
    torch.testing.assert_close(loaded(folder, label=2).denoise(x, t), answers[2])
    for index in (3, -1):
        with pytest.raises(RecipeError, match=r"has classes 0 to 2, and -?\d is none; name a `label`"):
            made.task(evolve(SHARD, index=index), Cosine())


def test_half_precision_and_learned_variance_are_understood(saved: Path, tmp_path: Path) -> None:
    folder = rewritten(saved, tmp_path / "learned", DDIMScheduler(clip_sample=False))
    unet = network(out_channels=6)
    unet.half().save_pretrained(folder / "unet")
    expert = loaded(folder)
    x, t = torch.randn(2, *SHAPE), torch.tensor([0.2, 0.9])
    assert expert.denoise(x, t).shape == x.shape
    assert next(expert.network.parameters()).dtype == torch.float32
    made = family(folder)
    assert made.load(CONFIG, made.without_moments(made.tensors(SHARD, None)), Cosine()).moments is None


def test_every_scheduler_of_a_beta_table_has_its_table() -> None:
    for name, module in (("DDPM", "ddpm"), ("PNDM", "pndm"), ("EulerDiscrete", "euler"), ("UniPCMultistep", "unipc")):
        training = training_of({"_class_name": f"{name}Scheduler", "beta_schedule": "linear"}, module)
        t = torch.arange(1, 1001, dtype=torch.float64) / 1000
        wanted = DDIMScheduler().alphas_cumprod.double()
        torch.testing.assert_close(training.schedule.at(t).alpha ** 2, wanted, rtol=1e-4, atol=0)
    sigmoid = training_of({"_class_name": "DDPMScheduler", "beta_schedule": "sigmoid"}, "here").schedule
    assert 0 < float(sigmoid.at(torch.ones(())).alpha) < 0.1
    flow = training_of({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "here")
    assert flow.prediction == "flow"


def test_a_recipe_samples_from_a_folder(tmp_path: Path) -> None:
    use = f"use: diffusers, path: {diffusers_folder()}"
    parts = [f"schedule={{{use}}}", f"expert={{{use}}}", f"monolith={{{use}, clip: false}}", "routers={prior: fixed}"]
    sampled = ["count=2", "steps=[3]", "grid=native", "delta=0", "integrator={use: ddim, clip: 1.0}"]
    methods = "sample.methods={alone: {model: monolith}, mixed: {}}"
    run(IMAGES, tmp_path, *parts, *(f"sample.{one}" for one in sampled), methods)
    with np.load(next((tmp_path / "samples" / "alone").glob("*.npz"))) as arrays:
        assert np.isfinite(arrays["x"]).all()
        np.testing.assert_allclose(arrays["times"], [0.667, 0.334, 0.001])
