"""Files: every file of finished runs damaged in every way, then run, sampled from and studied again."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from damage import again, cases, finished
from soak_rows import Row, Say

SEED = 20261122
PROMISES = {
    "run": "named and made again with the same bits, or refused in one line with nothing changed",
    "sample": "the same samples, or one line that names it and nothing written",
    "study": "the same study, or one line",
}


def run(count: int, progress: Say) -> Iterator[Row]:
    """About ``count`` files damaged, evenly over what there is."""
    torch.set_num_threads(1)
    tried, good = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as place:
        runs = [finished("exact", Path(place) / "exact", studied=True), finished("trained", Path(place) / "trained")]
        damages = [(one, victim, kind) for one in runs for victim, kind in cases(one)]
        random.Random(SEED).shuffle(damages)
        rng = np.random.default_rng(SEED)
        for one, victim, kind in damages[:count]:
            studied = victim.startswith(("study", "references"))
            for verb in ("run", "sample", "study") if studied else ("run", "sample"):
                outcome = again(one, verb, victim, kind, Path(place) / "work", rng)
                tried[verb, kind] += 1
                good[verb, kind] += not outcome.wrong
                if outcome.wrong:
                    progress(f"{verb}: {victim}, {kind}: {'; '.join(outcome.wrong)}")
    for verb, promise in PROMISES.items():
        for kind in sorted(kind for one, kind in tried if one == verb):
            what = f"a file made {kind!r}, then `mixvel {verb}`"
            yield Row(what=what, promise=promise, tried=tried[verb, kind], fine=good[verb, kind])
