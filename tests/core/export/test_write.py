"""What `mixvel export` writes: which row, in which layout, whole or not at all; it opens to the same sampler."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler
from diffusers_folders import network
from exported import pipeline
from safetensors.torch import load_file
from whole_runs import EXACT, TRAINED, files, run, snapshot

import mixvel_core as mx
from mixvel_core.errors import ArtifactError, DataError, PluginError, RecipeError, UsageError
from mixvel_core.export.card import model_card
from mixvel_core.export.choice import chosen
from mixvel_core.export.parts import open_exported, parts_of
from mixvel_core.export.write import export_run, is_exported
from mixvel_core.sampling.sampler import Sampler

STEPS = "sample.steps=[2]"


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors") / "run"
    run(EXACT, folder, stage="evaluate")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "run"
    run(TRAINED, folder, "expert.shared=true", stage="sample")
    return folder


def same(one: Sampler, other: Sampler) -> None:
    torch.testing.assert_close(one.sample(6, seed=3).x, other.sample(6, seed=3).x, atol=1e-6, rtol=0)


def ours(folder: Path) -> Sampler:
    parts = parts_of(folder)
    return open_exported(parts).sampler(monolith=parts.router is None, device="cpu")


def test_nothing_chosen_is_what_mixvel_sample_gives(vectors: Path, tmp_path: Path) -> None:
    before = snapshot(vectors)
    made = export_run(vectors, tmp_path / "out", ["sample.steps=[4]"])
    same(ours(made), mx.open_run(vectors).sampler(steps=4, device="cpu"))
    assert snapshot(vectors) == before
    assert list(tmp_path.iterdir()) == [made]
    assert {path.suffix for path in files(made).values()} == {".json", ".py", ".md", ".safetensors"}


def test_a_row_is_exported_with_its_router_and_settings(vectors: Path, tmp_path: Path) -> None:
    made = export_run(vectors, tmp_path / "out", [STEPS], method="guessed")
    opened = mx.open_run(vectors)
    same(ours(made), opened.sampler(selector="top1", router="prior", steps=2, device="cpu"))
    assert json.loads((made / "router" / "config.json").read_text())["router"]["use"] == "fixed"
    drawn = export_run(vectors, tmp_path / "drawn", [STEPS, "sample.integrator=euler"], method="drawn")
    same(ours(drawn), opened.sampler(selector="iid", integrator="euler", steps=2, device="cpu"))


def test_the_monolith_has_no_router(vectors: Path, tmp_path: Path) -> None:
    made = export_run(vectors, tmp_path / "out", [STEPS], method="alone")
    assert json.loads((made / "model_index.json").read_text())["router"] == [None, None]
    assert [path.name for path in (made / "experts").iterdir() if path.is_dir()] == ["monolith"]
    same(ours(made), mx.open_run(vectors).sampler(monolith=True, steps=2, device="cpu"))
    assert "Exported is the row **alone**" in (made / "README.md").read_text()


def test_experts_that_are_one_network_are_one_folder(images: Path, tmp_path: Path) -> None:
    made = export_run(images, tmp_path / "out", [STEPS])
    about = json.loads((made / "experts" / "shared" / "config.json").read_text())
    assert (about["_class_name"], about["num_class_embeds"]) == ("UNet2DModel", 3)
    same(ours(made), mx.open_run(images).sampler(steps=2, device="cpu"))
    alone = export_run(images, tmp_path / "alone", [STEPS], monolith=True)
    assert (alone / "experts" / "monolith" / "diffusion_pytorch_model.safetensors").exists()
    same(ours(alone), mx.open_run(images).sampler(monolith=True, steps=2, device="cpu"))


def test_networks_from_elsewhere_keep_their_own_layout(tmp_path: Path) -> None:
    DDIMPipeline(unet=network(in_channels=1, out_channels=1), scheduler=DDIMScheduler()).save_pretrained(
        tmp_path / "net"
    )
    text = f"""\
