"""The hooks and the protocols, in the words of their own source."""

from __future__ import annotations

import inspect
import sys
from itertools import groupby

from mixvel_core import protocols as contracts
from mixvel_core.plugin.kinds import KINDS
from reference_pages.kinds import place_of
from reference_pages.markdown import plain, table


def hooks() -> str:
    """A row a hook."""
    return table(
        ("hook", "what it offers", "kind", "a definition builds"),
        [
            (f"`{kind.hook}`", f"[{kind.title}]({place_of(kind)})", f"`{kind.name}`", _link(kind.protocol_name))
            for kind in KINDS
        ],
    )


def protocols() -> str:
    """Every name of ``mixvel_core.protocols`` with its source, which is its documentation, module by module."""
    parts = []
    classes = [
        made
        for name, made in vars(contracts).items()
        if name in contracts.__all__ and (inspect.isclass(made) or inspect.isfunction(made))
    ]
    for module, group in groupby(classes, key=lambda made: made.__module__):
        path = module.replace(".", "/") + ".py"
        parts.append(f"## Module {module.rpartition('.')[2]}\n\n{_first(module)} In `{path}`.\n")
        in_order = sorted(group, key=lambda made: inspect.getsourcelines(made)[1])
        parts += [f"### {made.__name__}\n\n```python\n{inspect.getsource(made)}```\n" for made in in_order]
    return "\n".join(parts)


def _first(module: str) -> str:
    return plain((sys.modules[module].__doc__ or "").strip().partition("\n\n")[0])


def _link(protocol: str) -> str:
    return f"[{protocol}](#{protocol.lower()})"
