from __future__ import annotations

from pathlib import Path

import pytest

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.errors import ArtifactError


def made(folder: Path, content: str = "made", key: str = "inputs", seconds: float = 1.0) -> Artifact:
    unit = Artifact(folder=folder, key=key)
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(content)
    unit.close(["file"], seconds=seconds)
    return unit


def test_keys_tell_inputs_apart_and_do_not_depend_on_their_order() -> None:
    assert key_of(a=1, b=[2, {"c": 3}]) == key_of(b=[2, {"c": 3}], a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(b=1), key_of(a="1"), key_of(a=[1]), key_of(a=None), key_of()}) == 7


def test_it_is_done_once_it_is_closed(tmp_path: Path) -> None:
    assert not Artifact(folder=tmp_path / "u", key="inputs").is_done()
    unit = made(tmp_path / "u")
    assert unit.is_done()
    assert unit.notes() == {"seconds": 1.0}
    assert not Artifact(folder=unit.folder, key="other inputs").is_done()


@pytest.mark.parametrize("content", ["mode", "mad", "made!", ""])
def test_a_changed_file_undoes_it(tmp_path: Path, content: str) -> None:
    unit = made(tmp_path / "u")
    (unit.folder / "file").write_text(content)
    assert not unit.is_done()
    (unit.folder / "file").write_text("made")
    assert unit.is_done()
    (unit.folder / "file").unlink()
    assert not unit.is_done()


@pytest.mark.parametrize("record", ["", "{", "[]", "1", "{}", '{"key": "inputs"}', '{"key": "inputs", "files": 3}'])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, record: str) -> None:
    unit = made(tmp_path / "u")
    unit.record.write_text(record)
    assert not unit.is_done()


def test_the_digest_is_of_inputs_and_files_alone(tmp_path: Path) -> None:
    first = made(tmp_path / "a")
    assert made(tmp_path / "b", seconds=2.0).digest() == first.digest()
    assert made(tmp_path / "c", key="other inputs").digest() != first.digest()
    assert made(tmp_path / "d", content="something else").digest() != first.digest()
    with pytest.raises(ArtifactError):
        Artifact(folder=tmp_path / "e", key="inputs").digest()


def test_work_goes_on_only_with_the_same_inputs(tmp_path: Path) -> None:
    unit = Artifact(folder=tmp_path / "u", key="inputs")
    unit.begin()
    (unit.folder / "checkpoint").touch()
    unit.begin()
    assert (unit.folder / "checkpoint").exists()
    Artifact(folder=unit.folder, key="other inputs").begin()
    assert not (unit.folder / "checkpoint").exists()
    (unit.folder / "checkpoint").touch()
    (unit.folder / "begun.json").write_text("{")
    unit.begin()
    assert not (unit.folder / "checkpoint").exists()
