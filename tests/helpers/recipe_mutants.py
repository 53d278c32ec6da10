"""Recipes made wrong in every way that can be thought of, by cutting up the text of good ones.

A mutant is a change of the text and not of the data in it: lines stay where they are, and what is wrong about a text
(an alias, a key written twice, a tag) can be wrong. Each knows whether it must be refused, may be, or must not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import yaml
from attrs import evolve, frozen
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Fate = Literal["refused", "either", "accepted"]


@frozen(kw_only=True)
class Mutant:
    """``change``: what was done, in words. ``lines``: the first and last line that may be told of, counted from 1.

    ``path``: the key that was changed, as an override writes it; "" for the document.
    """

    recipe: str
    change: str
    text: str
    fate: Fate
    lines: tuple[int, int]
    path: str = ""
    data: bytes | None = None

    @property
    def content(self) -> bytes:
        return self.text.encode("utf-8") if self.data is None else self.data

    def __str__(self) -> str:
        return f"{self.recipe} {self.path or 'document'}: {self.change}"


UNREADABLE: dict[str, str] = {
    "an object to build": "!!python/object/apply:os.system [true]",
    "an object by name": "!!python/name:os.system",
    "a tag of its own": "!mine 3",
    "a number that is none": "!!int three",
    "an alias": "*nowhere",
    "a reference to itself": "&a [*a]",
    "keys twice": "{zzz: 1, zzz: 2}",
    "forty levels": "[" * 40 + "]" * 40,
    "a bracket too many": "]",
    "brackets left open": "[1, {",
    "a quote left open": '"',
    "half a character": '"\\uD800"',
    "a zero byte, escaped": '"\\0"',
    "a code beyond all": '"\\UFFFFFFFF"',
    "five thousand digits": "9" * 5000,
    "a complex key": "{? [1, 2] : 3}",
}
"""What no recipe may hold anywhere."""

NOWHERE = (".nan", "-.inf", "[[zzz]]", "{zzz: 1}")
"""What no option of any shipped recipe takes."""

OF_NUMBERS = ("many", '""', "true", '"3"', "[1, 2, 3, 4, 5]", "1 2", "2026-01-01", "1:00", "1_000", "٣", "３")
OF_INTEGERS = ("3.7", "3.0", "-1", "-9223372036854775808", "999999999999999999999")
OF_TEXT = ("3", "true", "[null]", "1e3")
OF_TRUTHS = ("1", "yes", "maybe", "null", "on", '"true"')
OF_KIND = {"bool": OF_TRUTHS, "int": OF_NUMBERS + OF_INTEGERS, "float": OF_NUMBERS, "str": OF_TEXT}
"""What the options of shipped recipes do not take whose values are of a kind."""

UNKNOWN = ("zzz: 1", '"": 1', "<<: {a: 1}", '"ключ\\u202e": 1')

REQUIRED = {
    (name,) for name in ("name", "data", "partition", "schedule", "expert", "routers", "sample", "evaluate", "launcher")
} | {
    ("sample", "selector"),
    ("sample", "integrator"),
    ("sample", "methods"),
    ("evaluate", "metrics"),
    ("expert", "use"),
}

PERHAPS = (
    "null",
    '""',
    "[]",
    "{}",
    "zzz-nothing",
    "0",
    "9223372036854775807",
    "5.0e-324",
    "1.7e+308",
    "../../zzz",
    "/zzz",
    '"\\u202Ezzz"',
    '"😀"',
    "<script>alert(1)</script>",
    "z" * 10_000,
    '"a\\nb"',
    "{{7*7}}",
    '"\\e[31mzzz"',
)
"""What some option or other may be: taken, or refused like the rest."""


def mutants(recipe: str, text: str) -> Iterator[Mutant]:
    """Every mutant of ``text``, a good recipe, that is called ``recipe``."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, MappingNode)
    yield from _documents(recipe, text)
    yield from _sections(Cut(recipe=recipe, text=text, path=(), node=root, first=1))
    for path, first, node in _nodes(root, (), 1):
        cut = Cut(recipe=recipe, text=text, path=path, node=node, first=first)
        yield from _values(cut)
        if isinstance(node, MappingNode):
            yield from _sections(cut)


