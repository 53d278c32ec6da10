"""The wording of what is said of wrong recipes: messages.txt has a case a block, the change and then the lines it gets.

``OLD => NEW`` changes the text of the fakes' recipe, ``$ KEY=VALUE`` is an override. All other tests match messages by
path, key and exit code. To write the file anew: PYTHONPATH=tests/helpers python tests/core/recipe/test_messages.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_plugins import RECIPE, fake_registry

from mixvel_core.errors import RecipeError
from mixvel_core.recipe.resolve import resolve
from mixvel_core.recipe.text import parse

MESSAGES = Path(__file__).with_name("messages.txt")
CHANGES = [block.splitlines()[0] for block in MESSAGES.read_text(encoding="utf-8").split("\n\n")]


def said(change: str) -> str:
    """The block of a change."""
    text, overrides = RECIPE, [change.removeprefix("$ ").replace("\\0", "\0")]
    if not change.startswith("$ "):
        old, new = change.replace("\\n", "\n").split(" => ")
        assert old in text
        text, overrides = text.replace(old, new, 1), []
    with pytest.raises(RecipeError) as caught:
        resolve(parse(text, "r.yaml"), overrides, fake_registry(), smoke="smoke:" in text)
    assert all(line.isprintable() for line in caught.value.problems)
    return "\n".join([change, *caught.value.problems, f"exit code {caught.value.exit_code}"])


def test_every_message_is_worded_as_it_was() -> None:
    assert MESSAGES.read_text(encoding="utf-8") == "\n\n".join(map(said, CHANGES)) + "\n"


if __name__ == "__main__":
    MESSAGES.write_text("\n\n".join(map(said, CHANGES)) + "\n", encoding="utf-8")
