"""Ledger: the figures of a session on one device, its checks and what failed; gpu.json follows every entry."""

from __future__ import annotations

import json
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from attrs import define, field


@define(kw_only=True)
class Ledger:
    """``path``: of gpu.json. ``device``: where "ours" runs. ``toy``: whether sizes only prove that the script works.
    ``end``: when everything has to be over, on the clock of ``time.monotonic``."""

    path: Path
    device: torch.device
    toy: bool
    end: float
    began: float = field(factory=time.monotonic)
    failed: list[str] = field(factory=list)
    _deadline: float = field(default=float("inf"), init=False)
    _section: str = field(default="", init=False)
    _told: dict[str, Any] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        cuda = self.device.type == "cuda"
        self._told = {
            "device": torch.cuda.get_device_name(self.device) if cuda else f"{platform.machine()} CPU",
            "toy": self.toy,
            "torch": str(torch.__version__),
            "cuda": torch.version.cuda if cuda else None,
            "cudnn": torch.backends.cudnn.version() if cuda else None,  # type: ignore[no-untyped-call]  # torch leaves it without annotations
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "date": time.strftime("%Y-%m-%d"),
            "sections": {},
        }
        if cuda:
            properties = torch.cuda.get_device_properties(self.device)
            self._told["memory_gib"] = round(properties.total_memory / 2**30, 1)
            self._told["multiprocessors"] = properties.multi_processor_count
        self.say(f"{self._told['device']}, torch {self._told['torch']}, Python {self._told['python']}")

    @property
    def left(self) -> float:
        """Seconds that the section still has."""
        return min(self._deadline, self.end) - time.monotonic()

    def say(self, text: str) -> None:
        """A line with the seconds since the beginning."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    @contextmanager
    def section(self, name: str, seconds: float) -> Iterator[None]:
        """A part of the session with ``seconds`` of its own. What goes wrong in it is recorded, and ends it alone."""
        self._section, self._deadline = name, time.monotonic() + seconds
        started = time.monotonic()
        entry = self._told["sections"].setdefault(name, {"figures": [], "checks": [], "errors": [], "skipped": []})
        self.say(f"== {name}: {min(seconds, self.left):.0f} s at most")
        with self.guarded("the section"):
            yield
        entry["seconds"] = round(time.monotonic() - started, 1)
        self.say(f"== {name}: done in {entry['seconds']} s")
        self.write()

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Prints and records an error of the block, and goes on after it."""
        try:
            yield
        except Exception:
            text = traceback.format_exc()
            print(text, file=sys.stderr, flush=True)
            self.failed.append(f"{self._section}: {what}")
            self._entries("errors").append({"what": what, "traceback": text[-3000:]})
            self.write()

    def enough(self, what: str, seconds: float) -> bool:
        """Whether the section has ``seconds`` left; records ``what`` as skipped where not."""
        if self.left >= seconds:
            return True
        self.say(f"skipped, {self.left:.0f} s left: {what}")
        self._entries("skipped").append(what)
        return False

    def figure(self, name: str, value: float, unit: str, **conditions: object) -> None:
        """One measured number."""
        self.say(f"{value:10.4g} {unit:14s} {name}")
        self._entries("figures").append({"name": name, "value": value, "unit": unit, "conditions": conditions})
        self.write()

    def check(self, name: str, found: float, limit: float, **conditions: object) -> None:
        """``found`` must not be above ``limit``."""
        fine = found <= limit
        self.say(f"{'fine' if fine else 'WRONG':>10s} {found:.3g} <= {limit:.3g}  {name}")
        entry = {"name": name, "found": found, "limit": limit, "fine": fine, "conditions": conditions}
        self._entries("checks").append(entry)
        if not fine:
            self.failed.append(f"{self._section}: {name}")
        self.write()

    def note(self, name: str, value: Any) -> None:
        """Something else that is worth keeping: a table, a choice."""
        self._told["sections"][self._section][name] = value
        self.write()

    def take_over(self, path: Path) -> None:
        """The figures of another process's ledger, as if they were of this section; its file goes."""
        for section in json.loads(path.read_text())["sections"].values():
            self._entries("figures").extend(section["figures"])
        path.unlink()
        self.write()

    def write(self) -> None:
        """gpu.json as far as it is known."""
        self._told["seconds"] = round(time.monotonic() - self.began, 1)
        self._told["failed"] = self.failed
        self.path.write_text(json.dumps(self._told, indent=1, default=str) + "\n")

    def _entries(self, kind: str) -> list[dict[str, Any] | str]:
        found: list[dict[str, Any] | str] = self._told["sections"][self._section][kind]
        return found
