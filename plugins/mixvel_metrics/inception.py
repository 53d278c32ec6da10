"""Inception features: torch-fidelity's network, which gives the numbers of the original TensorFlow graph.

The only importer of torch_fidelity. Nothing is downloaded: weights come from a given file or from torch's own cache.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from attrs import frozen
from torch.nn.functional import adaptive_avg_pool2d

from mixvel_core.device import best_device
from mixvel_core.errors import DataError
from mixvel_core.machine import from_home

OFFICIAL = "6726825d"
"""How the SHA-256 of the weights that the name FID stands for begins."""

FILE = f"weights-inception-2015-12-05-{OFFICIAL}.pth"
ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"


@frozen(kw_only=True, eq=False)
class Inception:
    """The 2048 values before the last layer, of images resized to 299x299 as TensorFlow 1 does it.

    ``network``: uint8 images (n, 3, H, W) -> [features (n, D)]. ``digest``: the SHA-256 of the weights' file.
    ``dimension``: D.
    """

    network: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    digest: str
    device: torch.device
    dimension: int = 2048

    @property
    def is_official(self) -> bool:
        """Whether these are the weights that the name FID stands for."""
        return self.digest.startswith(OFFICIAL)

    @property
    def name(self) -> str:
        """Its name; other weights carry their hash in it."""
        return "inception" if self.is_official else f"inception-{self.digest[:8]}"

    @property
    def description(self) -> str:
        """The name of the network, its layer and the hash of its weights."""
        return f"inception-v3-compat, layer 2048, weights {self.digest[:16]}, 8-bit images"

    def of(self, items: np.ndarray) -> np.ndarray:
        """The features of RGB images (n, 3, H, W) in [-1, 1], (n, 2048) float64."""
        # Samples are scored as what a file would hold: 8 bits a channel, as the network's own statistics were.
        pixels = np.rint((items.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
        with torch.no_grad():
            features = self.network(torch.from_numpy(pixels).to(self.device))[0]
        return np.asarray(features.double().cpu().numpy())


def stand_in() -> Inception:
    """A tiny network in Inception's place, colours averaged over 2x2 fields: to try the metric where there is none."""

    def network(pixels: torch.Tensor) -> Sequence[torch.Tensor]:
        return [adaptive_avg_pool2d(pixels.float() / 127.5 - 1, 2).flatten(1)]

    return Inception(network=network, digest="0" * 64, device=torch.device("cpu"), dimension=12)


def load_inception(weights: str | None) -> Inception:
    """The network with the weights in the file ``weights``, or those that torch-fidelity keeps in torch's cache.

    Raises DataError where torch-fidelity or the weights are absent, or the file holds something else.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise DataError(f"metric fid: torch-fidelity cannot be imported ({error}); pip install 'mixvel[fid]'") from None
    path = from_home(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        raise DataError(f"metric fid: no weights at {path}; curl -L --create-dirs -o {path} {ADDRESS}")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    device = best_device()
    with tempfile.TemporaryDirectory() as folder:
        # The network's constructor unpickles whatever it is given. It is given a copy of tensors, read safely.
        safe = Path(folder) / "weights.pth"
        try:
            torch.save(torch.load(path, map_location="cpu", weights_only=True), safe)
            network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(safe))
        except Exception as error:  # a pickle of something else fails in as many ways as there are things
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{path}: not the weights of the Inception network ({reason})") from None
    return Inception(network=network.to(device).eval(), digest=digest, device=device)
