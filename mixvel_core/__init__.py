"""mixvel: train diffusion experts in isolation, route between them, sample at one expert per step.

    import mixvel_core as mx

    mx.run("recipes/mixture.yaml", out="runs/mixture")
    samples = mx.open_run("runs/mixture").sampler(selector="cached", integrator="2m", steps=20).sample(64)

The names of ``__all__`` are what scripts and plugins need, and what stays. Each is imported when it is first used, so
that ``import mixvel_core`` costs nothing and the command line stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixvel_core.errors import ArtifactError as ArtifactError
    from mixvel_core.errors import DataError as DataError
    from mixvel_core.errors import MixvelError as MixvelError
    from mixvel_core.errors import PluginError as PluginError
    from mixvel_core.errors import RecipeError as RecipeError
    from mixvel_core.errors import UsageError as UsageError
    from mixvel_core.pipeline.opened import Run as Run
    from mixvel_core.pipeline.opened import open_run as open_run
    from mixvel_core.pipeline.opened import run as run
    from mixvel_core.pipeline.ready import ready_router as ready_router
    from mixvel_core.plugin.definition import NoOptions as NoOptions
    from mixvel_core.plugin.definition import PluginDef as PluginDef
    from mixvel_core.plugin.definition import hookimpl as hookimpl
    from mixvel_core.plugin.discovery import Registry as Registry
    from mixvel_core.plugin.discovery import load_registry as load_registry
    from mixvel_core.plugin.options import option as option
    from mixvel_core.protocols import Batch as Batch
    from mixvel_core.protocols import DataSource as DataSource
    from mixvel_core.protocols import Expert as Expert
    from mixvel_core.protocols import ExpertConfig as ExpertConfig
    from mixvel_core.protocols import ExpertFamily as ExpertFamily
    from mixvel_core.protocols import Field as Field
    from mixvel_core.protocols import Integrator as Integrator
    from mixvel_core.protocols import Launcher as Launcher
    from mixvel_core.protocols import Metric as Metric
    from mixvel_core.protocols import NoiseSchedule as NoiseSchedule
    from mixvel_core.protocols import Objective as Objective
    from mixvel_core.protocols import Partitioner as Partitioner
    from mixvel_core.protocols import Router as Router
    from mixvel_core.protocols import RouterConfig as RouterConfig
    from mixvel_core.protocols import RouterFamily as RouterFamily
    from mixvel_core.protocols import SchedulePoint as SchedulePoint
    from mixvel_core.protocols import Selector as Selector
    from mixvel_core.protocols import Shard as Shard
    from mixvel_core.protocols import TrainTask as TrainTask
    from mixvel_core.recipe.build import build as build
    from mixvel_core.recipe.model import Recipe as Recipe
    from mixvel_core.recipe.resolve import load_recipe as load_recipe
    from mixvel_core.sampling.grid import time_grid as time_grid
    from mixvel_core.sampling.ode import reference as reference
    from mixvel_core.sampling.sampler import Sampler as Sampler
    from mixvel_core.sampling.samples import Samples as Samples
    from mixvel_core.training.options import TrainOptions as TrainOptions

    __version__: str

_NAMES = {
    "mixvel_core.errors": "ArtifactError DataError MixvelError PluginError RecipeError UsageError",
    "mixvel_core.pipeline.opened": "Run open_run run",
    "mixvel_core.pipeline.ready": "ready_router",
    "mixvel_core.plugin.definition": "NoOptions PluginDef hookimpl",
    "mixvel_core.plugin.discovery": "Registry load_registry",
    "mixvel_core.plugin.options": "option",
    "mixvel_core.protocols": (
        "Batch DataSource Expert ExpertConfig ExpertFamily Field Integrator Launcher Metric NoiseSchedule Objective "
        "Partitioner Router RouterConfig RouterFamily SchedulePoint Selector Shard TrainTask"
    ),
    "mixvel_core.recipe.build": "build",
    "mixvel_core.recipe.model": "Recipe",
    "mixvel_core.recipe.resolve": "load_recipe",
    "mixvel_core.sampling.grid": "time_grid",
    "mixvel_core.sampling.ode": "reference",
    "mixvel_core.sampling.sampler": "Sampler",
    "mixvel_core.sampling.samples": "Samples",
    "mixvel_core.training.options": "TrainOptions",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mixvel")
    if name not in _HOMES:
        raise AttributeError(f"module 'mixvel_core' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
