"""Features of images by a network of timm, as points to cluster; in blocks, on a GPU where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.device import best_device
from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Items

SHORT = {"dinov2": ("vit_small_patch14_dinov2.lvd142m", {"img_size": 224})}
"""Names of ours: timm's name, and what it is made with. DINOv2 takes 224 pixels here: at its own 518 it is five times
slower, and what pictures show is the same."""
_ROWS = 64


@frozen(kw_only=True, eq=False)
class Extractor:
    """``network``: images (B, 3, side, side) to features (B, F). ``mean``, ``deviation``: of its inputs in [0, 1]."""

    network: Callable[[Tensor], Tensor]
    side: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    device: torch.device

    def features(self, items: Items) -> np.ndarray:
        """The features of images (n, 1 or 3, H, W), each scaled to length one, (n, F) float32.

        Raises DataError for items that are no images.
        """
        if len(items.shape) != 4 or items.shape[1] not in (1, 3):
            raise DataError(
                f"partition kmeans: items of shape {tuple(items.shape[1:])} are no images; set `features: pixels`"
            )
        parts = [self._of(items[start : start + _ROWS]) for start in range(0, len(items), _ROWS)]
        return np.concatenate(parts)

    @torch.no_grad()
    def _of(self, block: np.ndarray) -> np.ndarray:
        x = (torch.from_numpy(to_float(block)).to(self.device) + 1) / 2
        x = torch.nn.functional.interpolate(x, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 1)
        mean, deviation = (torch.tensor(v, device=self.device)[:, None, None] for v in (self.mean, self.deviation))
        y = self.network((x.expand(-1, 3, -1, -1) - mean) / deviation).flatten(1).float()
        found: np.ndarray = torch.nn.functional.normalize(y).cpu().numpy()
        return found


def extractor(name: str, weights: Path | None) -> Extractor:
    """A network of timm with its published weights, or with those of a file.

    Raises DataError where timm, the network or its weights are absent; names the line that gets them.
    """
    try:
        import timm
    except ImportError as error:
        text = f"features of {name} need the package `timm`, which cannot be imported ({error})"
        raise DataError(f"partition kmeans: {text}; pip install 'mixvel[features]'") from None
    full, options = SHORT.get(name, (name, {}))
    if weights is not None and not weights.is_file():
        raise DataError(f"{weights}: does not exist; put the weights of {full} there or leave out `weights`")
    network = _made(timm, full, options, weights)
    about = timm.data.resolve_model_data_config(network)
    device = best_device()
    return Extractor(
        network=network.to(device).eval(),
        side=int(about["input_size"][-1]),
        mean=tuple(about["mean"]),
        deviation=tuple(about["std"]),
        device=device,
    )


def _made(timm: Any, name: str, options: dict[str, int], weights: Path | None) -> torch.nn.Module:
    if not timm.is_model(name.partition(".")[0]):
        near = timm.list_models(f"*{name.partition('.')[0]}*")[:3]
        hint = f"; timm has {', '.join(near)}" if near else "; `timm.list_models()` lists them"
        raise DataError(f"partition kmeans: timm has no network {name!r}{hint}")
    try:
        made: torch.nn.Module = timm.create_model(
            name, pretrained=weights is None, checkpoint_path=os.fspath(weights or ""), num_classes=0, **options
        )
    except Exception as error:  # the hub, the network, torch and safetensors each have errors of their own
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        remedy = "give a file of its weights" if weights else f"where there is a network, `hf download timm/{name}`"
        raise DataError(f"{weights or name}: the weights cannot be had ({reason}); {remedy}") from None
    return made
