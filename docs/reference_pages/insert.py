"""Keeps what is generated of the pages up to date: it is written into the Markdown itself, between two comments.

    <!-- generated: NAME -->
    ...
    <!-- end: NAME -->

``nox -s reference`` writes it anew, and a test compares. Contents, which only the site needs, are made as it is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from reference_pages.commands import commands
from reference_pages.contents import contents
from reference_pages.contracts import hooks, protocols
from reference_pages.exit_codes import exit_codes
from reference_pages.plugins import plugins
from reference_pages.public_names import public_names
from reference_pages.recipe_keys import recipe_keys

GENERATED = {
    "commands": commands,
    "exit-codes": exit_codes,
    "hooks": hooks,
    "plugins": plugins,
    "protocols": protocols,
    "public-names": public_names,
    "recipe-keys": recipe_keys,
}
DOCS = Path(__file__).parents[1]

CONTENTS = "<!-- generated: contents -->"
"""Where the site's contents are made of the page's list of links."""

_PART = re.compile(
    r"^<!-- generated: (?P<name>[\w-]+) -->\n(?P<text>.*?)^<!-- end: (?P=name) -->$", re.MULTILINE | re.DOTALL
)


def up_to_date(text: str) -> str:
    """The Markdown of a page with everything that is generated as it is now. Raises KeyError: nothing has the name."""
    return _PART.sub(
        lambda part: (
            f"<!-- generated: {part['name']} -->\n\n{GENERATED[part['name']]().strip()}\n\n<!-- end: {part['name']} -->"
        ),
        text,
    )


def written(text: str) -> str:
    """What somebody wrote of a page: lines that are generated are empty."""
    return _PART.sub(lambda part: "\n" * part[0].count("\n"), text)


def names_in(text: str) -> list[str]:
    """The names of all that is generated in a page."""
    return [part["name"] for part in _PART.finditer(text)]


def with_contents(text: str) -> str:
    """The Markdown of a page for the site."""
    return text.replace(CONTENTS, contents(text))


def outdated() -> Iterator[tuple[Path, str]]:
    """The pages whose generated parts have changed, with their new text."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := up_to_date(text)) != text:
            yield page, new
