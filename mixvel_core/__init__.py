"""mixvel: train diffusion experts in isolation, route between them, sample at one expert per step.

The names below are what a script needs; they are imported when they are first used, so that ``import mixvel_core``
costs nothing and the command line stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixvel_core.pipeline.opened import open_run
    from mixvel_core.plugin.discovery import load_registry
    from mixvel_core.recipe.build import build
    from mixvel_core.recipe.resolve import load_recipe
    from mixvel_core.sampling.ode import reference
    from mixvel_core.sampling.sampler import Sampler, Samples

_HOMES = {
    "Sampler": "mixvel_core.sampling.sampler",
    "Samples": "mixvel_core.sampling.sampler",
    "build": "mixvel_core.recipe.build",
    "load_recipe": "mixvel_core.recipe.resolve",
    "load_registry": "mixvel_core.plugin.discovery",
    "open_run": "mixvel_core.pipeline.opened",
    "reference": "mixvel_core.sampling.ode",
}

__all__ = ["Sampler", "Samples", "build", "load_recipe", "load_registry", "open_run", "reference"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mixvel_core' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
