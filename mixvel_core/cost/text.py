"""Amounts, durations and tables as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def amount(value: float, unit: str = "") -> str:
    """As in "12.3 GFLOP", "634 k"; powers of 1000."""
    size = abs(value)
    step = 0
    while size >= 999.5 and step < len(_PREFIXES) - 1:
        size /= 1000.0
        step += 1
    number = f"{value / 1000.0**step:.3g}"
    return f"{number} {_PREFIXES[step]}{unit}".strip()


def duration(seconds: float) -> str:
    """As in "12 s", "3.4 min", "56.7 h", "1.2 M h"."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 6000:
        return f"{seconds / 60:.3g} min"
    hours = seconds / 3600
    return f"{hours:.3g} h" if hours < 1000 else f"{amount(hours)} h" if hours >= 1e6 else f"{hours:,.0f} h"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of equally many cells as lines, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
