"""Where the pages describe each kind of plugin."""

from __future__ import annotations

from mixvel_core.plugin.kinds import PluginKind
from reference_pages.markdown import anchor


def place_of(kind: PluginKind) -> str:
    """The heading below which the plugins of this kind stand."""
    return f"plugins.md#{anchor(kind.title)}"
