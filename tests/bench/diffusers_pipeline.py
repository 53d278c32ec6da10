"""An exported run without conditions, sampled by diffusers in a fresh process, beside its own samples: the difference.

python tests/bench/diffusers_pipeline.py RUN [COUNT]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import mixvel_core as mx
from mixvel_core.export.write import export_run

STEPS = 20
LOAD = """
import sys
import numpy as np, torch
from diffusers import DiffusionPipeline
torch.set_num_threads(1)
folder, count, file = sys.argv[1:]
pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
np.save(file, pipe(int(count), seed=0, output_type="latent").images.numpy())
"""


def main(run: str, count: str = "64") -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = export_run(run, Path(name) / "pipeline", [f"sample.steps=[{STEPS}]"])
        file = Path(name) / "theirs.npy"
        subprocess.run([sys.executable, "-c", LOAD, str(folder), count, str(file)], check=True)
        theirs = np.load(file)
    ours = mx.open_run(run).sampler(steps=STEPS, device="cpu").sample(int(count), seed=0).x.numpy()
    print(f"{count} samples of {STEPS} steps: largest difference {np.abs(theirs - ours).max():.3g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
