"""The lines on the page of errors are those that mixvel says.

``<!-- error CODE: COMMAND -->`` before a block: the command ends with that code and says the block's line. Commands
before ``&&`` end well. ``...`` stands for anything.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from command import Command
from pages import ROOT, Block, blocks

PROVOKED = [block for block in blocks("text") if block.mark.startswith("error ")]


@pytest.mark.parametrize("block", PROVOKED, ids=lambda block: block.mark)
def test_a_command_says_the_line(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    assert len(PROVOKED) > 12
    mixvel = Command(monkeypatch=monkeypatch, capsys=capsys)
    code, _, commands = block.mark.removeprefix("error ").partition(": ")
    *before, last = commands.split(" && ")
    for line in before:
        done = mixvel(*shlex.split(line)[1:])
        assert done.code == 0, done.err
    done = mixvel(*shlex.split(last)[1:])
    assert done.code == int(code), done.err
    pattern = ".*".join(map(re.escape, block.text.strip().split("...")))
    assert any(re.fullmatch(pattern, line) for line in done.problems), done.err
