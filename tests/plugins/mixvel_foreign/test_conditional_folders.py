"""Conditional networks in folders that diffusers wrote: sampled by us, beside diffusers' own loop or pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DiTPipeline,
    EulerDiscreteScheduler,
)
from diffusers_folders import dit, expert_of, network, plain_scheduler, saved, unet_with_text
from safetensors.torch import save_file
from torch import Tensor, nn

from mixvel_core.errors import AbsentError, DataError, SamplingError
from mixvel_core.protocols import Condition, ConditionalExpert, ConditionSpec, Expert
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_core.sampling.sampler import Sampler
from mixvel_foreign.diffusers_family import folder_schedule
from mixvel_guidance.guidance import ClassifierFree
from mixvel_integrators.integrators import DDIM
from mixvel_selectors.selectors import Mixture

STEPS = 10


def ours(folder: Path, expert: Expert, noise: Tensor, condition: Condition | None, scale: float = 1.0) -> Tensor:
    guidance = None if scale == 1.0 else ClassifierFree(scale=scale)
    sampler = Sampler(
        schedule=folder_schedule(path=folder),
        experts=[expert],
        router=SingleExpertRouter(),
        selector=Mixture(),
        integrator=DDIM(),
        steps=STEPS,
        grid="native",
        delta=0.0,
        guidance=guidance,
    )
    draws = SampleDraws(seed=0, index=torch.arange(len(noise)))
    return sampler.trajectory(noise, draws, condition=condition)[0]


@torch.no_grad()
def theirs(
    model: nn.Module,
    scheduler: Any,
    noise: Tensor,
    given: dict[str, Tensor],
    null: dict[str, Tensor] | None = None,
    w: float = 1.0,
) -> Tensor:
    """Their loop; guided where there is ``null``."""
    scheduler.set_timesteps(STEPS)
    C = noise.shape[1]
    x = noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, time)
        output = model(seen, time, **given).sample[:, :C]
        if null is not None:
            other = model(seen, time, **null).sample[:, :C]
            output = other + w * (output - other)
        x = scheduler.step(output, time, x).prev_sample
    return torch.as_tensor(x)


NOISE = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LATENT = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
LABELS = torch.tensor([2, 0, 1])
TEXT = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(3))


def of_class(labels: Tensor) -> Condition:
    return Condition(values={"class": labels})


def test_a_unet_reads_the_class_of_each_sample(tmp_path: Path) -> None:
    model, scheduler = network(num_class_embeds=4), plain_scheduler(prediction_type="v_prediction")
    folder = saved(model, scheduler, tmp_path / "unet")
    expert = expert_of(folder, (3, 8, 8), condition="class")
    assert isinstance(expert, ConditionalExpert)
    got = ours(folder, expert, NOISE, of_class(LABELS))
    torch.testing.assert_close(got, theirs(model, scheduler, NOISE, {"class_labels": LABELS}), rtol=0, atol=1e-4)
    # One class for all is what it was, and equals the same class of each sample.
    fixed = ours(folder, expert_of(folder, (3, 8, 8), label=2), NOISE, None)
    torch.testing.assert_close(fixed[0], got[0], rtol=0, atol=1e-5)

    null = {"class_labels": torch.full((3,), 3)}
    wanted = theirs(model, scheduler, NOISE, {"class_labels": LABELS}, null, 3.0)
    named = expert_of(folder, (3, 8, 8), condition="class", null_class=3)
    torch.testing.assert_close(ours(folder, named, NOISE, of_class(LABELS), 3.0), wanted, rtol=0, atol=1e-4)
    for condition, scale in ((of_class(LABELS), 3.0), (None, 1.0)):
        with pytest.raises(SamplingError, match="the network has no class that stands for none, which guidance cfg"):
            ours(folder, expert, NOISE, condition, scale)


def test_classes_of_data_may_be_fewer_and_their_null_is_that_of_the_network(tmp_path: Path) -> None:
    model, scheduler = network(num_class_embeds=5), plain_scheduler()
    folder = saved(model, scheduler, tmp_path / "unet")
    spec = ConditionSpec(name="class", classes=3)
    expert = expert_of(folder, (3, 8, 8), (spec,), condition="class", null_class=4)
    assert isinstance(expert, ConditionalExpert)
    assert expert.null is not None
    assert expert.null.values["class"].tolist() == [3]
    wanted = theirs(model, scheduler, NOISE, {"class_labels": torch.full((3,), 4)})
    torch.testing.assert_close(ours(folder, expert, NOISE, None), wanted, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours(folder, expert, NOISE, of_class(torch.full((3,), 3))), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_dit_with_guidance_gives_the_images_of_its_pipeline(tmp_path: Path, is_old: bool) -> None:
    model, scheduler, classes = dit(), plain_scheduler(), [207, 3, 999]
    torch.manual_seed(6)
    sizes = {"block_out_channels": (4,), "latent_channels": 4, "norm_num_groups": 2}
    pipeline = DiTPipeline(transformer=model, vae=AutoencoderKL(**sizes).eval(), scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path / "dit")
    generator = torch.Generator().manual_seed(7)
    images = pipeline(
        classes, guidance_scale=4.0, generator=generator, num_inference_steps=STEPS, output_type="np"
    ).images
    if is_old:  # as the public folders have it
        config = tmp_path / "dit" / "transformer" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"_class_name": "Transformer2DModel"}))
    with pytest.raises(DataError, match=r"works on latents, which AutoencoderKL makes of images.*dit/transformer`"):
        expert_of(tmp_path / "dit", (4, 8, 8), condition="class")
    noise = torch.randn(LATENT.shape, generator=torch.Generator().manual_seed(7))
    folder = tmp_path / "dit" / "transformer"
    latents = ours(folder, expert_of(folder, (4, 8, 8), condition="class"), noise, of_class(torch.tensor(classes)), 4.0)
    with torch.no_grad():
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    got = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    assert float(torch.from_numpy(images).std()) > 0.02
    torch.testing.assert_close(got, torch.from_numpy(images), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers' own, of arrays it makes of tensors
@pytest.mark.parametrize(
    "scheduler",
    [
        plain_scheduler(prediction_type="v_prediction"),
        EulerDiscreteScheduler(timestep_spacing="leading", prediction_type="v_prediction"),
    ],
    ids=["ddim", "euler"],
)
def test_a_unet_with_texts_is_theirs_with_and_without_guidance(tmp_path: Path, scheduler: Any) -> None:
    model = unet_with_text()
    folder = saved(model, scheduler, tmp_path / "unet")
    null = torch.randn(5, 6, generator=torch.Generator().manual_seed(8))
    save_file({"any": null}, tmp_path / "null.safetensors")
    options: dict[str, Any] = {"condition": "text", "null_text": tmp_path / "null.safetensors"}
    text, empty = {"encoder_hidden_states": TEXT}, {"encoder_hidden_states": null.expand(3, 5, 6)}
    expert = expert_of(folder, (4, 8, 8), **options)
    condition = Condition(values={"text": TEXT})
    for got, wanted in (
        (ours(folder, expert, LATENT, condition), theirs(model, scheduler, LATENT, text)),
        (ours(folder, expert, LATENT, None), theirs(model, scheduler, LATENT, empty)),
        (ours(folder, expert, LATENT, condition, 5.0), theirs(model, scheduler, LATENT, text, empty, 5.0)),
    ):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4)
    zeros = expert_of(folder, (4, 8, 8), condition="text", text_length=5)
    wanted = theirs(model, scheduler, LATENT, {"encoder_hidden_states": torch.zeros(3, 5, 6)})
    torch.testing.assert_close(ours(folder, zeros, LATENT, None), wanted, rtol=0, atol=1e-4)


def test_parts_and_half_precision_of_every_class_are_read(tmp_path: Path) -> None:
    for name, model, options, shape in (
        ("dit", dit(num_embeds_ada_norm=5), {"condition": "class"}, (4, 8, 8)),
        ("text", unet_with_text(), {"condition": "text"}, (4, 8, 8)),
        ("class", network(num_class_embeds=3), {"condition": "class", "null_class": 0}, (3, 8, 8)),
    ):
        folder = tmp_path / name
        scheduler = plain_scheduler()
        saved(model, scheduler, folder / "plain")
        model.save_pretrained(folder / "parts", max_shard_size="10KB")
        scheduler.save_pretrained(folder / "parts")
        assert (folder / "parts" / "diffusion_pytorch_model.safetensors.index.json").is_file()
        model.half().save_pretrained(folder / "half", variant="fp16")
        scheduler.save_pretrained(folder / "half")
        x, t = torch.randn(2, *shape), torch.tensor([0.2, 0.8])
        plain, parts = (expert_of(folder / one, shape, **options) for one in ("plain", "parts"))
        half = expert_of(folder / "half", shape, variant="fp16", **options)
        torch.testing.assert_close(parts.denoise(x, t), plain.denoise(x, t), rtol=0, atol=0)
        torch.testing.assert_close(half.denoise(x, t), plain.denoise(x, t), rtol=0.02, atol=0.02)
        next((folder / "parts").glob("*00002-of*.safetensors")).unlink()
        with pytest.raises(AbsentError, match="00002-of-"):
            expert_of(folder / "parts", shape, **options)
