"""The console script, run in the process of a test."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections.abc import Iterable

import pytest
from attrs import frozen

from mixvel_core.cli.main import main


@frozen
class Done:
    code: int
    out: str
    err: str

    @property
    def problems(self) -> list[str]:
        return self.err.splitlines()


@frozen(kw_only=True)
class Command:
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Done:
        self.monkeypatch.setattr(sys, "argv", ["mixvel", *arguments])
        # `mixvel run` answers SIGTERM, which is not for the rest of the tests to inherit.
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGTERM, handler)
        captured = self.capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)


def imported(names: Iterable[str], code: str, *arguments: str) -> list[str]:
    """Which of the modules ``names`` a new process has imported after ``code``."""
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{code}\nprint(sorted({set(names)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    found: list[str] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found
