"""A sealed file is read back exactly, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixvel_core.artifacts.tensors import read_checksummed, write_checksummed
from mixvel_core.errors import ArtifactError


def test_everything_comes_back(tmp_path: Path) -> None:
    tensors = {
        "float": torch.randn(2, 3),
        "double": torch.randn(3).double(),
        "half": torch.randn(3).bfloat16(),
        "count": torch.tensor(5),
        "mask": torch.tensor([True, False]),
        "empty": torch.empty(0, 4),
        "turned": torch.arange(6.0).reshape(2, 3).T,
    }
    path = tmp_path / "new" / "file.safetensors"
    write_checksummed(path, tensors, {"step": 3, "options": {"rate": 0.1}})
    found, metadata = read_checksummed(path)
    assert metadata == {"step": 3, "options": {"rate": 0.1}}
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
    assert [p.name for p in path.parent.iterdir()] == ["file.safetensors"]


def test_no_tensors_are_fine(tmp_path: Path) -> None:
    write_checksummed(tmp_path / "file", {}, {})
    assert read_checksummed(tmp_path / "file") == ({}, {})


def test_tensors_may_share_memory(tmp_path: Path) -> None:
    value = torch.arange(4.0)
    write_checksummed(tmp_path / "file", {"a": value, "b": value, "c": value[1:3]}, {})
    found, _ = read_checksummed(tmp_path / "file")
    assert torch.equal(found["b"], value)
    assert torch.equal(found["c"], value[1:3])


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    a, b = torch.ones(2), torch.zeros(3)
    write_checksummed(tmp_path / "1", {"a": a, "b": b}, {"x": 1, "y": 2})
    write_checksummed(tmp_path / "2", {"b": b, "a": a}, {"y": 2, "x": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_checksummed(path, {"a": torch.arange(3.0), "n": torch.tensor(2)}, {"step": 1})
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="damaged"):
            read_checksummed(path)


def test_every_lost_end_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_checksummed(path, {"a": torch.arange(3.0)}, {"step": 1})
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ArtifactError, match="damaged"):
            read_checksummed(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere: missing"):
        read_checksummed(tmp_path / "nowhere")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtifactError, match="cannot be written"):
        write_checksummed(tmp_path / "file" / "below", {"a": torch.ones(1)}, {})
