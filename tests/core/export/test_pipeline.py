"""An exported folder, loaded by diffusers in a fresh process without what it takes to train, beside `mixvel sample`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import load_exported
import numpy as np
import pytest
import torch
from attrs import frozen
from packaging.requirements import Requirement
from whole_runs import EXACT, TRAINED, run

import mixvel_core as mx
from mixvel_core.export.card import NEEDED
from mixvel_core.export.write import export_run
from mixvel_core.field.conversions import denoiser, point_for

MODULES = {"ray": "ray", "scikit-learn": "sklearn", "pot": "ot"}
"""What packages are imported as, where that is not their name."""
UNSEEN = {"fsspec", "jinja2", "editables"}
"""What huggingface_hub and torch bring, whether mixvel has them or not, and what an editable installation has."""


def training_packages() -> set[str]:
    """The modules of all packages that mixvel comes with and that are not said to be needed."""
    every = {Requirement(line) for line in requires("mixvel") or ()}
    names, needed = {one.name.lower() for one in every if one.marker is None}, {name.lower() for name in NEEDED}
    assert needed <= names
    return {MODULES.get(name, name) for name in names - needed - UNSEEN}


@frozen(kw_only=True)
class Loaded:
    """``images``, ``vectors``: the runs. ``found``: what the other process made of their exports."""

    images: Path
    vectors: Path
    found: dict[str, np.ndarray]

    def ours(self) -> np.ndarray:
        sampler = mx.open_run(self.images).sampler(steps=3, device="cpu")
        return sampler.sample(5, seed=4).x.numpy()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    place = tmp_path_factory.mktemp("exported")
    run(TRAINED, place / "images", stage="sample")
    run(EXACT, place / "vectors", stage="sample")
    first = export_run(place / "images", place / "pipeline", ["sample.steps=[2]"])
    second = export_run(place / "vectors", place / "exact", ["sample.steps=[3]"])
    blocked = ",".join(sorted(training_packages()))
    line = [sys.executable, load_exported.__file__, str(first), str(second), str(place / "found.npz"), blocked]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, "HF_HOME": str(place / "hub")}
    )
    assert done.returncode == 0, done.stderr
    with np.load(place / "found.npz") as found:
        return Loaded(images=place / "images", vectors=place / "vectors", found=dict(found))


def test_it_gives_the_images_of_mixvel_sample(loaded: Loaded) -> None:
    np.testing.assert_allclose(loaded.found["raw"], loaded.ours(), atol=1e-4)
    whole = mx.open_run(loaded.images).sampler(selector="mixture", integrator="heun", steps=2, device="cpu")
    np.testing.assert_allclose(loaded.found["mixture"], whole.sample(5, seed=4).x.numpy(), atol=1e-4)


def test_images_come_as_diffusers_has_them(loaded: Loaded) -> None:
    pixels = (loaded.ours() / 2 + 0.5).clip(0, 1)
    np.testing.assert_allclose(loaded.found["pt"], pixels, atol=1e-4)
    np.testing.assert_allclose(loaded.found["np"], pixels.transpose(0, 2, 3, 1), atol=1e-4)
    assert loaded.found["pil"].dtype == np.uint8
    np.testing.assert_allclose(loaded.found["pil"] / 255, pixels[:, 0], atol=0.51 / 255 + 1e-4)


def test_generators_stand_for_their_seeds_and_move_on(loaded: Loaded) -> None:
    found, sampler = loaded.found, mx.open_run(loaded.images).sampler(steps=3, device="cpu")
    np.testing.assert_array_equal(found["generator"], found["raw"])
    assert not np.allclose(found["generator_again"], found["raw"])
    each = [sampler.sample(1, seed=seed).x.numpy() for seed in (4, 7)]
    np.testing.assert_allclose(found["each"], np.concatenate(each), atol=1e-4)


def test_experts_on_demand_and_a_saved_copy_give_the_same(loaded: Loaded) -> None:
    np.testing.assert_allclose(loaded.found["few"], loaded.found["raw"], atol=1e-5)


def test_diffusers_fetches_all_of_it_from_the_hub(loaded: Loaded) -> None:
    np.testing.assert_array_equal(loaded.found["hub"], loaded.found["raw"])


def test_bfloat16_is_autocast(loaded: Loaded) -> None:
    half, full = loaded.found["half"], loaded.found["raw"]
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.1


def test_it_moves_to_another_device(loaded: Loaded) -> None:
    assert str(loaded.found["moved"]) == "meta"


def test_vectors_of_exact_experts_come_as_they_are(loaded: Loaded) -> None:
    sampler = mx.open_run(loaded.vectors).sampler(steps=3, device="cpu")
    np.testing.assert_allclose(loaded.found["vectors"], sampler.sample(5, seed=4).x.numpy(), atol=1e-4)


def test_diffusers_reads_the_networks_themselves(loaded: Loaded) -> None:
    opened = mx.open_run(loaded.images)
    expert = opened.models.experts[0].load()
    x, t = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8), torch.tensor([0.3, 0.8])
    v = torch.from_numpy(loaded.found["network"])
    m = denoiser("v", v, x, point_for(opened.recipe.schedule.build(), t, x)).clamp(-1, 1)
    torch.testing.assert_close(m, expert.denoise(x, t), atol=1e-5, rtol=0)


def test_nothing_that_trains_was_there(loaded: Loaded) -> None:
    blocked = training_packages()
    assert {"ray", "tensorboard", "sklearn", "matplotlib", "torchdiffeq", "ot", "pyarrow"} <= blocked
    assert not blocked & set(loaded.found["imported"].tolist())
