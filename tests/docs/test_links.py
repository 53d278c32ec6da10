"""Links lead somewhere, and every page is in the site's contents, without building it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, ROOT, pages, whole

from reference_pages.contents import contents

LINK = re.compile(r"!?\[[^\]]*\]\((?!https?://)([^)\s#]*)(?:#([^)\s]+))?\)")


def prose(text: str) -> str:
    """Without blocks and spans of code, where brackets are Python's."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Where a page can be linked to: headings as GitHub and the site name them."""
    text = whole(page)
    headings = re.findall(r"^#{1,3} (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE)
    named = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return named


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target, anchor in LINK.findall(prose(whole(page))):
        aim = (page.parent / target).resolve() if target else page
        assert aim.exists(), target
        if anchor:
            assert anchor in anchors(aim), f"{target}#{anchor}"


def listed(page: Path) -> list[Path]:
    """The pages in the contents that a page makes."""
    text = contents(page.read_text())
    names = [line for line in text.splitlines() if line and not line.startswith((":", "```"))]
    return [page.parent / f"{name}.md" for name in names]


def test_no_page_is_an_orphan_and_none_is_listed_twice() -> None:
    index = DOCS / "index.md"
    reached = [index, *listed(index)]
    makers = [page for page in pages() if "<!-- generated: contents -->" in page.read_text()]
    assert index in makers
    for maker in makers:
        assert maker in reached, f"{maker} makes contents that nobody sees"
        reached += [] if maker == index else listed(maker)
    assert sorted(reached) == sorted(DOCS.rglob("*.md"))
