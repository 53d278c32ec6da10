"""Puts what is generated into a page: a line ``<!-- generated: NAME -->`` is replaced."""

from __future__ import annotations

import re

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
_CONTENTS = "contents"
"""The one that depends on its page: it makes the site's contents of the page's list of links."""

_MARK = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)


def expanded(text: str) -> str:
    """The Markdown of a page with everything that is generated in its place. Raises KeyError: nothing has the name."""

    def made(mark: re.Match[str]) -> str:
        return contents(text) if mark[1] == _CONTENTS else GENERATED[mark[1]]()

    return _MARK.sub(made, text)
