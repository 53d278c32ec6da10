"""Quantities in a few characters: amounts with a prefix, and times."""

from __future__ import annotations

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
    """As in "3.1 ms", "12 s", "3.4 min", "56.7 h", "1.2 M h"."""
    if 0 < seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms" if seconds >= 0.9995e-3 else f"{seconds * 1e6:.3g} µs"
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 6000:
        return f"{seconds / 60:.3g} min"
    hours = seconds / 3600
    return f"{hours:.3g} h" if hours < 1000 else f"{amount(hours)} h" if hours >= 1e6 else f"{hours:,.0f} h"
