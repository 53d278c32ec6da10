"""(b) Training with torch.compile, ours and the plain loop, in a process of its own that may take too long.

python tests/gpu/compiled.py DATA [gpu.json]: without a file to write it only fills the compiler's cache.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from attrs import define
from idx_arrays import images
from ledger import Ledger

WARM_UP, LONGEST = 60.0, 45.0
"""Seconds that compiling may take beside other work, and measuring by itself."""


@define(kw_only=True)
class Compiled:
    """The process that compiles, and the one that measures. ``data``: the IDX files. ``folder``: for its results."""

    data: Path
    folder: Path
    _warming: Any = None
    _end: float = 0.0

    def warm_up(self) -> None:
        """Begins to compile; returns at once."""
        self._warming = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._end = time.monotonic() + WARM_UP

    def wait(self, ledger: Ledger) -> bool:
        """Ends compiling, by force after its time; whether it came to its own end."""
        if self._warming is None:
            return False
        try:
            _, errors = self._warming.communicate(timeout=max(1.0, self._end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._warming.kill()
            self._warming.communicate()
            ledger.say(f"torch.compile takes more than {WARM_UP:.0f} s: left out")
            return False
        if self._warming.returncode:
            ledger.say(f"torch.compile failed: {errors[-2000:]}")
        return bool(self._warming.returncode == 0)

    def measure(self, ledger: Ledger) -> None:
        """The figures, read back from the process; nothing where there is no time or no compiler."""
        if ledger.toy or not self.wait(ledger) or not ledger.enough("compiled training", 20):
            return
        path = self.folder / "compiled.json"
        with ledger.guarded("compiled training"):
            timeout = min(LONGEST, ledger.left)
            subprocess.run([*self._command(), str(path)], timeout=timeout, check=True)
            ledger.take_over(path)

    def _command(self) -> list[str]:
        return [sys.executable, __file__, str(self.data)]


def main(data: Path, path: Path | None) -> None:
    """One repeat of the training ratio, whose first calls compile."""
    from plain_loops import COMPILED
    from ratios import SMALL, training_ratio

    where = path or Path("/dev/null")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ledger = Ledger(path=where, device=device, toy=False, end=float("inf"))
    with ledger.section("compiled", 1e9):
        items, repeats = images(data)[:20000], 1 if path is None else 2
        training_ratio(ledger, "fashion network", SMALL, items, COMPILED, repeats=repeats)
    if ledger.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
