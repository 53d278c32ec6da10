"""Whatever data and recipes call things, the report shows it as text."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from whole_runs import EXACT, run

from mixvel_core.artifacts.files import read_json

EVIL = (
    "<script>alert(1)<marquee>",
    '"><img src=x onerror=alert(2)>',
    "'onmouseover='alert(3)",
    "$\\frac{x}{$_{&lt;",
    "{{7*7}}{% raw %}",
    "]]><!--",
    "\u202eevil 方法",
)
"""Names of folders, and so of labels; none holds a slash."""

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "nav", "section", "article", "footer"),
    *("h1", "h2", "h3", "p", "a", "ul", "li", "ol", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr"),
    *("tfoot", "th", "td", "small", "strong", "em", "code", "pre", "span", "div", "figure", "figcaption", "img"),
    *("details", "summary", "abbr", "b", "sup", "sub", "col", "colgroup"),
}


class Seen(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The report of images in folders of evil names, in a folder of an evil name."""
    place = tmp_path_factory.mktemp("data") / "<script>alert('place')<marquee>"
    rng = np.random.default_rng(0)
    for name in EVIL:
        (place / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / name / f"<img src=x onerror=alert({i})>.png")
    where, store = json.dumps(str(place)), json.dumps(str(place.parent / "store"))
    data = f"data={{use: image-folder, path: {where}, resolution: 8, store: {store}}}"
    out = tmp_path_factory.mktemp("run") / "run"
    run(EXACT.replace("gaussian-mixture\n", "empirical\n"), out, data, "sample.steps=[2]")
    assert read_json(out / "shards/data.json")["label_names"] == sorted(EVIL)
    return Seen((out / "report/index.html").read_text(encoding="utf-8"))


def test_nothing_but_the_pages_own_tags(page: Seen) -> None:
    assert page.tags <= TAGS
    assert not {name for name in page.attributes if name.startswith("on")}
    assert all(source.startswith(("#", "data:image/")) for source in page.sources)


def test_names_are_shown(page: Seen) -> None:
    for name in EVIL[:5]:
        assert name in page.text


def test_pictures_hold_nothing_that_runs(page: Seen) -> None:
    charts = [source for source in page.sources if source.startswith("data:image/svg+xml;base64,")]
    assert charts
    for chart in charts:
        text = base64.b64decode(chart.partition(",")[2]).decode()
        for node in ElementTree.fromstring(text).iter():
            kind = re.sub(r"{.*}", "", node.tag)
            assert kind not in ("script", "foreignObject", "iframe", "a")
            assert not [name for name in node.attrib if name.lower().startswith("on")]
