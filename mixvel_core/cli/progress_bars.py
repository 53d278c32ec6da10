"""ProgressBars: a bar for each task that is under way; a finished one leaves a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn
from rich.progress import Progress as Live
from rich.progress import Task as LiveTask
from rich.text import Text

from mixvel_core.cli.progress_lines import Meter, clock_text
from mixvel_core.protocols.progress import ProgressTask


class _FiguresColumn(ProgressColumn):
    """Done, speed, time left and note, as the task's meter words them."""

    def render(self, task: LiveTask) -> Text:
        meter: Meter = task.fields["meter"]
        figures = (f"{meter.done}/{meter.total} {meter.unit}", meter.speed_text(), meter.left_text(), meter.note)
        return Text("  ".join(figure for figure in figures if figure))


@frozen(kw_only=True)
class _Bar:
    live: Live
    id: TaskID
    meter: Meter

    def update(self, done: int, note: str = "") -> None:
        self.meter.update(done, note)
        self.live.update(self.id, completed=done)


@frozen(kw_only=True)
class ProgressBars:
    """Bars below whatever else is printed to the same console."""

    live: Live

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A bar; however its task ends, the line that takes its place shows how far it came."""
        meter = Meter(name=name, total=total, unit=unit)
        id_ = self.live.add_task(name, total=total, meter=meter)
        try:
            yield _Bar(live=self.live, id=id_, meter=meter)
        finally:
            self.live.remove_task(id_)
            self.line(meter.line(f"in {clock_text(meter.seconds)}"))

    def line(self, text: str) -> None:
        """One line above the bars."""
        self.live.console.print(Text(text))


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[ProgressBars]:
    """Bars on a console (standard output), for as long as the block lasts."""
    name = TextColumn("{task.description}", markup=False)
    with Live(name, BarColumn(bar_width=30), _FiguresColumn(), console=console, transient=True) as live:
        yield ProgressBars(live=live)
