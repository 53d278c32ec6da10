"""IDX files through a run: scored against held-out images by classes and experts; damaged, one line and no run."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from command import Command
from whole_runs import run

from mixvel_core.errors import RecipeError
from mixvel_metrics.classifier_example import Halves

RECIPE = """\
name: halves
data: {{use: idx, path: {path}, pad: 8}}
partition: labels
schedule: vp-cosine
expert: {{use: empirical, bandwidth: 0.1}}
monolith: {{use: empirical, bandwidth: 0.1}}
routers: {{exact: {{use: oracle, bandwidth: 0.1}}}}
sample:
  count: 24
  steps: [4]
  delta: 0.001
  selector: iid
  integrator: ddim
  methods:
    alone: {{model: monolith}}
    kept: {{selector: fixed}}
    drawn: {{}}
evaluate:
  data: {{use: idx, path: {path}, pad: 8, split: test}}
  reference: all
  metrics:
    - use: classifier
      data: {{use: idx, path: {path}, pad: 8}}
      test: {{use: idx, path: {path}, pad: 8, split: test}}
      epochs: 2
      store: {path}/store
launcher: local
"""


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, count in (("train", 512), ("t10k", 100)):
        data = Halves(count=count, side=6).load()
        assert data.labels is not None
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(data.items[:][:, 0]))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx(data.labels))
    return tmp_path


@pytest.fixture
def mixvel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch=monkeypatch, capsys=capsys)


def test_scores_are_against_all_held_out_images(folder: Path) -> None:
    run(RECIPE.format(path=folder), folder / "run")
    found = json.loads((folder / "run" / "scores.json").read_text())
    rows = {(row["method"], row["metric"].split("-")[0]): row for row in found["rows"]}
    assert {row["conditions"]["reference"] for row in (*found["rows"], *found["floors"])} == {"100"}
    assert {row["conditions"]["samples"] for row in found["rows"]} == {"24"}
    kinds = {"frechet", "kernel", "precision", "recall", "balance"}
    assert {kind for method, kind in rows if method == "alone"} == kinds
    assert {kind for method, kind in rows if method == "kept"} == {*kinds, "agreement"}
    # Exact experts of the two classes make images of their own class, whoever is drawn.
    assert rows["kept", "agreement"]["value"] == 1.0
    assert rows["drawn", "agreement"]["value"] > 0.9
    assert {row["metric"].split("-")[0] for row in found["floors"]} == kinds
    assert "agreement-idx-classifier-" in (folder / "run" / "report" / "report.json").read_text()
    with np.load(next((folder / "run" / "samples" / "kept").glob("*.npz"))) as arrays:
        assert arrays["origin"].shape == (24,)
        assert set(arrays["origin"].tolist()) == {0, 1}


def test_a_check_trains_no_classifier(folder: Path, mixvel: Command) -> None:
    (folder / "recipe.yaml").write_text(RECIPE.format(path=folder))
    assert mixvel("check", str(folder / "recipe.yaml"), "--out", str(folder / "run")).code == 0
    assert not (folder / "store").exists()
    done = mixvel("check", str(folder / "recipe.yaml"), "evaluate.metrics.0.data.pad=10")
    assert done.code == 2
    assert "items of idx have shape (1, 10, 10), samples (1, 8, 8)" in done.err


def test_all_items_need_data_of_their_own(folder: Path) -> None:
    with pytest.raises(RecipeError, match="reference: `all` takes the floor from the shards; name `data`"):
        run(RECIPE.format(path=folder), folder / "run", "evaluate.data=null")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("train-images-idx3-ubyte", struct.pack(">4B3I", 0, 0, 8, 3, 60000, 28, 28), "more than the file can hold"),
        ("train-labels-idx1-ubyte", idx(np.zeros(7)), "holds 7 labels, and train-images-idx3-ubyte 512 images"),
        ("t10k-labels-idx1-ubyte", b"", "no IDX file, it begins with nothing"),
        ("t10k-images-idx3-ubyte", None, "has no t10k-images-idx3-ubyte[.gz]"),
    ],
)
def test_a_bad_file_ends_the_command_with_one_line(
    folder: Path, mixvel: Command, file: str, content: bytes | None, said: str
) -> None:
    (folder / "recipe.yaml").write_text(RECIPE.format(path=folder))
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    done = mixvel("run", str(folder / "recipe.yaml"), "--out", str(folder / "run"))
    (line,) = done.problems
    assert said in line
    # Absent files are missing data wherever they are named; damaged ones are, where the shards come from them.
    assert done.code == (3 if file.startswith("train") or content is None else 2)
    assert not (folder / "run").exists()


def test_a_size_that_no_network_takes_gets_the_nearest(folder: Path, mixvel: Command) -> None:
    text = RECIPE.format(path=folder).replace("pad: 8", "pad: 6").replace("expert: {use: empirical, bandwidth: 0.1}",
        "expert: {use: unet, channels: [4, 4, 4]}")  # fmt: skip
    (folder / "recipe.yaml").write_text(text)
    done = mixvel("run", str(folder / "recipe.yaml"), "--out", str(folder / "run"))
    assert done.code == 2
    assert any("not 6 x 6; the nearest sizes are 4 and 8: set `pad` of the data" in line for line in done.problems)


def test_images_of_two_levels_have_a_range(mixvel: Command, folder: Path) -> None:
    images = folder / "train-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[16:] = [value // 128 for value in content[16:]]
    images.write_bytes(content)
    (folder / "recipe.yaml").write_text(RECIPE.format(path=folder))
    line = ("run", str(folder / "recipe.yaml"), "--stage", "partition", "--out", str(folder / "run"))
    done = mixvel(*line)
    assert (done.code, len(done.problems)) == (3, 1)
    assert "no byte is above 1, so that 255 would be white and all nearly black; add `range: [0, 1]`" in done.err
    both = "evaluate.metrics=[{use: sliced-w2, projections: 8}]"
    assert mixvel(*line, "data.range=[0, 1]", "data.label_names=[low, high]", both).code == 0
    assert set(np.unique(np.load(folder / "run/shards/0/items.npy"))) == {-1, 1}
