"""mixvel assemble: experts trained apart become a run without data, or one line says which of them does not fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Command
from silos import (
    COUNTS,
    SILOS,
    K,
    cut_short,
    forge,
    go_on,
    hand_over,
    pooled_data,
    put_together,
    require_refusal,
    save_data,
)
from whole_runs import recipe_of, results, run, snapshot

from mixvel_core.analysis.commands import measure_run
from mixvel_core.analysis.study import study
from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import ArtifactError, DataError, MixvelError, RecipeError, UsageError
from mixvel_core.federated.assemble import assemble
from mixvel_core.pipeline.more_samples import sample_run
from mixvel_core.pipeline.opened import open_run
from mixvel_core.pipeline.plan import plan
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols.progress import Silent
from mixvel_core.recipe.resolve import load_recipe


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, the recipe, and an expert of each owner; nobody changes them."""
    folder = tmp_path_factory.mktemp("owners")
    save_data(folder)
    for k in range(K):
        hand_over(folder, k, folder / str(k), share="count" if k == 1 else "moments")
    return folder


def folders_of(place: Path, *owners: int) -> list[Path]:
    return [place / str(k) for k in owners or range(K)]


def put_all_together(place: Path, out: Path, *overrides: str) -> None:
    put_together(place, out, *overrides, folders=folders_of(place))


