from __future__ import annotations

from pathlib import Path

import pytest

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.errors import ArtifactError


def made(folder: Path, content: str = "made", key: str = "inputs", seconds: float = 1.0) -> Artifact:
    artifact = Artifact(folder=folder, key=key)
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(content)
    artifact.commit(["file"], seconds=seconds)
    return artifact


def test_keys_tell_inputs_apart_and_do_not_depend_on_their_order() -> None:
    assert key_of(a=1, b=[2, {"c": 3}]) == key_of(b=[2, {"c": 3}], a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(b=1), key_of(a="1"), key_of(a=[1]), key_of(a=None), key_of()}) == 7


def test_it_is_done_once_it_is_closed(tmp_path: Path) -> None:
    assert not Artifact(folder=tmp_path / "u", key="inputs").is_done()
    artifact = made(tmp_path / "u")
    assert artifact.is_done()
    assert artifact.notes() == {"seconds": 1.0}
    assert not Artifact(folder=artifact.folder, key="other inputs").is_done()


@pytest.mark.parametrize("content", ["mode", "mad", "made!", ""])
def test_a_changed_file_undoes_it(tmp_path: Path, content: str) -> None:
    artifact = made(tmp_path / "u")
    (artifact.folder / "file").write_text(content)
    assert not artifact.is_done()
    (artifact.folder / "file").write_text("made")
    assert artifact.is_done()
    (artifact.folder / "file").unlink()
    assert not artifact.is_done()


@pytest.mark.parametrize("record", ["", "{", "[]", "1", "{}", '{"key": "inputs"}', '{"key": "inputs", "files": 3}'])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, record: str) -> None:
    artifact = made(tmp_path / "u")
    artifact.record.write_text(record)
    assert not artifact.is_done()


def test_the_digest_is_of_inputs_and_files_alone(tmp_path: Path) -> None:
    first = made(tmp_path / "a")
    assert made(tmp_path / "b", seconds=2.0).digest() == first.digest()
    assert made(tmp_path / "c", key="other inputs").digest() != first.digest()
    assert made(tmp_path / "d", content="something else").digest() != first.digest()
    with pytest.raises(ArtifactError):
        Artifact(folder=tmp_path / "e", key="inputs").digest()


def test_work_goes_on_only_with_the_same_inputs(tmp_path: Path) -> None:
    artifact = Artifact(folder=tmp_path / "u", key="inputs")
    artifact.start()
    (artifact.folder / "checkpoint").touch()
    artifact.start()
    assert (artifact.folder / "checkpoint").exists()
    Artifact(folder=artifact.folder, key="other inputs").start()
    assert not (artifact.folder / "checkpoint").exists()
    (artifact.folder / "checkpoint").touch()
    (artifact.folder / "begun.json").write_text("{")
    artifact.start()
    assert not (artifact.folder / "checkpoint").exists()
