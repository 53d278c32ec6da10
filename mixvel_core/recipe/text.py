"""YAML to plain data, with the line of every value. The core schema of YAML 1.2.

PyYAML alone reads YAML 1.1, where ``no`` is false, ``2e-5`` is text, ``0123`` is 83, and of two equal keys the last
one wins without a word. Here ``no`` and ``on`` are text, ``2e-5`` is a number, ``0123`` is 123, and equal keys,
aliases and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from attrs import Factory, frozen
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mixvel_core.recipe.problems import KeyPath, RecipeProblem, SourcePlace, Tree, shortened

_DEEPEST = 32
_LONGEST = 1 << 20
_LONGEST_NUMBER = 100
_PREFIX = "tag:yaml.org,2002:"

CORE_SCHEMA = {
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "null": re.compile(r"~|null|Null|NULL|"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}
"""What a plain scalar may look like to be more than text. An integer also looks like a float: order matters."""


class _Loader(yaml.SafeLoader):
    """SafeLoader up to the tree of nodes, with a bound on its depth and without aliases."""

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave the parser's methods untyped
        if isinstance(event, yaml.AliasEvent):
            raise _marked("aliases are not supported; write the value out", event)
        if self.depth >= _DEEPEST:
            raise _marked(f"nested deeper than {_DEEPEST} levels", event)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _marked(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def add_core_schema(holder: type[yaml.SafeLoader] | type[yaml.SafeDumper]) -> None:
    """Makes a loader read, or a dumper quote, what looks like a value of the core schema."""
    for tag, pattern in CORE_SCHEMA.items():
        holder.add_implicit_resolver(_PREFIX + tag, re.compile(f"(?:{pattern.pattern})\\Z"), [None])


_Loader.yaml_implicit_resolvers = {}
add_core_schema(_Loader)


def parse(text: str, source: str, *, in_file: bool = True, order: int = 0) -> Tree:
    """The data in ``text``, one YAML document, with all problems found; nothing at all reads as null.

    ``source``: its name in messages. ``in_file``: whether its lines mean anything to the reader. ``order``: where its
    problems stand among those of other documents. What is no YAML at all is a tree that is not readable.
    """
    reader = _Reader(source=source, in_file=in_file, order=order)
    if len(text) > _LONGEST:
        return reader.unreadable(1, f"longer than {_LONGEST} characters; this is no recipe")
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return reader.unreadable(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return reader.unreadable(line, "not YAML: it holds characters that are not text")
    # An escape like "\UFFFFFFFF" reaches chr() in PyYAML unchecked.
    except (ValueError, OverflowError) as error:
        return reader.unreadable(loader.line + 1 if loader else 1, f"not YAML: {error}")
    reader.places[()] = reader.place(1)
    value = reader.data(node, ()) if node is not None else None
    return Tree(value=value, places=reader.places, problems=tuple(reader.problems))


@frozen(kw_only=True)
class _Reader:
    """Turns nodes into data, and notes places and problems on the way."""

    source: str
    in_file: bool
    order: int
    places: dict[KeyPath, SourcePlace] = Factory(dict)
    problems: list[RecipeProblem] = Factory(list)

    def place(self, line: int) -> SourcePlace:
        return SourcePlace(source=self.source, line=line if self.in_file else None, order=self.order)

    def unreadable(self, line: int, message: str) -> Tree:
        problem = RecipeProblem(path=(), message=message, place=self.place(line))
        return Tree(value=None, places={(): self.place(1)}, problems=(problem,), readable=False)

    def data(self, node: Node, path: KeyPath) -> Any:
        self.places.setdefault(path, self._place_of(node))
        match node:
            case MappingNode() if node.tag == _PREFIX + "map":
                return dict(self._items(node, path))
            case SequenceNode() if node.tag == _PREFIX + "seq":
                return [self.data(item, (*path, i)) for i, item in enumerate(node.value)]
            case ScalarNode():
                return self._scalar(node, path)
            case _:
                return self._refuse(node, path, f"the tag {node.tag!r} is not supported; write plain YAML")

    def _items(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            # A key is the text that stands there, whatever it looks like: a method may be called 25 or no.
            if not isinstance(key_node, ScalarNode) or not _is_text(key_node.value):
                self._refuse(key_node, path, "a key must be plain text")
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in lines:
                self._refuse(key_node, (*path, key), f"appears twice (first in line {lines[key]}); remove one")
                continue
            lines[key] = line
            self.places[(*path, key)] = self._place_of(key_node)
            yield key, self.data(value_node, (*path, key))

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        text = node.value
        tag = node.tag.removeprefix(_PREFIX)
        if tag == "str":
            return text if _is_text(text) else self._refuse(node, path, "holds characters that are not text")
        if tag not in CORE_SCHEMA or not CORE_SCHEMA[tag].fullmatch(text):
            return self._refuse(node, path, f"the tag {node.tag!r} is not supported here; write plain YAML")
        if len(text) > _LONGEST_NUMBER:
            return self._refuse(node, path, f"{shortened(text)} has too many digits")
        return _VALUES[tag](text)

    def _refuse(self, node: Node, path: KeyPath, message: str) -> None:
        self.problems.append(RecipeProblem(path=path, message=message, place=self._place_of(node)))

    def _place_of(self, node: Node) -> SourcePlace:
        return self.place(node.start_mark.line + 1)


_VALUES: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 0 if text[:2] in ("0o", "0x") else 10),
    # Python writes infinity and not-a-number without YAML's dot.
    "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
}


def _is_text(text: str) -> bool:
    """Whether it can be written to a file and shown: no control characters, no half surrogate pairs."""
    return not any((c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff" or c == "\x7f" for c in text)
