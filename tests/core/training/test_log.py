"""losses.csv after interruptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixvel_core.errors import ArtifactError
from mixvel_core.training.log import Losses, LossLog, read_losses


def _record(path: Path, losses: Losses, *rows: tuple[int, dict[str, float]]) -> None:
    log = LossLog(path, losses)
    for step, values in rows:
        losses.add(step, values)
        log.append()


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    path, losses = tmp_path / "losses.csv", Losses()
    _record(path, losses, (1, {"part": 2.5e-17, "loss": 1 / 3}), (5, {"loss": 0.25, "part": 1.0}))
    assert path.read_text() == losses.text() == "step,loss,part\n1,0.3333333333333333,2.5e-17\n5,0.25,1.0\n"
    assert read_losses(path) == losses.columns() == {"step": [1, 5], "loss": [1 / 3, 0.25], "part": [2.5e-17, 1.0]}


@pytest.mark.parametrize("left", ["", "step,loss\n5,0.5\n10,0.12", "step,loss\n5,0.7\n10,1\n15,2\n", "\0\0\0"])
def test_the_file_is_a_view_of_what_was_recorded(tmp_path: Path, left: str) -> None:
    path = tmp_path / "losses.csv"
    path.write_text(left)
    earlier: dict[str, list[float]] = {"step": [5, 10], "loss": [0.5, 0.125], "b": [0.0, 1.0], "a": [3.0, 2.0]}
    _record(path, Losses.of(earlier), (15, {"b": 1.0, "a": 2.0, "loss": 0.1}))
    assert path.read_text() == "step,loss,a,b\n5,0.5,3.0,0.0\n10,0.125,2.0,1.0\n15,0.1,2.0,1.0\n"


def test_nothing_recorded(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    assert read_losses(path) == {}
    LossLog(path, Losses.of({}))
    assert path.read_text() == ""
    assert read_losses(path) == Losses().columns() == {}


def test_a_line_without_an_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text("step,loss\n5,0.5\n10,0.12")
    assert read_losses(tmp_path / "losses.csv") == {"step": [5], "loss": [0.5]}


@pytest.mark.parametrize("content", [b"step,loss\nfive,0.5\n", b"step,loss\n5\n", b"\xff\xfe\n", b"a\0b\n1\0,2\n"])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "losses.csv").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"losses\.csv: damaged"):
        read_losses(tmp_path / "losses.csv")
