from __future__ import annotations

import io

import pytest
from attrs import define
from rich.console import Console

from mixvel_core.cli.output import Meter, ProgressLines, clock_text, progress_bars


@define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_speed_is_measured_between_reports() -> None:
    clock = Clock()
    meter = Meter(name="expert-3", total=800, unit="steps", clock=clock)
    assert meter.line() == "expert-3  0/800 steps"
    meter.update(400)
    clock.now += 2
    meter.update(500, "loss 0.1432")
    assert meter.speed == 50
    assert meter.left_text() == "0:06 left"
    assert meter.line() == "expert-3  500/800 steps  50 steps/s  loss 0.1432"
    clock.now += 2
    meter.update(800)
    assert meter.line() == "expert-3  800/800 steps  100 steps/s  loss 0.1432"


def test_a_single_report_is_measured_from_the_start() -> None:
    clock = Clock()
    meter = Meter(name="sample", total=64, unit="samples", clock=clock)
    clock.now += 4
    meter.update(64)
    assert meter.speed == 16
    assert [clock_text(seconds) for seconds in (0, 65.4, 3600 * 2 + 7)] == ["0:00", "1:05", "2:00:07"]


def test_lines_come_every_ten_seconds_and_at_the_end() -> None:
    clock, lines = Clock(), list[str]()
    progress = ProgressLines(write=lines.append, clock=clock)
    with progress.task("expert-0", 100, "steps") as task:
        for done in range(0, 101, 10):
            task.update(done, f"loss {1 - done / 200:g}")
            clock.now += 3
    progress.line("done")
    assert lines == [
        "expert-0  40/100 steps  3.33 steps/s  loss 0.8  0:18 left",
        "expert-0  80/100 steps  3.33 steps/s  loss 0.6  0:06 left",
        "expert-0  100/100 steps  3.33 steps/s  loss 0.5  in 0:33",
        "done",
    ]


def _interrupted(progress: ProgressLines) -> None:
    with progress.task("expert-0", 100, "steps") as task:
        task.update(7)
        raise KeyboardInterrupt


def test_a_task_that_fails_says_how_far_it_came() -> None:
    lines = list[str]()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(ProgressLines(write=lines.append, clock=Clock()))
    assert lines == ["expert-0  7/100 steps  in 0:00"]


def test_bars_leave_a_line_for_each_finished_task() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with progress_bars(console) as bars:
        with bars.task("expert-[0]", 100, "steps") as first, bars.task("expert-1", 10, "steps") as second:
            first.update(60, "loss 0.1432")
            second.update(10)
        bars.line("[bold]as it is")
    text = out.getvalue()
    assert "expert-[0]  60/100 steps" in text
    assert "loss 0.1432" in text
    assert "expert-1  10/10 steps" in text
    assert "[bold]as it is" in text
