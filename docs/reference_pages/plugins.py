"""Every plugin that comes with mixvel, with its options."""

from __future__ import annotations

from mixvel_core.plugin.discovery import Entry, load_registry
from mixvel_core.plugin.kinds import KINDS, PluginKind
from mixvel_core.recipe.describe import option_rows
from reference_pages.markdown import plain
from reference_pages.options import option_table

DISTRIBUTION = "mixvel"


def plugins() -> str:
    """A heading for each kind, and one for each of its plugins."""
    registry = load_registry()
    parts = []
    for kind in KINDS:
        entries = [entry for entry in registry.entries(kind.name) if entry.distribution == DISTRIBUTION]
        parts += [_intro(kind, entries), *(_plugin(entry) for entry in entries)]
    return "\n".join(parts)


def _intro(kind: PluginKind, entries: list[Entry]) -> str:
    names = ", ".join(f"[`{entry.name}`](#{_target(entry)})" for entry in entries)
    contract = (
        f"Kind `{kind.name}`, hook `{kind.hook}`, "
        f"protocol [{kind.protocol_name}](protocols.md#{kind.protocol_name.lower()})"
    )
    return f"## {kind.title}\n\n{contract}: {names}.\n"


def _plugin(entry: Entry) -> str:
    rows = list(option_rows(entry.definition.options))
    options = option_table(rows) if rows else "No options."
    return f"### {entry.kind} `{entry.name}`\n\n{plain(entry.definition.summary)}\n\n{options}\n"


def _target(entry: Entry) -> str:
    """The anchor of its heading, on the site and where the file is read."""
    return f"{entry.kind}-{entry.name}"
