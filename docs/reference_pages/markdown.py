"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def plain(text: str) -> str:
    """Words of ours as they stand: signs that Markdown or HTML would take for markup are escaped outside `code`."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        for sign in "*_<[":
            parts[index] = parts[index].replace(sign, f"\\{sign}")
    return "`".join(parts)


def anchor(heading: str) -> str:
    """Where a heading is linked to."""
    return heading.lower().replace(" ", "-")
