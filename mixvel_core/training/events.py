"""Event files that TensorBoard shows: scalars and pictures by step."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mixvel_core.artifacts.files import writing
from mixvel_core.data.pictures import png

if TYPE_CHECKING:
    from PIL import Image
    from tensorboard.compat.proto.event_pb2 import Event


class EventFile:
    """A new event file in ``folder``, which what is shown is written into at once.

    ``start``: steps that lie behind; what earlier files show of later ones is forgotten by readers.

    Not torch's SummaryWriter: it writes later and in a thread, so that a process that is killed loses points of steps
    which its checkpoint has behind it, and a full disk ends in a traceback.
    """

    def __init__(self, folder: Path, start: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / _next_name(folder)
            self._file = self._path.open("wb", buffering=0)
        self._records = RecordWriter(self._file)
        try:
            self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
            # Readers forget what earlier files say of steps that are done again, so that no step shows twice.
            begin = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=time.time(), step=start + 1, session_log=begin))
        except BaseException:
            self.close()
            raise

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """One point on each curve, by its name."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._add(self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)))

    def picture(self, step: int, name: str, image: Image.Image) -> None:
        """Writes a picture called ``name``, of ``step`` steps."""
        width, height = image.size
        shown = self._summary.Image(
            height=height, width=width, colorspace=len(image.getbands()), encoded_image_string=png(image)
        )
        value = self._summary.Value(tag=name, image=shown)
        self._add(self._event(wall_time=time.time(), step=step, summary=self._summary(value=[value])))

    def sync(self) -> None:
        """All points are on disk when this returns, whatever happens to the machine."""
        with writing(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends the event file."""
        self._file.close()

    def _add(self, event: Event) -> None:
        with writing(self._path):
            self._records.write(event.SerializeToString())


def _next_name(folder: Path) -> str:
    """Readers take files in the order of names. A clock that stands still, or goes back, must not change it."""
    numbers = (path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*"))
    newest = max((int(number) for number in numbers if number.isdecimal()), default=0)
    return f"events.out.tfevents.{max(int(time.time()), newest + 1):010d}.{socket.gethostname()}.{os.getpid()}"
