"""Definitions of plugins, the hooks that return them, and ``Use``: a slot of a recipe with checked options.

Recipes are made of slots, and a plugin's options may hold some: a field of type ``ScheduleUse`` is written and checked
in a recipe like the recipe's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, get_args

import attrs
import pluggy
from attrs import evolve, field, frozen

from mixvel_core import protocols
from mixvel_core.plugin import kinds
from mixvel_core.plugin.kinds import Kind

if TYPE_CHECKING:
    from mixvel_core.training.options import RouterDataOptions

CONTRACT = 2
"""The version of the protocols. A definition written for another version is refused; CHANGELOG.md lists the changes."""

OptionsT = TypeVar("OptionsT")
BuiltT_co = TypeVar("BuiltT_co", covariant=True)


@frozen(kw_only=True)
class Target:
    """Calls what is at ``path``, ``module:name``, with the fields of an options object as keyword arguments.

    The module is imported at the call. A field that is an attrs class or a ``Use`` itself is passed as it is.
    """

    path: str

    def __call__(self, options: Any) -> Any:
        module, _, name = self.path.partition(":")
        made = vars(import_module(module))[name]
        return made(**attrs.asdict(options, recurse=False))


@frozen(kw_only=True)
class Workers:
    """What a launcher occupies. ``count``: workers of a job. ``parallel``: most jobs at once; None: what there is room
    for. ``reserved``: what each worker reserves, amounts by name. ``here``: workers are threads of this process, on
    ``device`` (auto, cpu or cuda), each with ``threads`` of torch, None for torch's own number shared out. ``check``:
    raises RecipeError where they are known not to be there; None: nothing is known before they start.
    """

    count: int = 1
    parallel: int | None = None
    reserved: Mapping[str, float] = field(factory=dict)
    here: bool = False
    device: str = "auto"
    threads: int | None = None
    check: Callable[[], None] | None = field(default=None, eq=False)


@frozen(kw_only=True)
class PluginDef(Generic[OptionsT, BuiltT_co]):
    """A named way to build a component of one kind.

    Either ``target`` or ``build`` says how it is built. Nothing here is imported but the options class, and the module
    that holds the definition may not import torch.

    Args:
        kind: a kind of ``mixvel_core.plugin.kinds``.
        name: what a recipe writes as ``use: name``.
        options: the attrs class of its options (see ``mixvel_core.plugin.options``).
        summary: one line for ``mixvel plugins``.
        target: ``module:name`` of the component's class, or of a function that returns the component. It is called with
            the options' fields as keyword arguments.
        build: options -> component, where calling a target is not enough; it may import what it likes.
        example_options: options of a tiny working component, or a function that makes them and what they name, such as
            files; the defaults if absent.
        example: makes that component, for the conformance checks, where building from options is not enough.
        smoke: what a recipe writes at toy size. Keys are ``option`` or ``section.option``; with a key ``use``, another
            plugin of the same kind takes its place.
        shares: options -> whether one network serves all shards (a ``SharedFamily``).
        adapts: whether experts are adapters of the monolith, which is made first (an ``AdapterFamily``).
        router_data: options -> the samples of experts a router learns from, None if it learns from items; absent for
            routers without training.
        observes: whether the routers go by the experts' answers along a trajectory (``ObservingRouter``).
        beside: options and the recipe's expert -> the options with what follows from that expert, where a recipe leaves
            it open; for routers.
        boundaries: options of experts and the recipe's schedule -> its times where their levels of noise part, rising;
            None where each expert is for all times.
        at_levels: options and these times -> the options with them, where a recipe leaves them open; for routers and
            guidances that part the time axis. Raises ValueError where they contradict, or there are none.
        networks_a_step: options -> how many of a router's networks a step of sampling evaluates, for its cost.
        expert_counts: options -> the numbers of experts that options of a selector name, by option, None for all; no
            recipe may name more than it has.
        loss_changes: options -> the parts of a training, in (0, 1), from which on its ``loss`` is another sum.
        files: options -> the files, besides data, whose contents its models are made from; they are trained anew where
            these change. Raises AbsentError where they are not there. It may not import torch.
        workers: options -> what a launcher occupies.
        exact_for_laws: whether experts of default options are exact where the shards' law is a known Gaussian mixture.
        theory: the assumption of docs/theory that a selector or integrator meets, None for none: ``draw``, one expert
            drawn from the weights; ``sum-up``; ``switching``, of its default options; ``mixture``, all experts;
            ``euler``.
        by_weaker: whether a guidance is by a weaker model, the monolith (``Guidance.reference``).
        leads: whether a guidance leads to a condition, so that there must be one; false where M = M_c at all times.
        is_identity: whether a codec leaves items as they are, so that nothing is stored in their place.
        of_latents: options of experts and integrators that hold for items in [-1, 1], each with the value that takes
            its place where the recipe has a codec. Another value is a problem there.
        contract: the version of the protocols it was written for. Required of all but mixvel's own plugins.
    """

    kind: Kind
    name: str
    options: type[OptionsT]
    summary: str
    target: str = ""
    build: Callable[[OptionsT], BuiltT_co] = field()
    example_options: OptionsT | Callable[[], OptionsT] | None = None
    example: Callable[[], BuiltT_co] = field()
    smoke: Mapping[str, object] = field(factory=dict)
    shares: Callable[[OptionsT], bool] = lambda options: False
    adapts: bool = False
    router_data: Callable[[OptionsT], RouterDataOptions | None] | None = None
    observes: bool = False
    beside: Callable[[OptionsT, ExpertUse], OptionsT] = lambda options, expert: options
    boundaries: Callable[[OptionsT, ScheduleUse], Sequence[float] | None] = lambda options, schedule: None
    at_levels: Callable[[OptionsT, Sequence[float] | None], OptionsT] | None = None
    networks_a_step: Callable[[OptionsT], int] = lambda options: 1
    expert_counts: Callable[[OptionsT], Mapping[str, int | None]] = lambda options: {}
    loss_changes: Callable[[OptionsT], Sequence[float]] = lambda options: ()
    files: Callable[[OptionsT], Sequence[Path]] = lambda options: ()
    workers: Callable[[OptionsT], Workers] = lambda options: Workers()
    exact_for_laws: bool = False
    theory: Literal["draw", "sum-up", "switching", "mixture", "euler"] | None = None
    by_weaker: bool = False
    leads: bool = True
    is_identity: bool = False
    of_latents: Mapping[str, object] = field(factory=dict)
    contract: int | None = None

    @build.default
    def _build(self) -> Callable[[OptionsT], BuiltT_co]:
        return Target(path=self.target)

    @example.default
    def _example(self) -> Callable[[], BuiltT_co]:
        return lambda: self.build(self._options_of_example())

    def _options_of_example(self) -> OptionsT:
        if self.example_options is None:
            return self.options()
        return self.example_options() if callable(self.example_options) else self.example_options


def is_name(text: str) -> bool:
    """Whether a plugin may be called ``text``: letters, digits and hyphens."""
    return all(part.isascii() and part.isalnum() for part in text.split("-"))


@frozen(kw_only=True)
class NoOptions:
    """The options class of plugins that have nothing to choose."""


PROJECT = "mixvel"
"""The group of entry points, and the project of pluggy."""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


def hook_specs() -> type:
    """A hook specification for each kind: no arguments, and a sequence of ``PluginDef`` is returned."""
    return type("HookSpecs", (), {row.hook: staticmethod(hookspec(lambda: ())) for row in kinds.KINDS})


ComponentT_co = TypeVar("ComponentT_co", covariant=True)


@frozen(kw_only=True)
class Use(Generic[ComponentT_co]):
    """A definition and its checked options. ``build`` makes the component.

    A subclass names the protocol, ``class RouterUse(Use[RouterFamily])``, and has the kind that implements it.
    """

    definition: PluginDef[Any, ComponentT_co]
    options: Any
    kind: ClassVar[Kind]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        [slot] = cls.__dict__["__orig_bases__"]
        [protocol] = get_args(slot)
        cls.kind = kinds.kind_implementing(protocol)

    @property
    def name(self) -> str:
        """The plugin's name, which a recipe writes as ``use:``."""
        return self.definition.name

    @property
    def loss_changes(self) -> tuple[float, ...]:
        """The parts of its training, in (0, 1), from which on its loss is another sum than before."""
        return tuple(self.definition.loss_changes(self.options))

    def files(self) -> Sequence[Path]:
        """The files, besides data, whose contents it is made from. Raises AbsentError where they are not there."""
        return self.definition.files(self.options)

    def build(self) -> ComponentT_co:
        """A new component, made from the options."""
        return self.definition.build(self.options)