name: foreign
data: digits
partition: {{use: labels, groups: [[0], [1, 2, 3, 4, 5, 6, 7, 8, 9]]}}
schedule: vp-cosine
expert: {{use: diffusers, path: {tmp_path / "net"}}}
routers: {{prior: fixed}}
sample: {{count: 2, steps: [2], selector: mixture, integrator: ddim, methods: {{mixed: {{}}}}}}
evaluate: {{metrics: []}}
launcher: local
"""
    run(text, tmp_path / "run", stage="sample")
    made = export_run(tmp_path / "run", tmp_path / "out", [STEPS])
    shutil.rmtree(tmp_path / "net")
    same(ours(made), mx.open_run(tmp_path / "run").sampler(steps=2, device="cpu"))
    theirs = load_file(made / "experts" / "0" / "diffusion_pytorch_model.safetensors")
    assert "conv_in.weight" in theirs


def test_a_codec_goes_with_the_experts_of_its_latents(tmp_path: Path) -> None:
    run(TRAINED, tmp_path / "run", "codec={use: pca, patch: 2}", "expert.train.steps=2", stage="sample")
    made = export_run(tmp_path / "run", tmp_path / "out", [STEPS])
    opened, parts = mx.open_run(tmp_path / "run"), parts_of(made)
    z = opened.sampler(steps=2, device="cpu").sample(6, seed=3).x
    same(ours(made), opened.sampler(steps=2, device="cpu"))
    torch.testing.assert_close(open_exported(parts).decode(z), opened.decode(z), atol=1e-6, rtol=0)
    pipe = pipeline(made)
    raw, latent = (pipe(6, seed=3, output_type=kind).images for kind in ("raw", "latent"))
    torch.testing.assert_close(latent, z, atol=1e-6, rtol=0)
    torch.testing.assert_close(raw, opened.decode(z), atol=1e-6, rtol=0)
    assert [image.size for image in pipe(2, seed=3).images] == [(8, 8)] * 2
    assert json.loads((made / "model_index.json").read_text())["codec"] == ["mixvel_codec", "CodecPart"]
    card = (made / "README.md").read_text()
    assert "1x8x8 items" in card
    assert "| latents | 4x4x4, by pca" in card
    (made / "codec" / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"codec/model\.safetensors: missing"):
        open_exported(parts).decode(z)


def test_a_folder_is_whole_or_absent_and_replaced_on_request_alone(vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_run(vectors, out, [STEPS])
    before = snapshot(out)
    with pytest.raises(UsageError, match=r"an exported folder is there; `--replace`"):
        export_run(vectors, out, [STEPS])
    damaged = tmp_path / "run"
    shutil.copytree(vectors, damaged)
    model = damaged / "experts" / "2" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match="model"):
        export_run(damaged, out, [STEPS], replace=True)
    assert snapshot(out) == before
    export_run(vectors, out, ["sample.steps=[3]"], replace=True)
    assert ours(out).steps == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_other_folders_and_files_are_never_replaced(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    for place in (tmp_path / "mine", tmp_path / "mine" / "thesis.tex"):
        with pytest.raises(UsageError, match="is no exported folder; choose another --to"):
            export_run(vectors, place, [STEPS], replace=True)
    (tmp_path / "mine" / "model_index.json").write_text("[]")
    assert not is_exported(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    export_run(vectors, ".", [STEPS])
    assert is_exported(tmp_path / "empty")


@pytest.mark.parametrize(
    ("options", "choice", "message"),
    [
        ([STEPS], {"method": "best"}, "no method is called 'best'; the recipe has alone, drawn, mixed, guessed"),
        ([STEPS], {"router": "other"}, "no router is called 'other'"),
        ([STEPS], {"router": "prior", "monolith": True}, "the monolith is not routed"),
        ([], {}, "one number of steps is exported"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_written(
    vectors: Path, tmp_path: Path, options: list[str], choice: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export_run(vectors, tmp_path / "out", options, **choice)  # type: ignore[arg-type]  # names of arguments
    assert not list(tmp_path.iterdir())


def test_items_are_not_exported(tmp_path: Path) -> None:
    text = EXACT.replace("expert: gaussian-mixture", "expert: empirical", 1)
    run(text, tmp_path / "run", stage="sample")
    with pytest.raises(DataError, match="experts empirical are made of the items themselves"):
        export_run(tmp_path / "run", tmp_path / "out", [STEPS])
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_opened_says_so_in_a_line(vectors: Path, tmp_path: Path) -> None:
    made = export_run(vectors, tmp_path / "out", [STEPS])
    path = made / "sampler" / "config.json"
    about = json.loads(path.read_text())

    def changed(**changes: object) -> None:
        path.write_text(json.dumps(about | changes))

    changed(format=2)
    with pytest.raises(ArtifactError, match=r"exported in format 2 by mixvel .* reads format 1; install that version"):
        ours(made)
    changed(plugins=[{"kind": "selector", "name": "clever", "package": "mixvel-clever", "version": "1.2"}])
    with pytest.raises(PluginError, match=r"selector clever: comes with the package mixvel-clever 1\.2, .*install it"):
        ours(made)
    changed(plugins=[{"kind": "oracle", "name": "x", "package": "y", "version": ""}])
    with pytest.raises(ArtifactError, match="no kind of plugin called 'oracle'"):
        ours(made)
    changed(sample={**about["sample"], "clever": 3})
    with pytest.raises(RecipeError, match=r"config\.json.*clever"):
        ours(made)
    changed()
    weights = made / "experts" / "1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"experts/1/model\.safetensors: damaged"):
        ours(made)
    (made / "experts" / "config.json").write_text("[]")
    with pytest.raises(ArtifactError, match="not of an exported folder"):
        ours(made)


def test_a_network_of_diffusers_is_checked_when_it_is_loaded(images: Path, tmp_path: Path) -> None:
    made = export_run(images, tmp_path / "out", [STEPS])
    weights = made / "experts" / "shared" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(ArtifactError, match=r"diffusion_pytorch_model\.safetensors: damaged"):
        ours(made)
    weights.unlink()
    with pytest.raises(ArtifactError, match="missing; download the whole folder"):
        ours(made)


def test_the_card_has_scores_conditions_and_the_recipe_and_no_places(vectors: Path, tmp_path: Path) -> None:
    made = export_run(vectors, tmp_path / "out", [STEPS], method="mixed")
    card = (made / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: diffusers\n")
    for words in ("| **mixed** | 2 |", "| real against real |", "## Conditions\n\nNone", "| 2 |", "projections"):
        assert words in card
    body = card.partition("```yaml\n")[2].partition("```")[0]
    assert "name: exact" in body
    assert str(tmp_path) not in card


def test_packages_of_plugins_from_elsewhere_are_named(vectors: Path) -> None:
    opened = mx.open_run(vectors, [STEPS])
    choice = chosen(opened, [STEPS], method=None, router=None, monolith=False)
    theirs = {"kind": "selector", "name": "clever", "package": "mixvel-clever", "version": "1.2"}
    own = {"kind": "integrator", "name": "ddim", "package": "mixvel", "version": "0.1.0"}
    card = model_card(opened, choice, {"0": None}, [own, theirs])
    assert "**It needs the package `mixvel-clever` 1.2 too**, for selector clever." in card
    assert "It needs the package" not in model_card(opened, choice, {"0": None}, [own])
