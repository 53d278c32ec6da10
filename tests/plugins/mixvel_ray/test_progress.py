"""Reports of workers: seldom enough, in order, and shown as one bar a job."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import define
from tasks import DirectLink
from trainable import Watching, level_job, run

from mixvel_core.errors import TrainingError
from mixvel_core.protocols.progress import Silent
from mixvel_core.training.checkpoint import is_trained
from mixvel_ray.progress import BarOpened, Board, Ended, Failed, Moved, TextLine, WorkerReport


@define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_reports_are_a_quarter_of_a_second_apart_and_the_last_one_is_sent() -> None:
    link, clock = DirectLink(), Clock()
    with WorkerReport(job="expert-0", wire=link, clock=clock).task("expert-0", 100, "steps") as bar:
        for step in range(101):
            bar.update(step, "" if step % 10 else f"loss {step}")
            clock.now += 0.01
    events = link.mailbox.take()
    moved = [event for event in events if isinstance(event, Moved)]
    assert events[0] == BarOpened("expert-0", 100, "steps")
    assert [event.done for event in moved] == [0, 25, 50, 75, 100, 100]
    assert [event.note for event in moved][1:4] == ["loss 20", "loss 50", "loss 70"]


def test_nothing_is_sent_while_the_driver_has_not_answered() -> None:
    link, clock = DirectLink(deaf=True), Clock()
    with WorkerReport(job="j", wire=link, clock=clock).task("j", 9, "steps") as bar:
        for step in range(10):
            bar.update(step)
            clock.now += 1.0
    assert [type(event) for event in link.mailbox.take()] == [BarOpened, Moved]


def test_the_drivers_wish_ends_a_training_at_a_checkpoint(tmp_path: Path) -> None:
    link = DirectLink()
    job = level_job(tmp_path / "job")
    link.mailbox.stop()
    with pytest.raises(KeyboardInterrupt):
        run(job, WorkerReport(job=job.name, wire=link))
    assert list((job.folder / "state").iterdir())
    run(job, Silent())
    run(level_job(tmp_path / "alone"))
    assert is_trained(job.folder)
    names = [tmp_path / name / "trained.safetensors" for name in ("job", "alone")]
    assert names[0].read_bytes() == names[1].read_bytes()


def boards() -> tuple[Board, Watching, list[tuple[int, str]], ExitStack]:
    seen: list[tuple[int, str]] = []
    watching = Watching(on_update=lambda done, note: seen.append((done, note)))
    bars = ExitStack()
    return Board(progress=watching, bars=bars), watching, seen, bars


def still_open(board: Board) -> bool:
    # A call, because checkers take a property to stay as it was.
    return board.under_way


def test_a_job_that_begins_again_keeps_its_bar() -> None:
    board, watching, seen, bars = boards()
    with bars:
        board.show([BarOpened("a", 9, "steps"), Moved("a", 4, "loss 1"), BarOpened("a", 9, "steps"), Moved("a", 3, "")])
        assert still_open(board)
        board.show([TextLine("hello"), Ended("a"), Moved("a", 9, "late")])
        assert not still_open(board)
    assert seen == [(4, "loss 1"), (3, "")]
    assert watching.lines == ["a: a worker was lost about step 4; goes on from its checkpoint", "hello"]


def test_a_failure_is_raised_as_it_is() -> None:
    board, _, _, bars = boards()
    error = TrainingError("a: step 3: not finite")
    with bars, pytest.raises(TrainingError, match="step 3") as caught:
        board.show([BarOpened("a", 9, "steps"), Failed("a", error)])
    assert caught.value is error
    assert not still_open(board)
