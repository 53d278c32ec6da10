"""The pages of the docs, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import frozen

from reference_pages.insert import with_contents, written

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)


@frozen
class Block:
    """A fenced block: where it is, what the comment before it says, and what it holds."""

    where: str
    mark: str
    language: str
    text: str


def pages() -> list[Path]:
    return [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]


@cache
def whole(page: Path) -> str:
    """A page as it is read on the site, with its contents."""
    return with_contents(page.read_text())


def prose_of(page: Path) -> str:
    """What somebody wrote of a page, each line in its place."""
    return written(page.read_text())


def blocks(*languages: str) -> Iterator[Block]:
    """The fenced blocks of these languages that somebody wrote."""
    for page in pages():
        text = prose_of(page)
        for found in _BLOCK.finditer(text):
            if found["language"] in languages:
                line = text.count("\n", 0, found.start("text"))
                where = f"{page.relative_to(ROOT)}:{line}"
                yield Block(where, found["mark"] or "", found["language"], found["text"])
