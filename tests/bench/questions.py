"""Five questions to a trained run: how long each takes, and whether all that was there stays as it was, bit for bit.

    python tests/bench/questions.py [FOLDER]

FOLDER holds, or gets, the run of recipes/digits.yaml. Each question is one `mixvel run`, a process of its own; a line
shows its seconds in all and of sampling, how many files of models and samples changed, and how many earlier rows.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.artifacts.files import read_json

RECIPE = Path(__file__).parents[2] / "recipes/digits.yaml"
QUESTIONS = {
    "a step count": "sample.steps=[40]",
    "a selector": "sample.methods.two={selector: {use: topk, k: 2}}",
    "a seed": "sample.seeds=[1]",
    "a metric": "evaluate.metrics=[w2, sliced-w2, {use: frechet, features: random-conv}, "
    "{use: frechet, features: pixels}]",
    "twice the samples": "sample.count=512",
}
KEPT = ("experts/", "monolith/", "routers/", "shards/", "samples/")


@frozen(kw_only=True)
class Answer:
    """What one command took and left. ``files``: digests by name. ``rows``: of ``scores.json``."""

    seconds: float
    sampling: float
    files: dict[str, str]
    rows: list[Any]


def ask(folder: Path, *overrides: str) -> Answer:
    """One command, in a process of its own."""
    before = set(folder.rglob("samples/*/*.npz"))
    began = time.perf_counter()
    command = [sys.executable, "-c", "from mixvel_core.cli.main import main; main()", "run", str(RECIPE), *overrides]
    done = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    if re.search(r"expert-\d+  \d+/\d+ steps", done.stdout):
        print("trained:", done.stdout.splitlines()[2])
    new = [path.with_suffix(".json") for path in folder.rglob("samples/*/*.npz") if path not in before]
    sampling = sum(read_json(path)["notes"]["seconds"] for path in new)
    names = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    files = {
        name: hashlib.blake2b(path.read_bytes()).hexdigest() for name, path in names.items() if name.startswith(KEPT)
    }
    return Answer(seconds=seconds, sampling=sampling, files=files, rows=read_json(folder / "scores.json")["rows"])


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits")
    last = ask(folder)
    print(f"{'the recipe':<18} {last.seconds:6.1f} s, {last.sampling:5.1f} s of sampling, {len(last.rows)} rows")
    for name, override in QUESTIONS.items():
        now = ask(folder, override)
        changed = sum(now.files.get(file) != digest for file, digest in last.files.items())
        lost = sum(row not in now.rows for row in last.rows)
        print(
            f"{name:<18} {now.seconds:6.1f} s, {now.sampling:5.1f} s of sampling, {len(now.rows)} rows; "
            f"{changed} files and {lost} rows changed",
            flush=True,
        )
        last = now
    table = read_json(folder / "report/report.json")["table"]
    print(f"report: {len({row['method'] for row in table})} methods, {len(table)} cells")


if __name__ == "__main__":
    main()