def _nodes(node: Node, path: tuple[str, ...], first: int) -> Iterator[tuple[tuple[str, ...], int, Node]]:
    """Every value below ``node`` with its path and the line of its key."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            yield (*path, key.value), line, value
            yield from _nodes(value, (*path, key.value), line)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            line = value.start_mark.line + 1
            yield (*path, str(index)), line, value
            yield from _nodes(value, (*path, str(index)), line)


@frozen(kw_only=True)
class Cut:
    """A place in a text: the value at ``path``, whose key stands in line ``first``."""

    recipe: str
    text: str
    path: tuple[str, ...]
    node: Node
    first: int

    def made(self, change: str, fate: Fate, start: int, end: int, new: str) -> Mutant:
        """The text with ``new`` from ``start`` to ``end``."""
        last = self.text.count("\n", 0, max(end, self.node.end_mark.index)) + 2 + new.count("\n")
        return Mutant(
            recipe=self.recipe,
            change=change,
            text=self.text[:start] + new + self.text[end:],
            # What a section sets for --size or --smoke has no effect without the flag.
            fate="either" if fate == "refused" and self.path[:1] in (("sizes",), ("smoke",)) else fate,
            # Of what is left open, only the end of the file says that it is.
            lines=(self.first, self.text.count("\n") + 2 if "left open" in change else last),
            path=".".join(self.path),
        )

    def replaced(self, change: str, fate: Fate, new: str) -> Mutant:
        start, end = self.node.start_mark.index, self.node.end_mark.index
        # A section ends where the next key begins, in its column.
        old = self.text[start:end]
        tail = old[len(old.rstrip()) :]
        return self.made(change, fate, start, end, new + tail)


def _values(cut: Cut) -> Iterator[Mutant]:
    """Other values in the place of one."""
    for change, value in UNREADABLE.items():
        yield cut.replaced(change, "refused", value)
    for value in NOWHERE:
        yield cut.replaced(value, "refused", value)
    kind = cut.node.tag.rpartition(":")[2] if isinstance(cut.node, ScalarNode) else ""
    for value in OF_KIND.get(kind, ()):
        # Labels may be any integers.
        yield cut.replaced(value, "either" if "groups" in cut.path else "refused", value)
    for value in PERHAPS:
        yield cut.replaced(value[:40], "either", value)


def _sections(cut: Cut) -> Iterator[Mutant]:
    """Keys too many, too few and twice."""
    node = cut.node
    assert isinstance(node, MappingNode)
    at = node.start_mark.index + int(bool(node.flow_style))
    gap = ", " if node.flow_style else "\n" + " " * node.start_mark.column
    for line in UNKNOWN:
        yield cut.made(line, "refused", at, at, line + gap)
    for key, value in node.value:
        part = evolve(cut, path=(*cut.path, key.value), node=value)
        # Told of the second, which is the one that was there.
        yield part.made("twice", "refused", at, at, f"{key.value}: 1{gap}")
        start, end = key.start_mark.index, value.end_mark.index
        after = len(cut.text) - end - len(cut.text[end:].lstrip(" ,")) if node.flow_style else 0
        yield part.made("missing", "refused" if part.path in REQUIRED else "either", start, end + after, "")
        begin = len(key.value) + start
        yield part.made("misspelt", "refused" if len(part.path) == 1 else "either", begin, begin, "zzz")


_BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))

_TEXTS: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "comments alone": lambda text: "# nothing\n",
    "null": lambda text: "null\n",
    "a list": lambda text: "- 1\n- 2\n",
    "words": lambda text: "just words\n",
    "a number": lambda text: "7\n",
    "two documents": lambda text: text + "---\n" + text,
    "itself twice": lambda text: text + text,
    "a bomb of aliases": lambda text: _BOMB,
    "a bomb of aliases at the end": lambda text: text + _BOMB,
    "a thousand brackets": lambda text: "[" * 1000,
    "a hundred thousand brackets": lambda text: "[" * 100_000,
    "a thousand levels of mappings": lambda text: "{a: " * 1000,
    "a thousand indented levels": lambda text: "".join(" " * i + "a:\n" for i in range(1000)),
    "a thousand dashes": lambda text: "- " * 1000,
    "two megabytes of a comment": lambda text: text + "#" * (2 << 20),
    "two megabytes of a line": lambda text: text + "zzz: " + "x" * (2 << 20),
    "tabs": lambda text: text.replace("  ", "\t"),
    "a bell": lambda text: text + "zzz: \x07\n",
    "a zero byte": lambda text: text + "zzz: \x00\n",
    "half an emoji": lambda text: text + 'zzz: "\\ud83d"\n',
    "a version to come": lambda text: "%YAML 3.0\n---\n" + text,
    "a tag to build": lambda text: "!!python/object/new:os.system\n" + text,
    "ten thousand unknown keys": lambda text: text + "".join(f"zzz{i}: 1\n" for i in range(10_000)),
    "an unknown key at the end": lambda text: text + "zzz: 1\n",
    "cut in the middle of a word": lambda text: text[: text.rindex("metrics") + 3],
    "JSON that is none": lambda text: '{"name": "x",',
    "HTML": lambda text: "<!doctype html>\n<html><body>404</body></html>\n",
    "a program": lambda text: "import os\nos.system('true')\n",
}
_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "Latin-1": lambda data: b"name: \xe9\n" + data,
    "a picture": lambda data: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "a zip file": lambda data: b"PK\x03\x04" + bytes(64),
    "cut in the middle of a character": lambda data: data + "# é".encode()[:-1],
    "zero bytes": lambda data: bytes(4096),
}
_SAME: dict[str, Callable[[bytes], bytes]] = {
    "a mark of byte order": lambda data: b"\xef\xbb\xbf" + data,
    "line ends of Windows": lambda data: data.replace(b"\n", b"\r\n"),
    "no line at the end": lambda data: data.rstrip(b"\n"),
    "a comment after it": lambda data: data + "\n# é 😀 \n".encode(),
    "a document's marks": lambda data: b"---\n" + data + b"...\n",
    "blank lines": lambda data: data.replace(b"\n", b"\n\n"),
}


def _documents(recipe: str, text: str) -> Iterator[Mutant]:
    for change, made in _TEXTS.items():
        yield _document(recipe, change, "refused", made(text).encode())
    for change, of in _BYTES.items():
        yield _document(recipe, change, "refused", of(text.encode()))
    for change, of in _SAME.items():
        yield _document(recipe, change, "accepted", of(text.encode()))


def _document(recipe: str, change: str, fate: Fate, data: bytes) -> Mutant:
    return Mutant(recipe=recipe, change=change, text="", fate=fate, lines=(1, data.count(b"\n") + 2), data=data)
