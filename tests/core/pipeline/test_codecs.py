"""Runs with a codec: latents are stored and sampled, items are scored and shown, and the codec travels with the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import Command
from diffusers import DDIMPipeline, DDIMScheduler
from diffusers_folders import network
from PIL import Image
from whole_runs import TRAINED, recipe_of, results, run, snapshot

from mixvel_codecs.examples import autoencoder_folder
from mixvel_core.artifacts.arrays import map_array
from mixvel_core.artifacts.files import read_json
from mixvel_core.data.latents import EncodedItems
from mixvel_core.errors import ArtifactError, DataError, RecipeError, UsageError
from mixvel_core.federated.assemble import assemble
from mixvel_core.federated.train import train_expert
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.opened import open_run
from mixvel_core.pipeline.plan import plan
from mixvel_core.pipeline.shards import open_shards
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.build import build
from mixvel_metrics.inception import stand_in

FULL = "codec={use: pca, patch: 2}"
CODEC = "codec={use: pca, patch: 2, rank: 3}"


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of latents of digits at full rank, up to its report."""
    folder = tmp_path_factory.mktemp("latent") / "run"
    run(TRAINED, folder, FULL, "report.diagnostics=0", "report.calibration=2")
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without a codec, up to its scores."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    run(TRAINED, folder, "expert.train.steps=2", "monolith.train.steps=2", stage="evaluate")
    return folder


def items_of(folder: Path, shard: int) -> np.ndarray:
    return map_array(folder / "shards" / str(shard) / "items.npy")


def test_shards_hold_the_latents_of_the_items_in_half_precision(latent: Path, plain: Path) -> None:
    opened = open_run(latent)
    assert (opened.shards.shape, opened.shards.data_shape) == ((4, 4, 4), (1, 8, 8))
    for k in range(3):
        x, z = torch.from_numpy(items_of(plain, k)), torch.from_numpy(items_of(latent, k))
        assert (z.dtype, z.shape[1:]) == (torch.float16, (4, 4, 4))
        # Numbers below 2^-14 have fewer bits.
        torch.testing.assert_close(z.float(), opened.encode(x), rtol=2.0**-11, atol=2.0**-24)
        torch.testing.assert_close(opened.decode(z.float()), x, rtol=0, atol=5e-3)


def test_scores_are_of_decoded_items_and_state_it(latent: Path) -> None:
    opened = open_run(latent)
    assert opened.shards.codec is not None
    scores = read_json(latent / "scores.json")
    for row in (*scores["rows"], *scores["floors"], *scores["noise"]):
        assert row["conditions"]["decoded"] == f"samples by {opened.shards.codec.stated}, the real items too"
    # The same by hand: all real items decoded, in the order that evaluation chooses them in.
    real = opened.decode(torch.from_numpy(to_float(opened.shards.as_one.items[:]))).numpy()
    order, count = np.random.default_rng(0).permutation(len(real)), 6
    reference = real[order[count : 2 * count]]
    metric = build("metric", "sliced-w2", {"projections": 8})
    for row in scores["rows"]:
        with np.load(latent / "samples" / row["method"] / "steps-2-seed-0.npz") as found:
            assert found["x"].shape == (6, 4, 4, 4)
            samples = opened.decode(torch.from_numpy(found["x"])).numpy()
        assert metric.score(samples, reference).value == pytest.approx(row["value"], rel=1e-5)
    [floor] = scores["floors"]
    assert metric.score(real[order[:count]], reference).value == pytest.approx(floor["value"], rel=1e-5)


def test_the_floor_at_full_rank_is_that_of_the_items(latent: Path, plain: Path) -> None:
    floors = [read_json(folder / "scores.json")["floors"][0]["value"] for folder in (latent, plain)]
    assert floors[0] == pytest.approx(floors[1], rel=1e-3)


def test_real_items_of_other_data_are_compared_as_they_are(latent: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(latent, tmp_path / "run"))
    run(TRAINED, folder, FULL, "evaluate.data=digits", stage="evaluate")
    own, [floor] = (
        read_json(latent / "scores.json")["floors"][0],
        [one for one in read_json(folder / "scores.json")["floors"] if "as they are" in one["conditions"]["decoded"]],
    )
    assert floor["conditions"]["decoded"].endswith(", the real items as they are")
    assert floor["value"] != own["value"]


