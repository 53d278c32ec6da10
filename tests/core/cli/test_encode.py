"""mixvel encode: images and arrays to noise and back, and one line for what cannot be encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from command import Command
from PIL import Image
from trainable import Watching
from whole_runs import EXACT, TRAINED, run, snapshot

from mixvel_core.pipeline.encode import encode_run
from mixvel_core.pipeline.opened import open_run

STEPS = ("--steps", "4", "--grid", "uniform")


def models(recipe: str, folder: Path) -> Path:
    for stage in ("routers", "monolith", "experts"):
        run(recipe, folder, stage=stage)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of grey images of 8x8, whose models are made."""
    folder = tmp_path_factory.mktemp("images") / "run"
    return models(TRAINED, folder)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of vectors with exact models."""
    folder = tmp_path_factory.mktemp("vectors") / "run"
    return models(EXACT, folder)


def arrays(line: str) -> dict[str, np.ndarray]:
    with np.load(line) as found:
        return dict(found)


def test_files_of_every_kind_are_encoded_in_their_order(mixvel: Command, images: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(pixels[0]).save(folder / "a.png")
    Image.fromarray(pixels[1]).convert("RGB").save(folder / "b.png")
    np.save(tmp_path / "two.npy", pixels[2:4])
    np.savez(tmp_path / "one.npz", x=pixels[4:, None].astype(np.float32) / 127.5 - 1)
    before = snapshot(images)
    given = [str(tmp_path / name) for name in ("images", "two.npy", "one.npz")]
    done = mixvel("encode", str(images), *given, *STEPS, "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err
    found, picture = done.out.splitlines()[-2:]
    made = arrays(found)
    np.testing.assert_allclose(made["items"], pixels[:, None] / 127.5 - 1, atol=1e-6)
    assert made["noise"].shape == made["decoded"].shape == (5, 1, 8, 8)
    assert made["evaluations"].tolist() == [2 * 4 * 3] * 5
    apart = np.linalg.norm((made["decoded"] - made["items"]).reshape(5, -1), axis=1)
    np.testing.assert_allclose(made["error"], apart / np.linalg.norm(made["items"].reshape(5, -1), axis=1), rtol=1e-5)
    assert "round trip of 5 items" in done.out
    assert "24 expert evaluations an item" in done.out
    with Image.open(picture) as opened:
        assert opened.width > opened.height > 0
    assert snapshot(images) == before
    again = mixvel("encode", str(images), *given, *STEPS, "--out", str(tmp_path / "out"))
    assert "encoded already" in again.out
    assert again.out.splitlines()[-2:] == [found, picture]


def test_the_runs_own_items_come_back(mixvel: Command, vectors: Path) -> None:
    done = mixvel("encode", str(vectors), "--count", "6", "sample.delta=0.02")
    assert done.code == 0, done.err
    [made] = (vectors / "encoded").iterdir()
    found = arrays(str(made))
    assert found["items"].shape == found["noise"].shape
    assert float(found["error"].max()) < 0.01
    # What was written is what Python computes.
    import torch

    sampler = open_run(vectors).sampler(selector="mixture", integrator="pc", grid="chebyshev", steps=50, delta=0.02)
    np.testing.assert_allclose(sampler.encode(torch.from_numpy(found["items"])).x.cpu().numpy(), found["noise"])
    assert mixvel("encode", str(vectors), str(made), *STEPS).code == 0


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("none.png",), 3, "none.png: does not exist; name image files"),
        (("large.png",), 2, "large.png: of shape (1, 9, 9), but items of the run have shape (1, 8, 8)"),
        (("vectors.npy",), 2, "vectors.npy: of shape (3, 5), but items of the run have shape (1, 8, 8)"),
        (("bright.npy",), 2, "bright.npy: has values up to 255; scale floats"),
        (("unit.npy",), 2, "unit.npy: all values lie in 0 to 1, none below 0; store 2 * x - 1"),
        (("last.npy",), 2, "here the channels come last: move them to the front"),
        (("whole.npy",), 2, "whole.npy: holds int64 values; give uint8, or floats"),
        (("text.png",), 3, "text.png: cannot be read (no picture that Pillow reads)"),
        (("other.npz",), 3, "other.npz: cannot be read (no array 'items'; it holds y)"),
        (("nothing.npy",), 2, "nothing.npy: holds no item, its array has shape (0, 8, 8); give at least one"),
        (("sample.weights.top=9",), 2, "sample.weights.top  must be at most 3, the number of experts, not 9"),
        (("empty",), 3, "empty: holds no image and no array"),
        (("--selector", "cached"), 2, "encode follows an ODE, but the selector Cached carries a state"),
        (("sample.delta=0",), 2, "set delta above 0"),
        (("--router", "none"), 2, "no router is called 'none'"),
        (("--integrator", "cp"), 3, "no integrator is called 'cp'"),
    ],
)
def test_what_cannot_be_encoded_gets_one_line(
    mixvel: Command, images: Path, tmp_path: Path, words: tuple[str, ...], code: int, line: str
) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "large.png")
    np.save(tmp_path / "vectors.npy", np.zeros((3, 5), np.float32))
    np.save(tmp_path / "bright.npy", np.full((2, 8, 8), 255.0))
    np.save(tmp_path / "unit.npy", np.full((2, 8, 8), 0.5))
    np.save(tmp_path / "last.npy", np.zeros((2, 8, 8, 1), np.uint8))
    np.save(tmp_path / "nothing.npy", np.zeros((0, 8, 8), np.float32))
    np.save(tmp_path / "whole.npy", np.zeros((2, 8, 8), np.int64))
    np.savez(tmp_path / "other.npz", y=np.zeros((2, 8, 8), np.uint8))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    given = [
        str(tmp_path / word) if words[0] == word and "=" not in word and word[0] != "-" else word for word in words
    ]
    done = mixvel("encode", str(images), *given, *STEPS, "--out", str(tmp_path / "out"))
    assert done.code == code
    [problem] = done.err.splitlines()
    assert line in problem


def test_vectors_are_no_images(mixvel: Command, vectors: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    done = mixvel("encode", str(vectors), str(tmp_path / "a.png"), *STEPS)
    assert done.code == 2
    assert "are no images; give a .npy or .npz file" in done.err


def test_encoding_computes_with_the_threads_of_sampling(vectors: Path, tmp_path: Path) -> None:
    seen: set[int] = set()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        watching = Watching(on_update=lambda done, note: seen.add(torch.get_num_threads()))
        given = ("sample.threads=1", "sample.steps=[3]", "sample.selector=mixture", "sample.grid=chebyshev")
        out = tmp_path / "out"
        encode_run(vectors, [], given, count=2, router=None, monolith=False, out=out, progress=watching)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == {1}