class ScheduleUse(Use[protocols.NoiseSchedule]):
    """A slot for a noise schedule."""


class ExpertUse(Use[protocols.ExpertFamily]):
    """A slot for a family of experts."""

    @property
    def is_shared(self) -> bool:
        """Whether one network serves all shards."""
        return self.definition.shares(self.options)

    @property
    def adapts(self) -> bool:
        """Whether the experts are adapters of the monolith."""
        return self.definition.adapts

    def boundaries(self, schedule: ScheduleUse) -> Sequence[float] | None:
        """Times of ``schedule`` where their levels of noise part, rising; None where each is for all times."""
        return self.definition.boundaries(self.options, schedule)


class RouterUse(Use[protocols.RouterFamily]):
    """A slot for a family of routers."""

    def router_data(self) -> RouterDataOptions | None:
        """How the samples of experts that the router learns from are drawn; None where it learns from items."""
        return None if self.definition.router_data is None else self.definition.router_data(self.options)

    def beside(self, expert: ExpertUse) -> Self:
        """The router for these experts: with the options that follow from them, where they are left open."""
        return evolve(self, options=self.definition.beside(self.options, expert))

    @property
    def networks_a_step(self) -> int:
        """How many of its networks a step of sampling evaluates."""
        return self.definition.networks_a_step(self.options)

    @property
    def is_trained(self) -> bool:
        """Whether the router learns, from items or from samples of experts."""
        return self.definition.router_data is not None


class SelectorUse(Use[protocols.Selector]):
    """A slot for a selector."""


class IntegratorUse(Use[protocols.Integrator]):
    """A slot for an integrator."""


class GuidanceUse(Use[protocols.Guidance]):
    """A slot for a guidance."""

    @property
    def by_weaker(self) -> bool:
        """Whether it is by a weaker model, the monolith."""
        return self.definition.by_weaker


class DataUse(Use[protocols.DataSource]):
    """A slot for a data source."""


class PartitionerUse(Use[protocols.Partitioner]):
    """A slot for a partitioner."""


class CodecUse(Use[protocols.CodecFamily]):
    """A slot for a codec."""


class MetricUse(Use[protocols.Metric]):
    """A slot for a metric."""


class LauncherUse(Use[protocols.Launcher]):
    """A slot for a launcher."""

    def workers(self) -> Workers:
        """What the launcher occupies."""
        return self.definition.workers(self.options)
