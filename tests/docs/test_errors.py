"""The lines on the page of errors are those that mixvel says.

``<!-- error CODE: COMMAND -->`` before a block: the command ends with that code and says the block's line. Commands
before ``&&`` end well. ``<!-- said by: FILE -->``: the line is put together in that file. ``...`` stands for anything.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest
from command import Command
from pages import ROOT, Block, blocks

LINES = [block for block in blocks("text") if block.where.startswith("docs/errors.md")]
PROVOKED = [block for block in LINES if block.mark.startswith("error ")]
WRITTEN = [block for block in LINES if not block.mark.startswith("error ")]


def test_both_ways_are_used_and_no_block_goes_unchecked() -> None:
    assert len(PROVOKED) > 12
    assert len(WRITTEN) > 5
    assert {block.mark.split(":")[0] for block in WRITTEN} == {"said by"}


@pytest.mark.parametrize("block", PROVOKED, ids=lambda block: block.mark)
def test_a_command_says_the_line(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.parametrize("block", WRITTEN, ids=lambda block: block.where)
def test_a_file_puts_the_line_together(block: Block) -> None:
    path = ROOT / block.mark.removeprefix("said by: ")
    said = [_literal(node) for node in ast.walk(ast.parse(path.read_text()))]
    line = block.text.strip().removeprefix("error: ")
    words = [part.strip(" :;") for part in line.split("...")]
    assert any(words), block.text
    assert any(all(part in text for part in words) for text in said), line


def _literal(node: ast.AST) -> str:
    """The text of a literal with what is put into it left out."""
    if isinstance(node, ast.JoinedStr):
        return "...".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
