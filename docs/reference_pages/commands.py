"""Every verb of the command line, as ``--help`` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from mixvel_core.cli.main import app
from reference_pages.markdown import plain, table


def commands() -> str:
    """A heading for each verb."""
    return "\n".join(_verb(context) for context in verbs())


def verbs() -> Iterator[Any]:
    """The context of each verb, those of groups after their group."""
    # Typer's classes are Click's with another ancestry in each release: only what both have is used.
    root: Any = typer.main.get_command(app)
    yield from _below(root, root.make_context("mixvel", ["--help"], resilient_parsing=True))


def _below(group: Any, above: Any) -> Iterator[Any]:
    for name, command in group.commands.items():
        context = command.make_context(name, [], parent=above, resilient_parsing=True)
        yield context
        if hasattr(command, "commands"):
            yield from _below(command, context)


def _verb(context: Any) -> str:
    usage = " ".join(context.command.get_usage(context).removeprefix("Usage:").split())
    helps = [param.get_help_record(context) for param in context.command.params]
    rows = [(f"`{name}`", plain(meaning)) for name, meaning in filter(None, helps)]
    options = f"\n{table(('argument', 'meaning'), rows)}\n" if rows else ""
    return f"## {context.command_path}\n\n{context.command.help}\n\n```text\n{usage}\n```\n{options}"
