"""Measures everything in this folder; writes bench.json and the tables of docs/benchmarks.md between its markers.

python tests/bench/run.py [loop] [selection] ...
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

import torch
from attrs import asdict
from digits import digits_rows
from engine import engine_rows
from loop import loop_rows
from timing import Row

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def selection() -> Iterable[Row]:
    """Imported late: its oracles are the tests' helpers, beside this folder."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from selection import selection_rows

    return selection_rows()


GROUPS: dict[str, Callable[[], Iterable[Row]]] = {
    "loop": loop_rows,
    "selection": selection,
    "digits": digits_rows,
    "engine": engine_rows,
}


def main(wanted: Sequence[str]) -> None:
    """Runs the groups asked for, or all."""
    unknown = [name for name in wanted if name not in GROUPS]
    if unknown:
        raise SystemExit(f"no group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    path = ROOT / "bench.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    for name in wanted or GROUPS:
        rows = []
        for row in GROUPS[name]():
            print(
                f"{row.value:8.3g} {row.unit:7s} [{row.low:.3g}, {row.high:.3g}] {row.target:10s} {row.name}",
                flush=True,
            )
            rows.append(asdict(row))
        kept[name] = {"date": date.today().isoformat(), "machine": _machine(), "rows": rows}
    path.write_text(json.dumps(kept, indent=2) + "\n")
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{_tables(kept)}{END}{after}")


def _machine() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{device}, {torch.get_num_threads()} torch thread(s), torch {torch.__version__}"


def _tables(kept: dict[str, dict[str, object]]) -> str:
    out = []
    for name, group in kept.items():
        rows = group["rows"]
        if not isinstance(rows, list):
            continue
        out.append(f"### {name}\n\n{group['date']}, {group['machine']}\n")
        out.append("| what | value | range | target | conditions |\n|---|---|---|---|---|")
        for row in rows:
            conditions = "; ".join(f"{key} {value}" for key, value in row["conditions"].items())
            spread = f"{row['low']:.3g} to {row['high']:.3g}"
            cells = (row["name"], f"{row['value']:.3g} {row['unit']}", spread, row["target"] or "-", conditions)
            out.append(f"| {' | '.join(cells)} |")
        out.append("")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    # Two threads that wait for each other measure the scheduler of a busy machine, not this code.
    torch.set_num_threads(1)
    main(sys.argv[1:])
