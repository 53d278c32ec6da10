"""Definitions of every kind that build nothing of use, a registry of them, and a recipe that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from attrs import evolve, frozen

from mixvel_core.plugin.definition import CONTRACT, NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.discovery import PluginSource, Registry, make_registry
from mixvel_core.plugin.kinds import Kind, kind_called
from mixvel_core.plugin.options import above, at_least, each, option
from mixvel_core.training.options import TrainOptions


@frozen(kw_only=True)
class Built:
    """What the fakes build: their options, so that a test can see what arrived."""

    options: object


@frozen(kw_only=True)
class LinearOptions:
    """A range on each of two floats."""

    beta_min: float = option(default=0.1, check=above(0), doc="beta at t = 0")
    beta_max: float = option(default=20.0, check=above(0), doc="beta at t = 1")


@frozen(kw_only=True)
class NetOptions:
    channels: tuple[int, ...] = option(default=(16, 32), check=each(at_least(1)), doc="channels")
    groups: tuple[tuple[int, ...], ...] | None = option(default=None, doc="groups")
    size: tuple[int, int] = option(default=(8, 8), doc="height and width")
    prediction: Literal["x0", "eps"] = option(default="x0", doc="what it predicts")
    note: str = option(default="", doc="text")
    folder: Path | None = option(default=None, doc="a path")
    weights: Mapping[str, float] = option(factory=dict, doc="weights by name")
    clip: bool = option(default=True, doc="clamp")
    train: TrainOptions = option(factory=TrainOptions, doc="training")


@frozen(kw_only=True)
class CountOptions:
    count: int = option(check=at_least(1), doc="how many")


def definition(kind: Kind, name: str, options: type[Any] = NoOptions) -> PluginDef[Any, Any]:
    return PluginDef(
        kind=kind,
        name=name,
        options=options,
        build=lambda chosen: Built(options=chosen),
        example=lambda: Built(options=None),
        summary=f"a fake {kind}",
        contract=CONTRACT,
    )


def written_for(contract: int | None, base: PluginDef[Any, Any]) -> PluginDef[Any, Any]:
    """The same definition, written for another contract, or for none that it gives."""
    return evolve(base, contract=contract)


def module(*definitions: PluginDef[Any, Any], **hooks: Callable[[], object]) -> object:
    """What a plugin module looks like from outside: a hook for each kind of ``definitions``, and ``hooks``."""
    by_kind: dict[Kind, list[PluginDef[Any, Any]]] = {}
    for one in definitions:
        by_kind.setdefault(one.kind, []).append(one)
    made = {kind_called(kind).hook: _returning(found) for kind, found in by_kind.items()}
    return SimpleNamespace(**{name: hookimpl(hook) for name, hook in (made | hooks).items()})


def _returning(value: object) -> Callable[[], object]:
    return lambda: value


def source(load: Callable[[], object], distribution: str = "fakes", version: str = "1.0") -> PluginSource:
    """An entry point that yields what ``load`` returns."""
    return PluginSource(
        name=distribution, module=f"{distribution}.hooks", distribution=distribution, version=version, load=load
    )


def fake_registry() -> Registry:
    """One or more fakes of every kind."""
    made = module(
        definition("schedule", "vp-linear", LinearOptions),
        definition("schedule", "vp-cosine"),
        definition("expert", "net", NetOptions),
        definition("router", "fixed"),
        definition("router", "net", NetOptions),
        definition("selector", "mixture"),
        definition("selector", "topk", CountOptions),
        definition("integrator", "euler"),
        definition("data", "digits"),
        definition("partitioner", "labels"),
        definition("metric", "w2"),
        definition("launcher", "local"),
    )
    return make_registry([source(lambda: made)])


RECIPE = """\
# A recipe of fakes
name: small
seed: 7
data: digits
partition: {use: labels}
schedule:
  use: vp-linear
  beta_max: 15
expert:
  use: net
  channels: [8, 16]
  train:
    steps: 500
    learning_rate: 2e-4
monolith: {use: net, prediction: eps}
routers:
  learned: {use: net, train: {steps: 300}}
  prior: fixed
sample:
  steps: [5, 10]
  selector: mixture
  integrator: euler
  methods:
    unrouted: {model: monolith}
    mixture: {}
    top2: {router: learned, selector: {use: topk, count: 2}}
evaluate:
  metrics: [w2]
launcher: local
"""
