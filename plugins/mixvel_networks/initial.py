"""Networks that start from weights that are there: an option ``initial``, the same for every network of diffusers.

Sizes are those of the network's own options, and names and shapes of the folder are compared with them. What a
configuration of diffusers says besides (epsilon of the norms, how a time is embedded) changes no shape and yet what is
computed: it is taken from the folder, and goes with the weights as the buffer ``config``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixvel_core.errors import ArtifactError
from mixvel_networks.checked_weights import check_weights, read_checked, read_one
from mixvel_networks.initial_files import InitialFolder, check_initial_class, open_initial
from mixvel_networks.weight_files import todays_name

CONFIG = "config"
Make = Callable[[Mapping[str, Any] | None], nn.Module]
"""Makes a network with a configuration of diffusers beside its options, or without."""


def started_from(folder: Path, make: Make, classes: tuple[str, ...], family: str) -> nn.Module:
    """The network of ``make`` with the weights in ``folder``; on torch's meta device none is read, but all compared.

    Args:
        folder: of a network of diffusers, or of an expert of a run.
        make: called with the configuration in the folder, None where it has none.
        classes: of diffusers that it may hold.
        family: the expert whose weights it may hold.

    Raises:
        AbsentError: it is not there.
        DataError: it holds another network; missing and extra names are listed.
    """
    found = _opened(folder, classes, family)
    network = make(_config_in(found))
    expected = _weights(network, found)
    if next(network.parameters()).is_meta:
        check_weights(found.files, expected, _rename(found, expected), found.part)
    else:
        weights = read_checked(found.files, expected, _rename(found, expected), found.part)
        network.load_state_dict({**network.state_dict(), **weights})
    return network


def keep_config(network: nn.Module, config: Mapping[str, Any] | None) -> None:
    """Gives ``network`` the buffer that goes with its weights, if it has a configuration."""
    if config is not None:
        text = json.dumps(dict(config), sort_keys=True).encode()
        # On the CPU whatever the default device is: a value of the meta device could not be compared.
        network.register_buffer(CONFIG, torch.frombuffer(bytearray(text), dtype=torch.uint8))


def config_of(weights: Mapping[str, Tensor], where: str) -> dict[str, Any] | None:
    """The configuration that ``weights`` were started with; None where there is none.

    Raises ArtifactError, naming ``where``, where it is damaged.
    """
    if CONFIG not in weights:
        return None
    try:
        return dict(json.loads(bytes(weights[CONFIG].cpu().tolist())))
    except (ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{where}: its configuration is damaged ({error}); make it again") from None


def _opened(folder: Path, classes: tuple[str, ...], family: str) -> InitialFolder:
    found = open_initial(folder)
    check_initial_class(found, classes, family)
    return found


def _config_in(found: InitialFolder) -> Mapping[str, Any] | None:
    """What the network in the folder was made with besides its sizes."""
    if not found.is_expert:
        return found.config
    own = read_one(found.files[0], found.part + CONFIG)
    return None if own is None else config_of({CONFIG: own}, str(found.files[0]))


def _weights(network: nn.Module, found: InitialFolder) -> dict[str, Tensor]:
    """What the folder holds of the network's state: of diffusers' the configuration is a file of its own."""
    return {name: value for name, value in network.state_dict().items() if found.is_expert or name != CONFIG}


def _rename(found: InitialFolder, expected: Mapping[str, Tensor]) -> Callable[[str], str]:
    """From the names in the folder to those of the network, whose own module is a part of it."""
    if found.is_expert:
        return lambda name: name
    inner = {name.partition(".")[0] for name in expected}
    prefix = f"{inner.pop()}." if len(inner) == 1 else ""
    return lambda name: prefix + todays_name(name)
