"""mixvel train: what an owner hands over is the pooled run's expert, and nothing else of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from silos import SILOS, hand_over, owner_data, save_data
from whole_runs import EXACT, Bomb, KilledError, files, recipe_of, snapshot

from mixvel_core.artifacts.files import read_json
from mixvel_core.artifacts.tensors import read_checksummed
from mixvel_core.errors import DataError, RecipeError, UsageError
from mixvel_core.federated.share import share_of
from mixvel_core.federated.train import train_expert, training_folder
from mixvel_core.protocols.progress import Silent

HANDED = {"config.json", "model.safetensors", "moments.safetensors", "done.json"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    save_data(folder)
    return folder


@pytest.fixture(scope="module")
def handed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Owner 1's folder; nobody changes it."""
    return hand_over(data, 1, tmp_path_factory.mktemp("silo") / "one")


def test_it_holds_the_expert_and_nothing_else(handed: Path, data: Path) -> None:
    assert set(files(handed)) == HANDED
    about = read_json(handed / "config.json")
    assert about.keys() == {"format", "index", "count", "shape", "values", "share", "expert", "schedule"}
    assert str(data) not in "".join(path.read_text("latin-1") for path in files(handed).values())


def test_no_item_is_in_it(handed: Path, data: Path) -> None:
    with np.load(data / "owner-1.npz") as arrays:
        items = [item.tobytes() for item in arrays["items"]]
    bytes_of = {name: path.read_bytes() for name, path in files(handed).items()}
    assert not [name for name, content in bytes_of.items() if any(item in content for item in items)]
    stays = b"".join(path.read_bytes() for path in files(training_folder(handed)).values())
    assert all(item in stays for item in items), "the search finds items where they are"


def test_moments_are_of_the_items(handed: Path, data: Path) -> None:
    with np.load(data / "owner-1.npz") as arrays:
        items = arrays["items"].astype(np.float64)
    shared, _ = read_checksummed(handed / "moments.safetensors")
    np.testing.assert_allclose(shared["mean"].numpy(), items.mean(0), atol=1e-6)
    np.testing.assert_allclose(shared["variance"].numpy(), items.var(0), atol=1e-6)


def test_the_count_alone_can_be_shared(data: Path, tmp_path: Path) -> None:
    out = hand_over(data, 1, tmp_path / "silo", share="count")
    assert set(files(out)) == HANDED - {"moments.safetensors"}
    tensors, _ = read_checksummed(out / "model.safetensors")
    assert all(name.startswith("network.") for name in tensors)
    before = snapshot(training_folder(out))
    hand_over(data, 1, out, share="moments")
    assert set(files(out)) == HANDED, "what is shared may change later"
    assert snapshot(training_folder(out)) == before, "and nothing is trained again"


def test_again_changes_nothing(handed: Path, data: Path) -> None:
    before = snapshot(handed.parent)
    hand_over(data, 1, handed)
    assert snapshot(handed.parent) == before


def test_killed_anywhere_it_goes_on(handed: Path, data: Path, tmp_path: Path) -> None:
    counting = Bomb()
    hand_over(data, 1, tmp_path / "counting", progress=counting)
    assert counting.events > 8
    for fuse in range(0, counting.events, 3):
        out = tmp_path / str(fuse)
        with pytest.raises(KilledError):
            hand_over(data, 1, out, progress=Bomb(fuse=fuse))
        hand_over(data, 1, out)
        assert (out / "model.safetensors").read_bytes() == (handed / "model.safetensors").read_bytes()
        assert set(files(out)) == HANDED


def test_other_data_are_refused_in_the_same_place(handed: Path, data: Path) -> None:
    before = snapshot(handed.parent)
    with pytest.raises(UsageError, match=r"made in another way \(data.path: .*owner-2.*--fresh starts over"):
        hand_over(data, 2, handed, index=1)
    with pytest.raises(UsageError, match="index: 1 -> 0"):
        hand_over(data, 1, handed, index=0)
    assert snapshot(handed.parent) == before


def test_fresh_starts_over(data: Path, tmp_path: Path) -> None:
    out = hand_over(data, 0, tmp_path / "silo")
    hand_over(data, 2, out, index=2, fresh=True)
    other = hand_over(data, 2, tmp_path / "other")
    assert (out / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_strangers_folders_are_left_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(UsageError, match=r"holds thesis\.tex"):
        hand_over(data, 0, tmp_path / "mine", fresh=True)
    (tmp_path / "silo.training").mkdir()
    (tmp_path / "silo.training" / "thesis.tex").write_text("years")
    with pytest.raises(UsageError, match="something else"):
        hand_over(data, 0, tmp_path / "silo", fresh=True)
    assert set(files(tmp_path)) == {"mine/thesis.tex", "silo.training/thesis.tex"}


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (("expert.prediction=eps",), RecipeError, "prediction eps needs the mean"),
        (("data={use: gaussian-mixture, count: 20}", "expert=gaussian-mixture"), UsageError, "cannot do without"),
        (("data=null", "partition=null"), DataError, "an expert is trained on data"),
    ],
)
def test_what_cannot_be_kept_back_is_said_before_anything_is_done(
    data: Path, tmp_path: Path, overrides: tuple[str, ...], error: type[Exception], message: str
) -> None:
    recipe = recipe_of(SILOS, owner_data(data, 0), *overrides)
    with pytest.raises(error, match=message):
        train_expert(recipe, 0, tmp_path / "silo", share=share_of("count"), progress=Silent())
    assert not list(tmp_path.iterdir())


def test_an_expert_made_of_items_is_not_handed_over(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="made of the items themselves"):
        hand_over(data, 0, tmp_path / "silo", "expert=empirical")
    assert not (tmp_path / "silo").exists()


def test_a_closed_form_is_handed_over(tmp_path: Path) -> None:
    train_expert(recipe_of(EXACT), 2, tmp_path / "silo", progress=Silent())
    assert set(files(tmp_path / "silo")) == HANDED
    assert read_json(tmp_path / "silo/config.json")["values"] == "any"