@pytest.fixture(scope="module")
def finished(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assembled run, up to its report; nobody changes it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    put_all_together(place, folder)
    go_on(folder)
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    """Folders of all owners, to be changed."""
    for k in range(K):
        shutil.copytree(place / str(k), tmp_path / "owners" / str(k))
    shutil.copyfile(place / "silos.yaml", tmp_path / "owners/silos.yaml")
    return tmp_path / "owners"


def test_experts_are_the_pooled_runs(place: Path, finished: Path, tmp_path: Path) -> None:
    run(SILOS, tmp_path, pooled_data(place), stage="experts")
    for k in (0, 2):
        expert = f"experts/{k}"
        for name in ("model.safetensors", "moments.safetensors", "config.json"):
            assert (finished / expert / name).read_bytes() == (tmp_path / expert / name).read_bytes()
    assert not (finished / "experts/1/moments.safetensors").exists()
    fractions = [read_json(finished / f"experts/{k}/config.json")["fraction"] for k in range(K)]
    assert fractions == [count / sum(COUNTS) for count in COUNTS]


def test_it_runs_to_its_report_without_an_item(place: Path, finished: Path) -> None:
    with np.load(place / "pooled.npz") as arrays:
        items = [item.tobytes() for item in arrays["items"]]
    assert not [p for p in finished.rglob("*") if p.is_file() and any(item in p.read_bytes() for item in items)]
    with np.load(finished / "samples/cached/steps-2-seed-0.npz") as samples:
        assert np.isfinite(samples["x"]).all()
    found = read_json(finished / "scores.json")
    assert (found["rows"], found["floors"], found["noise"]) == ([], [], [])
    assert "30 samples" in read_json(finished / "report/report.json")["routers"]["a"]["learned_from"]


def test_it_is_sampled_and_studied(finished: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(finished, tmp_path / "run"))
    assert [part.count for part in open_run(copied).shards.parts] == list(COUNTS)
    overrides = ["sample.count=2", "sample.steps=[2]", "sample.seeds=[0]"]
    found = sample_run(copied, overrides, router=None, monolith=False, out=tmp_path / "more", progress=Silent())
    assert all(path.exists() for path in found)
    small = ("selectors=[mixture]", "integrators=[ddim]", "steps=[2,3]", "count=2", "tolerance=0.1")
    made = measure_run(study, copied, [f"study.{one}" for one in small], progress=Silent())
    assert [row.steps for row in made.rows] == [2, 3]


def test_again_changes_nothing(place: Path, finished: Path) -> None:
    before = snapshot(finished)
    put_together(place, finished, folders=folders_of(place, 2, 0, 1))
    go_on(finished)
    assert snapshot(finished) == before
    assert "with their owners" in str(plan(load_recipe(finished / "recipe.yaml", [], load_registry()), finished))


def test_other_experts_are_refused(place: Path, finished: Path) -> None:
    before = snapshot(finished)
    with pytest.raises(UsageError, match="assembled from other experts"):
        put_together(place, finished, folders=folders_of(place, 0, 1))
    with pytest.raises(UsageError, match=r"another `seed` \(seed: 0 -> 4\)"):
        put_all_together(place, finished, "seed=4")
    assert snapshot(finished) == before


def test_nothing_is_lost_where_the_data_would_be_needed(place: Path, tmp_path: Path) -> None:
    put_all_together(place, tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match="`data` is null"):
        go_on(tmp_path, fresh=["all"])
    assert snapshot(tmp_path) == before
    (tmp_path / "experts/1/model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"experts/1: "):
        go_on(tmp_path)
    put_all_together(place, tmp_path)
    assert results(tmp_path)["experts/1/model.safetensors"] == before["experts/1/model.safetensors"][0]


def test_a_data_set_to_compare_with_gives_scores(place: Path, tmp_path: Path) -> None:
    put_all_together(place, tmp_path, f"evaluate.data={{use: numpy, path: {place}/pooled.npz}}")
    go_on(tmp_path)
    assert len(read_json(tmp_path / "scores.json")["rows"]) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("routers.a.train_on=data", r"^routers\.a  "),
        ("routers.a=oracle", r"^routers\.a  "),
        ("monolith=unet", "monolith  "),
        ("expert.channels=[8,8]", "other experts than .*channels"),
        ("schedule=vp-linear", "other experts than"),
        ("evaluate.data={use: gaussian-mixture, dimension: 3}", r"items of shape \(3,\) cannot be compared"),
    ],
)
def test_recipes_that_do_not_fit(place: Path, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refused:
        put_all_together(place, tmp_path / "run", override)
    assert len(refused.value.problems) == 1
    assert not (tmp_path / "run").exists()


def exchange(folder: Path) -> None:
    """Another owner's weights under this owner's name, with a list of files that agrees."""
    shutil.copyfile(folder.parent / "0/model.safetensors", folder / "model.safetensors")
    forge(folder)


DAMAGES: dict[str, tuple[Callable[[Path], object], type[MixvelError], str]] = {
    "absent": (shutil.rmtree, DataError, "no expert here"),
    "weights cut short": (lambda f: cut_short(f / "model.safetensors"), ArtifactError, "damaged, or changed"),
    "moments gone": (lambda f: (f / "moments.safetensors").unlink(), ArtifactError, "damaged, or changed"),
    "no list of files": (lambda f: (f / "done.json").unlink(), ArtifactError, "damaged, or changed"),
    "an ordinary run's": (lambda f: (f / "config.json").write_text('{"index": 0}'), ArtifactError, "not written by"),
    "of the future": (lambda f: forge(f, format=9), ArtifactError, "a later mixvel"),
    "count says more": (lambda f: forge(f, count=10**9), ArtifactError, "not of one expert"),
    "shape is another": (lambda f: forge(f, shape=[1, 16, 16]), ArtifactError, "items"),
    "weights of another": (exchange, DataError, "the same expert as"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_foreign_is_named(copy: Path, tmp_path: Path, damage: str) -> None:
    spoil, error, message = DAMAGES[damage]
    spoil(copy / "2")
    require_refusal(error, message, copy / "2", folders_of(copy), tmp_path / "run", copy / "silos.yaml")


def test_a_shape_claimed_by_all_headers_is_refused_too(copy: Path, tmp_path: Path) -> None:
    for k in range(K):
        forge(copy / str(k), shape=[1, 16, 16])
    with pytest.raises(ArtifactError, match="not of one expert"):
        put_all_together(copy, tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "what"), [("schedule=vp-linear", "the schedule"), ("expert.channels=[4, 4]", "the expert: channels")]
)
def test_experts_that_do_not_fit_together(place: Path, tmp_path: Path, override: str, what: str) -> None:
    other = hand_over(place, 2, tmp_path / "other", override)
    with pytest.raises(ArtifactError, match=rf"^{other}: {what}"):
        assemble([place / "0", other], tmp_path / "run", recipe=None, overrides=[], progress=Silent())


def test_how_long_each_was_trained_is_its_owners_business(place: Path, tmp_path: Path) -> None:
    other = hand_over(place, 2, tmp_path / "other", "expert.train.steps=4")
    assemble([place / "0", other], tmp_path / "run", recipe=None, overrides=[], progress=Silent())


def test_numbers_come_from_the_owners_if_they_differ_else_from_the_order(place: Path, tmp_path: Path) -> None:
    put_together(place, tmp_path / "gaps", folders=folders_of(place, 2, 0))
    counts = [read_json(tmp_path / f"gaps/shards/{k}/shard.json")["count"] for k in range(2)]
    assert counts == [COUNTS[0], COUNTS[2]]
    namesake = hand_over(place, 1, tmp_path / "namesake", index=0)
    assemble([namesake, place / "0"], tmp_path / "run", recipe=None, overrides=[], progress=Silent())
    counts = [read_json(tmp_path / f"run/shards/{k}/shard.json")["count"] for k in range(2)]
    assert counts == [COUNTS[1], COUNTS[0]]


def test_a_recipe_without_data_is_no_recipe_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`mixvel assemble` makes a run"):
        run(SILOS, tmp_path / "run", "data=null", "partition=null")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match="partition  needs the data"):
        recipe_of(SILOS, "data=null")


def test_the_commands(mixvel: Command, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, out = str(place / "silos.yaml"), str(tmp_path / "zero")
    done = mixvel(
        "train",
        recipe,
        f"data={{use: numpy, path: {place}/owner-0.npz, range: [-1, 1]}}",
        "--expert",
        "0",
        "--out",
        out,
    )
    assert (done.code, done.problems) == (0, [])
    assert "trained on 12 items" in done.out
    assert (Path(out) / "model.safetensors").read_bytes() == (place / "0/model.safetensors").read_bytes()
    done = mixvel("assemble", out, str(place / "2"), "--out", "two", "routers.a.depth=2")
    assert (done.code, done.problems) == (0, [])
    assert load_recipe(Path("two/recipe.yaml"), [], load_registry()).routers["a"].options.depth == 2
    shutil.copytree(place / "2", "owner=2")
    assert mixvel("assemble", out, "owner=2", "--out", "equals").code == 0
    done = mixvel("assemble", "silos/owner=2", "--out", "none")
    assert (done.code, len(done.problems)) == (3, 1)
    assert "silos/owner=2" in done.err
    cut_short(Path(out) / "model.safetensors")
    done = mixvel("assemble", out, str(place / "2"), "--out", "none")
    assert (done.code, len(done.problems)) == (4, 1)
    assert mixvel("assemble", out, "seed=1").code == 2
    assert not Path("none").exists()
