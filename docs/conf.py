"""The site of these pages, by Sphinx: ``nox -s docs``. Their contents are made as pages are read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from reference_pages.insert import with_contents

project = "mixvel"
author = "the mixvel authors"
extensions = ["myst_parser"]
exclude_patterns = ["reference_pages"]
nitpicky = True
smartquotes = False  # they would make one dash of the two of an option

myst_heading_anchors = 3

html_theme = "furo"
html_title = "mixvel"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)


def _read(app: Any, page: str, source: list[str]) -> None:
    source[0] = with_contents(source[0])