def test_fid_is_of_decoded_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads images of three channels, and these latents have twelve."""
    monkeypatch.setattr("mixvel_metrics.fid.load_inception", lambda weights: stand_in())
    images = "data={use: procedural, resolution: 16, count: 40}"
    more = ("partition={use: kmeans, shards: 2, pca: 4}", "routers={even: fixed}", "evaluate.metrics=[fid]")
    run(TRAINED, tmp_path, FULL, images, *more, stage="evaluate")
    [row, *_] = read_json(tmp_path / "scores.json")["rows"]
    assert row["metric"].startswith("frechet-inception")
    assert row["conditions"]["decoded"].startswith("samples by pca patch=2 ")
    with pytest.raises(DataError, match="Inception reads RGB images"):
        build("metric", "fid").score(z := to_float(items_of(tmp_path, 0)), z)


def test_the_report_names_the_codec_and_shows_items(latent: Path) -> None:
    page = (latent / "report/index.html").read_text()
    assert "1 × 8 × 8; latents of 4 × 4 × 4" in page
    assert "pca patch=2" in page
    assert page.count("data:image/png;base64,") > 5


def test_more_samples_come_with_their_items_and_a_picture(mixvel: Command, latent: Path, tmp_path: Path) -> None:
    done = mixvel("sample", str(latent), "--count", "5", "--steps", "3", "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err
    arrays, picture = (Path(line) for line in done.out.splitlines()[-2:])
    with np.load(arrays) as found:
        x, items = found["x"], found["items"]
    assert (x.shape, items.shape) == ((5, 4, 4, 4), (5, 1, 8, 8))
    np.testing.assert_allclose(open_run(latent).decode(torch.from_numpy(x)).numpy(), items, atol=1e-6)
    with Image.open(picture) as opened:
        assert opened.width > opened.height > 0


def test_images_are_encoded_through_the_codec(mixvel: Command, latent: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    line = ("encode", str(latent), str(tmp_path / "a.png"), "--steps", "20", "--out", str(tmp_path / "out"))
    done = mixvel(*line)
    assert done.code == 0, done.err
    [arrays] = (tmp_path / "out").glob("*.npz")
    with np.load(arrays) as made:
        found: dict[str, Any] = dict(made)
    assert found["items"].shape == found["decoded"].shape == (1, 1, 8, 8)
    assert found["latents"].shape == found["noise"].shape == (1, 4, 4, 4)
    codec = open_run(latent)
    np.testing.assert_allclose(codec.encode(torch.from_numpy(found["items"])).numpy(), found["latents"], atol=1e-6)
    [wrong] = mixvel("encode", str(latent), str(latent / "shards/0/items.npy")).problems
    assert "items of the run have shape (1, 8, 8)" in wrong


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_codec_that_is_lost_is_named_and_made_again_as_it_was(latent: Path, tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree(latent, tmp_path / "run"))
    before, path = results(folder), folder / "shards/codec.safetensors"
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(content[:-4])
    with pytest.raises(ArtifactError, match=rf"codec\.safetensors: {damage}; `mixvel run .* makes it again"):
        open_run(folder)
    kept = {name: state for name, state in snapshot(folder).items() if name.startswith(("experts", "samples"))}
    run(TRAINED, folder, FULL, stage="sample")
    assert path.read_bytes() == content
    assert results(folder) == before
    now = snapshot(folder)
    assert {name: now[name] for name in kept} == kept


def test_another_codec_is_other_data_to_what_is_trained(latent: Path) -> None:
    with pytest.raises(UsageError, match=r"trained with another `codec` \(codec\.rank: null -> 3\)"):
        run(TRAINED, latent, CODEC)
    with pytest.raises(UsageError, match="trained with another `codec`"):
        run(TRAINED, latent)


def test_the_plan_has_the_codec_with_the_size_of_its_latents(latent: Path, tmp_path: Path) -> None:
    text = [str(plan(recipe_of(TRAINED, FULL), folder)) for folder in (tmp_path / "new", latent)]
    for lines in text:
        [row] = [line for line in lines.splitlines() if line.startswith("codec ")]
        assert "latents 4 x 4 x 4 of items 1 x 8 x 8, file " in row
        # Two bytes a number, 64 numbers of 1797 items.
        assert "shards 230 kB" in lines
    assert ["to do" in text[0], "done" in text[1]] == [True, True]


def test_autoencoders_of_others_are_kept_in_the_run(tmp_path: Path) -> None:
    codec = f"codec={{use: autoencoder-kl, path: '{autoencoder_folder()}', posterior: sample}}"
    run(TRAINED, tmp_path, codec, stage="sample")
    opened = open_run(tmp_path)
    assert opened.shards.shape == (2, 4, 4)
    about = json.loads((tmp_path / "shards/data.json").read_text())
    assert about["provenance"]["codec"].startswith("autoencoder-kl path=")
    x = opened.decode(opened.sampler(steps=2).sample(3).x)
    assert x.shape == (3, 1, 8, 8)


def test_experts_and_an_autoencoder_of_others_run_without_data(tmp_path: Path) -> None:
    codec = f"codec={{use: autoencoder-kl, path: '{autoencoder_folder()}'}}"
    options = ("data=null", "partition=null", "monolith=null", "routers={even: fixed}", "sample.methods={mixed: {}}")
    theirs = network(in_channels=2, out_channels=2, sample_size=4)
    DDIMPipeline(unet=theirs, scheduler=DDIMScheduler()).save_pretrained(tmp_path / "expert")
    lines = (*options, f"expert={{use: diffusers, path: '{tmp_path / 'expert'}'}}")
    run(TRAINED, tmp_path / "run", codec, *lines, "evaluate.data=digits", stage="evaluate")
    opened = open_run(tmp_path / "run")
    assert (opened.shards.shape, opened.shards.data_shape) == ((2, 4, 4), (1, 8, 8))
    assert opened.decode(opened.sampler(steps=2).sample(3).x).shape == (3, 1, 8, 8)
    [row] = read_json(tmp_path / "run/scores.json")["rows"]
    assert row["conditions"]["decoded"].endswith(", the real items as they are")
    planned = str(plan(recipe_of(TRAINED, codec, *lines), tmp_path / "new")).splitlines()
    assert any(line.startswith("codec ") and "latents 2 x 4 x 4 of items 1 x 8 x 8" in line for line in planned)
    (tmp_path / "grey").mkdir()
    DDIMPipeline(unet=network(in_channels=1, out_channels=1, sample_size=4), scheduler=DDIMScheduler()).save_pretrained(
        tmp_path / "grey"
    )
    with pytest.raises(RecipeError, match="for latents of 2 channels, the experts' are 1 x 4 x 4"):
        run(TRAINED, tmp_path / "other", codec, *options, f"expert={{use: diffusers, path: '{tmp_path / 'grey'}'}}")
    with pytest.raises(RecipeError, match="codec pca: without data there is nothing to fit it to"):
        run(TRAINED, tmp_path / "other", CODEC, *lines)


def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path) -> None:
    cases = [
        ((CODEC, "expert.train.horizontal_flips=true"), "a codec's latents are none"),
        (("codec={use: pca, patch: 3}",), "no whole patches of side 3"),
        ((f"codec={{use: autoencoder-kl, path: '{tmp_path}'}}",), "config.json: no such file"),
    ]
    for line, message in cases:
        with pytest.raises((RecipeError, DataError), match=message) as raised:
            run(TRAINED, tmp_path / "run", *line)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "run/shards").exists()


def test_experts_of_latents_do_not_leave_their_codec(latent: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="codec pca: owners would fit codecs of their own"):
        train_expert(recipe_of(TRAINED, CODEC), 0, tmp_path / "out", progress=Silent())
    experts = [latent / "experts" / str(k) for k in range(3)]
    with pytest.raises(UsageError, match="an expert of a codec's latents"):
        assemble(experts, tmp_path / "assembled", recipe=None, overrides=(), progress=Silent())


def test_streams_of_latents_are_parquet_of_half_precision(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    items = np.random.default_rng(0).uniform(-1, 1, (30, 16)).astype(np.float32)
    table = pa.table({"x": pa.array(items.tolist(), pa.list_(pa.float32())), "label": np.arange(30) % 3})
    pq.write_table(table, tmp_path / "data.parquet")
    data = f"data={{use: parquet, path: '{tmp_path / 'data.parquet'}', column: x, label: label, streaming: true}}"
    options = ("partition=labels", "expert=empirical", "monolith=empirical", "routers={moments: moments}", data)
    run(TRAINED, tmp_path / "run", "codec={use: pca, rank: 5}", *options, stage="partition")
    opened = [part.items for part in open_shards(tmp_path / "run/shards", "").parts]
    assert {one.dtype for one in opened} == {np.dtype(np.float16)}
    assert [one.shape for one in opened] == [(10, 5)] * 3


def test_latents_beyond_half_precision_are_refused() -> None:
    class Large:
        data_shape = latent_shape = (2,)

        def encode(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
            return 1e6 * x

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return z

    items = EncodedItems(source=np.ones((3, 2), np.float32), codec=Large(), device=torch.device("cpu"))
    with pytest.raises(DataError, match="not finite numbers below 65504"):
        items[:]
