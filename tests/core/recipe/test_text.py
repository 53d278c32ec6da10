from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.recipe.problems import Tree, report
from mixvel_core.recipe.text import parse


def lines(tree: Tree) -> list[str]:
    return list(report(tree, tree.problems).problems)


SCALARS: list[tuple[str, object]] = [
    *(("2e-5", 2e-5), ("1E3", 1000.0), ("-.5", -0.5), ("1.", 1.0), (".inf", math.inf), ("-.INF", -math.inf)),
    *(("7", 7), ("+7", 7), ("0123", 123), ("0o17", 15), ("0x1F", 31)),
    *(("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'7'", "7"), ('"true"', "true")),
    *((text, text) for text in ("1_000", "1:30", "0b1", "no", "on", "y", "2024-01-01", "<<", "=")),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    tree = parse(f"a: {text}", "f")
    assert tree.readable
    assert not tree.problems
    assert tree.value == {"a": value}
    assert type(tree.value["a"]) is type(value)


def test_keys_are_the_text_that_stands_there() -> None:
    assert parse("{25: a, no: b, ~: c, <<: d, 1.50: e}", "f").value == {
        "25": "a",
        "no": "b",
        "~": "c",
        "<<": "d",
        "1.50": "e",
    }


def test_every_value_knows_its_line() -> None:
    tree = parse("a: 1\nb:\n  c:\n    - x\n    - y: 2\n", "r.yaml")
    assert str(tree.place(("a",))) == "r.yaml:1"
    assert str(tree.place(("b",))) == "r.yaml:2"
    assert str(tree.place(("b", "c", 1, "y"))) == "r.yaml:5"
    assert str(tree.place(("b", "c", "nothing"))) == "r.yaml:3"


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(_plain)
def test_reads_back_what_pyyaml_writes(value: object) -> None:
    tree = parse(yaml.safe_dump(value), "f")
    assert not tree.problems
    assert tree.value == value


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=st.sampled_from(list("ab01 :-[]{}#&*!|>'\"%@`,?\n\t\\~.")), max_size=40) | st.text(max_size=20))
def test_no_text_is_answered_with_a_traceback(text: str) -> None:
    tree = parse(text, "f")
    assert tree.readable or len(tree.problems) == 1
    for line in lines(tree):
        assert line.startswith("f:")
        assert line.isprintable()
