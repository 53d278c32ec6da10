"""What an import path of a recipe names: code, which would run as the user's.

A recipe may be a stranger's, or lie in a stranger's run folder, and ``os:system`` is an import path too. So a recipe
alone runs nothing: whoever runs mixvel names the packages that may be imported, in the environment (MIXVEL_TRUST).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from mixvel_core.errors import RecipeError
from mixvel_core.randomness import seeded

TRUST = "MIXVEL_TRUST"
_OURS = "mixvel_foreign.examples"


def check_trusted(path: str, what: str) -> None:
    """Raises RecipeError, naming ``what`` asks, unless the module of ``path``, or a package it is in, is trusted."""
    module = path.partition(":")[0]
    trusted = {name.strip() for name in os.environ.get(TRUST, "").split(",")} | {_OURS}
    parts = module.split(".")
    if not any(".".join(parts[: i + 1]) in trusted for i in range(len(parts))):
        raise RecipeError(
            f"{what}: {path} is code that the recipe wants to run as you; if you trust it, set {TRUST}={parts[0]}"
        )


def make(path: str, arguments: Mapping[str, Any], what: str) -> Callable[[Tensor, Tensor], Any]:
    """The network that the factory at ``package.module:name`` makes.

    The random numbers of its initial weights are the same every time. Raises RecipeError, naming ``what`` asks, where
    it is not trusted, cannot be imported, does not take the arguments, or makes nothing that can be called.
    """
    check_trusted(path, what)
    module, _, name = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"{what}: {path}: no module {error.name}; install it, or run with PYTHONPATH=FOLDER of it"
        ) from None
    except AttributeError:
        raise RecipeError(f"{what}: {path}: {module} has no {name}") from None
    # Whatever a user's module raises while it is imported.
    except Exception as error:
        raise RecipeError(f"{what}: {path}: importing it raised {type(error).__name__}: {error}") from error
    try:
        with seeded(0):
            made = factory(**arguments)
    except Exception as error:
        raise RecipeError(f"{what}: {path} raised {type(error).__name__}: {error}") from error
    if not callable(made):
        raise RecipeError(f"{what}: {path} made a {type(made).__name__}, which cannot be called")
    network: Callable[[Tensor, Tensor], Any] = made
    return network


def state_of(network: object) -> dict[str, Tensor]:
    """The state of a module; nothing for any other callable."""
    return dict(network.state_dict()) if isinstance(network, nn.Module) else {}
