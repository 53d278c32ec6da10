"""The site's contents: what a page lists in its reading order, so that no list is written twice."""

from __future__ import annotations

import re
from itertools import groupby

_LISTED = re.compile(r"^(?:- |\| )\[[^\]]*\]\((?P<page>[\w/-]+)\.md\)|^### (?P<caption>.+)$", re.MULTILINE)


def contents(text: str) -> str:
    """Hidden tables of contents, one for each heading ``###``, of the links that begin a row or an item of a list."""
    caption = ""
    listed: dict[str, str] = {}
    for found in _LISTED.finditer(text):
        caption = found["caption"] or caption
        if found["page"]:
            listed.setdefault(found["page"], caption)
    groups = groupby(listed, key=lambda page: listed[page])
    return "\n".join(_toctree(caption, list(pages)) for caption, pages in groups)


def _toctree(caption: str, pages: list[str]) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(("```{toctree}", *options, "", *pages, "```", ""))
