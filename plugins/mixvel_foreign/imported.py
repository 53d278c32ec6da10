"""What an import path of a recipe names: a user's own code, which runs as the user's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from mixvel_core.errors import RecipeError
from mixvel_core.randomness import seeded


def make(path: str, arguments: Mapping[str, Any], what: str) -> Callable[[Tensor, Tensor], Any]:
    """The network that the factory at ``package.module:name`` makes.

    The random numbers of its initial weights are the same every time. Raises RecipeError, naming ``what`` asks, where
    it cannot be imported, does not take the arguments, or makes nothing that can be called.
    """
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
