"""Hugging Face data sets from folders, which need no network, and what is said where there is nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import original_formats as formats
import pytest

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data
from mixvel_core.recipe.build import build

datasets = pytest.importorskip("datasets")

PHOTOS = [formats.photograph(6, 6, i) for i in range(5)]
ITEMS = np.stack([np.asarray(image).transpose(2, 0, 1) for image in PHOTOS])


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def table(**more: object) -> object:
    columns = {"img": PHOTOS, "label": [2, 0, 1, 2, 0], "Male": [True, False, True, True, False], "note": list("abcde")}
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "label": datasets.ClassLabel(names=["ant", "bee", "cat"]),
            "Male": datasets.Value("bool"),
            "note": datasets.Value("string"),
        }
    )
    return datasets.Dataset.from_dict({**columns, **more}, features=features)


def loaded(place: Path, tmp_path: Path, **options: object) -> Data:
    options = {"name": str(place), "image": "img", "store": str(tmp_path / "store"), **options}
    return build("data", "hf", options).load()


def refusal(place: Path, tmp_path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        loaded(place, tmp_path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["saved", "splits", "parquet"])
def test_folders(tmp_path: Path, kind: str) -> None:
    place, made = tmp_path / "in", table()
    if kind == "saved":
        made.save_to_disk(str(place))  # type: ignore[attr-defined]  # a Dataset
    elif kind == "splits":
        datasets.DatasetDict({"train": made}).save_to_disk(str(place))
    else:
        place.mkdir()
        made.to_parquet(str(place / "train-00000.parquet"))  # type: ignore[attr-defined]  # a Dataset
    for _ in range(2):
        data = loaded(place, tmp_path, label="label", attributes=["Male"])
        np.testing.assert_array_equal(data.items[:], ITEMS)
        assert data.labels is not None
        assert data.labels.tolist() == [2, 0, 1, 2, 0]
        assert data.label_names == ("ant", "bee", "cat")
        assert data.attributes["Male"].tolist() == [True, False, True, True, False]
    assert len(list((tmp_path / "store").iterdir())) == 1


def test_cifar_and_celeba_by_name(tmp_path: Path) -> None:
    table().save_to_disk(str(tmp_path / "in"))  # type: ignore[attr-defined]  # a Dataset
    store = str(tmp_path / "store")
    data = build("data", "cifar10", {"hub": str(tmp_path / "in"), "store": store}).load()
    assert data.label_names == ("ant", "bee", "cat")
    renamed = table().rename_column("img", "image")  # type: ignore[attr-defined]  # a Dataset
    renamed.save_to_disk(str(tmp_path / "faces"))
    data = build("data", "celebahq", {"hub": str(tmp_path / "faces"), "store": store, "resolution": 3}).load()
    assert data.items.shape == (5, 3, 3, 3)
    assert list(data.attributes) == ["Male"]


def test_a_broken_image_is_known_by_its_row(tmp_path: Path) -> None:
    images = [{"bytes": formats.encoded(image), "path": None} for image in PHOTOS[:4]]
    table(img=[*images, {"bytes": b"no image", "path": None}]).save_to_disk(str(tmp_path / "in"))  # type: ignore[attr-defined]  # a Dataset
    assert "1 of 5 images cannot be read" in refusal(tmp_path / "in", tmp_path)
    assert "train, row 4 (" in refusal(tmp_path / "in", tmp_path)
    assert len(loaded(tmp_path / "in", tmp_path, unreadable="skip").items) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": "picture"}, "has no column 'picture'; it has img, label, Male, note"),
        ({"image": "note"}, "column 'note' holds .*; expected images"),
        ({"attributes": ["note"]}, "column 'note' holds .*; expected true and false"),
        ({"attributes": ["Young"]}, "has no column 'Young'"),
    ],
)
def test_columns_of_something_else(tmp_path: Path, options: dict[str, object], said: str) -> None:
    table().save_to_disk(str(tmp_path / "in"))  # type: ignore[attr-defined]  # a Dataset
    with pytest.raises(DataError, match=said):
        loaded(tmp_path / "in", tmp_path, **options)


def test_absent_says_how_to_get_it(tmp_path: Path) -> None:
    message = refusal(Path("nobody/nothing"), tmp_path, split="test")
    assert "python -c \"from datasets import load_dataset; load_dataset('nobody/nothing', split='test')\"" in message


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'mixvel[datasets]'" in refusal(tmp_path, tmp_path)
