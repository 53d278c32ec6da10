"""PluginDef: everything the framework needs to know about a plugin before it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from attrs import frozen

Kind: TypeAlias = Literal[
    "schedule", "expert", "router", "selector", "integrator", "data", "partitioner", "metric", "launcher"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

CONTRACT = 1
"""The version of the protocols. A definition made for a later version is refused with a clear message."""

OptionsT = TypeVar("OptionsT")
BuiltT_co = TypeVar("BuiltT_co", covariant=True)


@frozen(kw_only=True)
class PluginDef(Generic[OptionsT, BuiltT_co]):
    """A named way to build a component of one kind.

    ``kind``, ``name``: what a recipe writes as ``kind: {use: name}``. ``options``: the attrs class of its options
    (see ``mixvel_core.plugin.options``). ``build``: options -> component; it may import what it likes, the module
    that defines it may not import torch. ``example``: a tiny working component, for the conformance suites.
    ``summary``: one line. ``contract``: the version of the protocols it was written for.
    """

    kind: Kind
    name: str
    options: type[OptionsT]
    build: Callable[[OptionsT], BuiltT_co]
    example: Callable[[], BuiltT_co]
    summary: str
    contract: int = CONTRACT


@frozen(kw_only=True)
class NoOptions:
    """For plugins with nothing to choose."""
