"""What holds for every test."""

from __future__ import annotations

import signal

import pytest
import torch
from command import Command

# A project of its own, for which mixvel is installed; `nox -s external` runs its tests.
collect_ignore = ["external_plugin"]

# The tensors of tests are tiny: a second thread waits more than it works, and ten times that on a busy machine.
torch.set_num_threads(1)

# Ctrl-C raises KeyboardInterrupt here and in the processes that tests start, also where the tests themselves were
# started with the signal ignored, as shells do in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def mixvel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The console script, run in this process."""
    return Command(monkeypatch=monkeypatch, capsys=capsys)
