"""Writes what is generated into the pages: ``python docs/reference_pages``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from reference_pages.insert import DOCS, outdated

for page, text in outdated():
    page.write_text(text, encoding="utf-8")
    print(f"{page.relative_to(DOCS.parent)}: written")
