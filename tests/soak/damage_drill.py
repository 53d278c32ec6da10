"""Files: every file of finished runs damaged in every way, then run, sampled from and studied again."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from damage import cases, finished, run_again, sample_again, study_again
from soak_rows import Row, Say

SEED = 20261122
MADE = "named and made again with the same bits, or refused in one line with nothing changed"
DRAWN = "the same samples, or one line that names it and nothing written"
STUDIED = "the same study, or one line"


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
            verbs = {"run": run_again, "sample": sample_again}
            if victim.startswith(("study", "references")):
                verbs["study"] = study_again
            for verb, again in verbs.items():
                outcome = again(one, victim, kind, Path(place) / "work", rng)
                tried[verb, kind] += 1
                good[verb, kind] += not outcome.wrong
                if outcome.wrong:
                    progress(f"{verb}: {victim}, {kind}: {'; '.join(outcome.wrong)}")
    promises = {"run": MADE, "sample": DRAWN, "study": STUDIED}
    for verb, promise in promises.items():
        for kind in sorted(kind for one, kind in tried if one == verb):
            what = f"a file made {kind!r}, then `mixvel {verb}`"
            yield Row(what=what, promise=promise, tried=tried[verb, kind], fine=good[verb, kind])
