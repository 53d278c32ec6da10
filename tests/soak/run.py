"""Runs the drills of this folder, prints their table and writes it into docs/reliability.md between its markers.

python tests/soak/run.py [NAME[=COUNT] ...]: drills by name, all of them if none is named; only a run of all of them at
their full counts changes the page. Exits with 1 where anything went otherwise than promised.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HELPERS = ROOT / "tests" / "helpers"

sys.path.insert(0, str(HELPERS))
from soak_rows import Drill, Row  # noqa: E402, the tests' helpers lie beside this folder

DRILLS: Mapping[str, int] = {"kills": 24, "damage_drill": 400, "bad_recipes": 4000, "untrusted": 400}
"""Modules of this folder, and how often each does what it does."""


def main(wanted: Sequence[str]) -> int:
    """Runs the drills asked for, or all; returns the exit code."""
    counts = dict(_named(one) for one in wanted) or dict(DRILLS)
    began, rows = time.monotonic(), []
    for name, count in counts.items():
        drill: Drill = import_module(name)
        _say(f"-- {name}")
        for row in drill.run(count, _say):
            _say(f"{row.fine:5d} of {row.tried:<5d} {row.what}: {row.promise}")
            rows.append(row)
    minutes = (time.monotonic() - began) / 60
    table = _table(rows, minutes)
    print(f"\n{table}")
    if counts == DRILLS:
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END)[1]}", encoding="utf-8")
    return int(any(row.fine < row.tried for row in rows))


def _named(wanted: str) -> tuple[str, int]:
    name, _, count = wanted.partition("=")
    if name not in DRILLS or (count and not count.isdecimal()):
        raise SystemExit(f"no drill {wanted!r}; there are {', '.join(DRILLS)}, each with =COUNT or without")
    return name, int(count) if count else DRILLS[name]


def _say(text: str) -> None:
    print(text, flush=True)


def _table(rows: Sequence[Row], minutes: float) -> str:
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    lines = [f"{date.today().isoformat()}, {machine}, {minutes:.0f} minutes.", ""]
    lines += ["| what | what must follow | tried | as promised |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.promise} | {row.tried} | {row.fine} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
