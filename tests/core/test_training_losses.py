"""losses.csv after interruptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixvel_core.errors import ArtifactError
from mixvel_core.training.losses import LossLog, read_losses


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    log = LossLog(path, 0)
    log.write(1, {"loss": 1 / 3, "part": 2.5e-17})
    log.write(5, {"loss": 0.25, "part": 1.0})
    assert path.read_text().splitlines()[0] == "step,loss,part"
    assert read_losses(path) == {"step": [1, 5], "loss": [1 / 3, 0.25], "part": [2.5e-17, 1.0]}


def test_steps_that_are_done_again_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    log = LossLog(path, 0)
    for step in (5, 10, 15):
        log.write(step, {"loss": float(step)})
    again = LossLog(path, 10)
    again.write(15, {"loss": 0.5})
    assert read_losses(path) == {"step": [5, 10, 15], "loss": [5.0, 10.0, 0.5]}


def test_a_line_without_an_end_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    path.write_text("step,loss\n5,0.5\n10,0.12")
    LossLog(path, 20).write(25, {"loss": 1.0})
    assert read_losses(path) == {"step": [5, 25], "loss": [0.5, 1.0]}


def test_starting_over_forgets_everything_but_the_header(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    LossLog(path, 0).write(5, {"loss": 1.0})
    LossLog(path, 0)
    assert read_losses(path) == {"step": [], "loss": []}


def test_an_absent_file_has_no_columns(tmp_path: Path) -> None:
    assert read_losses(tmp_path / "losses.csv") == {}


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text("step,loss\nfive,0.5\n")
    with pytest.raises(ArtifactError, match=r"losses\.csv: damaged"):
        read_losses(tmp_path / "losses.csv")
