from __future__ import annotations

import os
from pathlib import Path

import pytest

from mixvel_core.artifacts.artifact import Artifact, check_bytes, discard_damaged, key_of
from mixvel_core.artifacts.files import checksum, write_checksummed_json
from mixvel_core.errors import ArtifactError
from mixvel_core.protocols.progress import Silent


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
    artifact.manifest.write_text(record)
    assert not artifact.is_done()


def flip(path: Path, *, unnoticed: bool) -> None:
    """Changes a byte: ``unnoticed``, as a disk may, with the size and the time of last change of before."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    moved = 0 if unnoticed else 1_000_000
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + moved))


def test_bytes_are_read_where_size_and_time_differ_or_all_are_to_be_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = made(tmp_path / "u")
    flip(tmp_path / "u/file", unnoticed=False)
    assert not artifact.is_done()
    assert artifact.first_damaged() == tmp_path / "u/file"
    artifact = made(tmp_path / "u")
    flip(tmp_path / "u/file", unnoticed=True)
    assert artifact.is_done()
    assert not artifact.is_done(verify=True)
    assert artifact.first_damaged(verify=True) == tmp_path / "u/file"
    artifact = made(tmp_path / "u")
    os.utime(tmp_path / "u/file", ns=(0, 0))
    assert artifact.is_done()
    digest, read = artifact.digest(), list[Path]()

    def counted(path: Path) -> str:
        read.append(path)
        return checksum(path)

    monkeypatch.setattr("mixvel_core.artifacts.artifact.checksum", counted)
    artifact.is_done()
    discard_damaged(tmp_path, Silent())  # records the new time
    assert len(read) == 2
    assert artifact.is_done()
    assert len(read) == 2
    assert artifact.digest() == digest


def test_verifying_a_folder_names_what_is_damaged_and_what_is_to_be_made_again(tmp_path: Path) -> None:
    for name in "ab":
        made(tmp_path / name)
    write_checksummed_json(tmp_path / "study.json", {"key": "no manifest"})
    check_bytes(tmp_path)
    flip(tmp_path / "a/file", unnoticed=True)
    with pytest.raises(ArtifactError, match="a/file"):
        check_bytes(tmp_path)
    assert Artifact(folder=tmp_path / "a", key="inputs").is_done()
    discard_damaged(tmp_path, Silent())
    assert [Artifact(folder=tmp_path / name, key="inputs").is_done() for name in "ab"] == [False, True]


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
    (artifact.folder / "started.json").write_text("{")
    artifact.start()
    assert not (artifact.folder / "checkpoint").exists()
