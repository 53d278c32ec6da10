"""What a GPU is needed for: equality with the CPU, ratios against plain loops, recipes/fashion.yaml at full size.

python tests/gpu/gpu.py --data FOLDER [--out FOLDER] [--cpu] [--limit SECONDS] [SECTION ...]: sections ``equality``,
``training``, ``sampling``, ``waits``, ``paging``, ``engine`` and ``fashion``, in this order, each with its share of the
time. Leaves gpu.json with every figure; exits with 1 where a check or a part failed. ``--recipe``: another one for the
last section. ``--cpu``: at toy size on the CPU, to prove that all of it works.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from compiled import Compiled
from equality import equality
from fashion_run import fashion
from ledger import Ledger
from paging import paging
from products import products
from ratios import sampling, training, waits
from work import Place

from mixvel_data.idx_source import fashion_folder

ROOT = Path(__file__).resolve().parents[2]
SHARES = {
    "equality": 0.16,
    "training": 0.15,
    "sampling": 0.15,
    "waits": 0.08,
    "paging": 0.1,
    "engine": 0.1,
    "fashion": 1.0,
}
"""Of the time that is left when a section begins: how much it may take."""


def main() -> int:
    """Runs the sections; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SHARES) + "; absent: all")
    parser.add_argument("--cpu", action="store_true", help="toy size, on the CPU")
    parser.add_argument("--data", type=Path, default=fashion_folder(None), help="the IDX files")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu-out", help="where the results go")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "gpu", help="where runs are kept, and resumed")
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "fashion.yaml", help="of the last part")
    parser.add_argument("--size", help="of that recipe; absent: the full one")
    parser.add_argument("--limit", type=float, default=460.0, help="seconds in all")
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in SHARES]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SHARES)}")
    if not options.cpu and not torch.cuda.is_available():
        parser.error("no GPU here; --cpu proves the script at toy size")
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.limit
    device = torch.device("cpu" if options.cpu else "cuda")
    ledger = Ledger(path=options.out / "gpu.json", device=device, toy=options.cpu, end=end)
    sections = options.sections or list(SHARES)
    compiled = Compiled(data=options.data, folder=options.out)
    if "training" in sections and "fashion" in sections and not options.cpu:
        # Its kernels are made while nothing else is timed, and lie in a cache afterwards.
        compiled.warm_up()
    for name in sections:
        with ledger.section(name, SHARES[name] * (end - time.monotonic())):
            match name:
                case "equality":
                    equality(ledger, options.data, options.runs / "equality")
                case "training":
                    compiled.wait(ledger)
                    training(ledger, options.data)
                    compiled.measure(ledger)
                case "sampling":
                    sampling(ledger, options.data)
                case "waits":
                    waits(ledger, options.data)
                case "paging":
                    paging(ledger)
                case "engine":
                    products(ledger, options.data)
                case "fashion":
                    place = Place(recipe=options.recipe, size=options.size, folder=options.runs / "fashion")
                    fashion(ledger, options.data, place, options.out)
    ledger.write()
    ledger.say("failed: " + "; ".join(ledger.failed) if ledger.failed else "all fine")
    return int(bool(ledger.failed))


if __name__ == "__main__":
    sys.exit(main())
