from __future__ import annotations

import base64
import json
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from attrs import evolve
from report_runs import IMAGES, VECTORS, Scored, scored
from safetensors.numpy import save_file
from whole_runs import Bomb

from mixvel_core.plugin.definition import ExpertUse, RouterUse
from mixvel_core.plugin.discovery import Registry, load_registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.model import ReportOptions
from mixvel_core.report.figures import method_text
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.page import facts, versions
from mixvel_core.report.stage import WrittenReport
from mixvel_core.report.training import _panels, curves
from mixvel_core.report.trainings import trainings
from mixvel_core.training.options import TrainOptions
from mixvel_routers.options import ANetworkOptions

VOID = {"meta", "img"}


class Page(HTMLParser):
    """The tags of a page, which must nest, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    def charts(self) -> list[ElementTree.Element]:
        sources = [s for s in self.values("src") if s.startswith("data:image/svg+xml;base64,")]
        return [ElementTree.fromstring(base64.b64decode(s.partition(",")[2])) for s in sources]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return scored(VECTORS, tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def vectors_report(vectors: Scored, tmp_path_factory: pytest.TempPathFactory) -> WrittenReport:
    return vectors.report(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module", params=[VECTORS, IMAGES], ids=["vectors", "images"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(scored(request.param, tmp_path_factory.mktemp("run")).report(tmp_path_factory.mktemp("page")).path)


def test_needs_nothing_else(page: Page) -> None:
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert all(target.startswith("#") for target in page.values("href"))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    style = re.search("<style>(.*)</style>", page.html, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|http", style[1])
    for chart in page.charts():
        targets = [v for node in chart.iter() for name, v in node.attrib.items() if name.endswith(("href", "src"))]
        assert all(target.startswith(("#", "data:image/png;")) for target in targets)


def test_links_lead_somewhere_and_pictures_are_described(page: Page) -> None:
    ids = Counter(page.values("id"))
    assert max(ids.values()) == 1
    assert {target[1:] for target in page.values("href")} <= set(ids)
    assert all((attrs.get("alt") or "").strip() for tag, attrs in page.tags if tag == "img")


def test_says_nothing_of_the_machine_it_was_made_on(vectors: Scored, vectors_report: WrittenReport) -> None:
    for path in (vectors_report.path, vectors_report.json_path):
        text = path.read_text(encoding="utf-8")
        assert str(path.parent.parent) not in text
        assert str(vectors.shards.parts[0].folder.parent) not in text


def test_names_are_text_wherever_they_come_from(vectors: Scored, tmp_path: Path) -> None:
    # The last letters are of a script that matplotlib's font has no glyphs of; that is worth no warning.
    hostile = vectors.renamed(lambda name: f"<script>alert('{name}')</script>\"onload='x'$x_{{&amp;\"方法")
    page = Page(hostile.report(tmp_path).path)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    for name in ("tiny", "mixed", "sliced-w2", "source", "label 1", "a", "b"):
        assert f"<script>alert('{name}')</script>\"onload='x'$x_{{&amp;\"方法" in page.text
    labels = "".join("".join(chart.itertext()) for chart in page.charts())
    assert "<script>alert('mixed')</script>\"onload='x'$x_{&amp;\"方法" in labels
    assert not [node for chart in page.charts() for node in chart.iter() if node.tag.endswith("script")]


def test_what_is_done_is_left_alone_and_nothing_is_imported_for_it(
    vectors: Scored, vectors_report: WrittenReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = vectors_report.path.stat().st_mtime_ns
    # None makes an import of the module fail.
    monkeypatch.setitem(sys.modules, "mixvel_core.report.page", None)
    assert vectors.report(vectors_report.path.parent.parent, Bomb(fuse=0)) == vectors_report
    assert vectors_report.path.stat().st_mtime_ns == before


def test_another_recipe_other_scores_or_a_damaged_page_make_it_again(
    vectors: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def quick(inputs: Inputs, progress: Progress) -> str:
        drawn.append(inputs.recipe.name)
        return f"page {len(drawn)}"

    monkeypatch.setattr("mixvel_core.report.page.page", quick)
    made = vectors.report(tmp_path)
    vectors.report(tmp_path)
    assert made.path.read_text() == "page 1"
    made.path.write_text("page 0")
    vectors.report(tmp_path)
    assert made.path.read_text() == "page 2"
    changed = tuple({**row, "value": 77.25} for row in vectors.scores.rows)
    evolve(vectors, scores=evolve(vectors.scores, rows=changed)).report(tmp_path)
    assert made.path.read_text() == "page 3"
    evolve(vectors, recipe=evolve(vectors.recipe, report=ReportOptions(images=1))).report(tmp_path)
    assert made.path.read_text() == "page 4"


def test_losses_appear_where_something_was_trained(vectors: Scored, tmp_path: Path) -> None:
    for place in ("experts/0", "experts/2", "monolith", "routers/exact/near", "routers/exact/far"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "losses.csv").write_text("step,loss,cross_entropy\n1,2.0,3.0\n2,1.5,2.5\n3,0.1,2.0\n")
    page = Page(vectors.report(tmp_path).path)
    chart = ["".join(c.itertext()) for c in page.charts() if "optimizer step" in "".join(c.itertext())]
    assert len(chart) == 1
    for label in ("expert 0", "expert 2", "near", "far, cross_entropy"):
        assert label in chart[0]
    assert "expert 1" not in chart[0]
    assert "held-out items" not in page.text
    assert "another loss" not in "".join(chart)


def test_change_of_held_out_losses_is_stated(vectors: Scored, tmp_path: Path) -> None:
    for place, last in (("experts/0", 0.9), ("experts/1", 0.96)):
        (tmp_path / place).mkdir(parents=True)
        rows = [f"{step},2.0,{loss}" for step, loss in ((1, 5.0), (10, 2.0), (30, 1.0), (40, last))]
        (tmp_path / place / "losses.csv").write_text("step,loss,held_out\n" + "\n".join(rows) + "\n")
    text = " ".join(Page(vectors.report(tmp_path).path).text.split())
    assert "-7.0 % (experts, -10.0 to -4.0)" in text


def test_a_loss_that_becomes_another_sum_is_marked_where_it_does(vectors: Scored, tmp_path: Path) -> None:
    use = load_registry().get("router", "a-network")
    router = RouterUse(definition=use, options=ANetworkOptions(stages=2, first_stage=0.25))
    assert router.loss_changes == (0.25,)
    assert RouterUse(definition=use, options=ANetworkOptions()).loss_changes == ()
    place = tmp_path / "routers" / "exact" / "a"
    place.mkdir(parents=True)
    rows = [f"{step},{9.0 if step <= 10 else 1.0}" for step in range(1, 41)]
    (place / "losses.csv").write_text("step,loss\n" + "\n".join(rows) + "\n")
    changed = evolve(vectors, recipe=evolve(vectors.recipe, routers={"exact": router}))
    inputs = evolve(changed.inputs(tmp_path), calibration=())
    [[_, [curve]]] = [panel for panel in _panels(inputs) if panel[1]]
    assert [{*curve.values[part]} for part in curve.parts()] == [{9.0}, {1.0}]
    content = curves(inputs)
    assert content is not None
    assert content.redefined == ("router exact",)
    svg = base64.b64decode(content.chart.partition(",")[2]).decode()
    assert svg.count("another loss") == 1


def test_the_header_says_what_was_trained_and_how_fast(vectors: Scored, tmp_path: Path) -> None:
    for k, rate in enumerate((1500.0, 2500.0, None)):
        place = tmp_path / "experts" / str(k)
        place.mkdir(parents=True)
        (place / "losses.csv").write_text("step,loss\n1,2.0\n220,1.5\n")
        save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float32)}, place / "trained.safetensors")
        if rate:
            (place / "speed.json").write_text(json.dumps({"images_per_second": rate, "workers": 1, "device": "cpu"}))
    use = load_registry().get("expert", "unet")
    unet = ExpertUse(definition=use, options=evolve(use.options(), train=TrainOptions(batch=32)))
    inputs = evolve(vectors.inputs(tmp_path), recipe=evolve(vectors.recipe, expert=unet))
    [found] = trainings(inputs)
    assert found.words() == "3 experts of 17 weights each, 220 steps of 32 items at 2,000 items/s on cpu"
    assert dict(facts(inputs))["training"] == found.words()
    assert dict(facts(vectors.inputs(tmp_path)))["training"] == "none here"


def test_versions_are_of_plugins_that_the_recipe_uses(vectors: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_registry().found
    schedule, idle = vectors.recipe.schedule, load_registry().get("launcher", "ray")
    others = tuple(evolve(one, distribution="theirs", version="3") for one in found if one.definition is idle)
    mine = tuple(evolve(one, distribution="yours") for one in found if one.definition is schedule.definition)
    registry = Registry(found=(*others, *mine))
    assert len(registry.found) == 2
    monkeypatch.setattr("mixvel_core.report.page.load_registry", lambda: registry)
    assert {*versions(vectors.recipe)} == {"mixvel", "yours", "torch", "numpy", "python", "platform"}


def test_pictures_open_at_full_size_and_lead_back(tmp_path: Path) -> None:
    page = Page(scored(IMAGES, tmp_path / "run", "sample.count=3").report(tmp_path / "page").path)
    opened = [target[1:] for target in page.values("href") if target.endswith("-opened")]
    assert len(opened) == 1 + 2 * 2
    for place in opened:
        assert f"#{place.removesuffix('-opened')}" in page.values("href")


def test_numbers_are_those_of_the_scores(vectors: Scored, vectors_report: WrittenReport) -> None:
    found = json.loads(vectors_report.json_path.read_text())
    values = {
        (row["method"], row["steps"], seed): value
        for row in found["table"]
        for seed, value in zip(row["seeds"], row["values"], strict=True)
    }
    assert values == {(r["method"], r["steps"], r["seed"]): r["value"] for r in vectors.scores.rows}
    assert found["floors"] == list(vectors.scores.floors)
    assert found["noise"] == list(vectors.scores.noise)
    assert sum(shard["count"] for shard in found["shards"]) == 60
    assert found["seeds"] == {"recipe": 0, "sample": [0, 1], "evaluate": 0}
    assert len(found["timings"]) == len(vectors.samples)


def test_a_row_names_its_own_grid(vectors: Scored) -> None:
    draw = evolve(vectors.samples[0].draw, router="a", grid="uniform")
    how = f"a · {draw.selector.name} · {draw.integrator.name} · "
    assert method_text(draw) == how + "uniform"
    assert method_text(evolve(draw, grid="chebyshev")) == how + "chebyshev"
    assert method_text(evolve(draw, grid=(1.0, 0.5, 0.01))) == how + "[1, 0.5, 0.01]"
