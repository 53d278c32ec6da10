"""diffusers' autoencoders: the same latents and images as diffusers gives, and refusals in a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from mixvel_core.errors import AbsentError, ArtifactError, DataError, RecipeError
from mixvel_core.protocols import Codec
from mixvel_core.randomness import seeded
from mixvel_core.recipe.build import build

ITEMS = np.random.default_rng(0).uniform(-1, 1, (3, 3, 16, 8)).astype(np.float32)
X = torch.from_numpy(ITEMS)
WEIGHTS = "diffusion_pytorch_model.safetensors"


def written(folder: Path, **options: Any) -> AutoencoderKL:
    with seeded(1):
        network = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(4, 8, 8),
            norm_num_groups=4,
            **options,
        )
    network.save_pretrained(folder)
    return AutoencoderKL.from_pretrained(folder).eval().requires_grad_(False)


def made(folder: Path, items: np.ndarray = ITEMS, seed: int = 0, **options: object) -> Codec:
    family = build("codec", "autoencoder-kl", {"path": str(folder), **options})
    return family.load(family.tensors(items, seed), items.shape[1:])


def _theirs(network: AutoencoderKL) -> tuple[Tensor, Tensor]:
    """Latents as diffusers' pipelines give them to their networks, and the images of these."""
    config = network.config
    h = network.encode(X).latent_dist.mode()
    if config.latents_mean is not None:
        mean, std = (torch.tensor(v)[:, None, None] for v in (config.latents_mean, config.latents_std))
        z = (h - mean) * config.scaling_factor / std
        return z, network.decode(z * std / config.scaling_factor + mean).sample
    shift = config.shift_factor or 0.0
    z = (h - shift) * config.scaling_factor
    return z, network.decode(z / config.scaling_factor + shift).sample


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scaling_factor": 0.3611, "shift_factor": 0.1159, "latent_channels": 5},
        {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.0, 2.0, 0.5, 1.5], "scaling_factor": 0.13},
        {"use_quant_conv": False, "use_post_quant_conv": False, "mid_block_add_attention": False},
    ],
)
def test_encode_and_decode_are_diffusers_own(tmp_path: Path, options: dict[str, Any]) -> None:
    z, x = _theirs(written(tmp_path, **options))
    codec = made(tmp_path)
    assert codec.latent_shape == z.shape[1:]
    torch.testing.assert_close(codec.encode(X), z, rtol=0, atol=1e-5)
    torch.testing.assert_close(codec.decode(z), x, rtol=0, atol=1e-5)


def test_samples_of_the_posterior_follow_the_seed_and_the_rows(tmp_path: Path) -> None:
    network = written(tmp_path)
    codec, rows = made(tmp_path, posterior="sample"), torch.tensor([4, 5, 6])
    noise = (codec.encode(X, rows) - codec.encode(X)) / network.config.scaling_factor
    # What is left, over the posterior's own deviation, is the noise of these rows and seed.
    eps = noise / network.encode(X).latent_dist.std
    assert float(eps.std()) == pytest.approx(1.0, abs=0.15)
    torch.testing.assert_close(codec.encode(X.flip(0), rows.flip(0)).flip(0), codec.encode(X, rows))
    assert not torch.equal(made(tmp_path, seed=1, posterior="sample").encode(X, rows), codec.encode(X, rows))
    torch.testing.assert_close(codec.encode(X), made(tmp_path).encode(X))


def test_pipelines_variants_and_old_names_are_read(tmp_path: Path) -> None:
    written(tmp_path / "pipeline" / "vae")
    plain = made(tmp_path / "pipeline").encode(X)
    weights = load_file(tmp_path / "pipeline/vae" / WEIGHTS)
    old = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    for new, name in old.items():
        weights = {key.replace(new, name): value for key, value in weights.items()}
    variant = tmp_path / "pipeline/vae/diffusion_pytorch_model.old.safetensors"
    save_file(weights, variant)
    assert torch.equal(made(tmp_path / "pipeline", variant="old").encode(X), plain)


def _config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_bad_folders_are_refused_in_a_line(tmp_path: Path) -> None:
    written(tmp_path / "good")

    def spoilt(name: str, **changes: object) -> Path:
        shutil.copytree(tmp_path / "good", tmp_path / name)
        _config(tmp_path / name, **changes)
        return tmp_path / name

    (tmp_path / "empty").mkdir()
    without = spoilt("without")
    (without / WEIGHTS).unlink()
    cut = spoilt("cut")
    (cut / WEIGHTS).write_bytes((cut / WEIGHTS).read_bytes()[:-8])
    cases: list[tuple[Path, type[Exception], str]] = [
        (tmp_path / "nowhere", AbsentError, "no such folder"),
        (tmp_path / "empty", AbsentError, "config.json: no such file"),
        (without, AbsentError, "holds no diffusion_pytorch_model.safetensors"),
        (cut, DataError, "cannot be read as safetensors"),
        (spoilt("other", _class_name="VQModel"), DataError, "holds VQModel"),
        (spoilt("wider", block_out_channels=[8, 8, 8]), DataError, "is it of another network"),
        (spoilt("grey", in_channels=1), RecipeError, "for images of 1 channels, the data are 3 x 16 x 8"),
    ]
    for folder, kind, message in cases:
        with pytest.raises(kind, match=message) as raised:
            made(folder)
        assert "\n" not in str(raised.value)


def test_items_that_it_cannot_take_are_refused_in_a_line(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(RecipeError, match="multiples of 4"):
        made(tmp_path, np.zeros((2, 3, 6, 8), np.float32))
    with pytest.raises(RecipeError, match="images of 3 channels"):
        made(tmp_path, np.zeros((2, 48), np.float32))


def test_damaged_tensors_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    family = build("codec", "autoencoder-kl", {"path": str(tmp_path)})
    tensors = dict(family.tensors(ITEMS, 0))
    with pytest.raises(ArtifactError, match="configuration is damaged"):
        family.load({**tensors, "config": tensors["config"][:-3]}, ITEMS.shape[1:])
    del tensors["network.quant_conv.weight"]
    with pytest.raises(ArtifactError, match=r"quant_conv\.weight is missing"):
        family.load(tensors, ITEMS.shape[1:])
