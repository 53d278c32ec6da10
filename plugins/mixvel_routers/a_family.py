"""How the a-network is trained, stored and loaded, by itself or joined with a posterior in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import check_same
from mixvel_core.errors import RecipeError
from mixvel_core.plugin.definition import RouterUse
from mixvel_core.protocols import CheckedRouterFamily, NoiseSchedule, Router, RouterConfig, Shard
from mixvel_routers.a_network import ANetworkRouter, make_objective
from mixvel_routers.class_prior import class_prior
from mixvel_routers.classifier import check_design, load_classifier
from mixvel_routers.fixed import log_prior
from mixvel_routers.options import ANetworkOptions, DiTRouterOptions, PosteriorOptions
from mixvel_routers.stacking import KNOTS, StackedRouter, fit_stack
from mixvel_routers.targets import RouterTask, config_of, targets_of

_CLOSED, _STACK, _STACK_CLASS = "stack_on.", "stack", "stack_class"


@frozen(kw_only=True, slots=False)
class PosteriorFamily(PosteriorOptions):
    """One classifier of all shards, the network ``a``. ``what``: the plugin, for messages."""

    what: ClassVar[str]

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, RouterTask]:
        """The training of the network.

        Raises RecipeError where no network here reads items of this shape, or ``stack_on`` is no closed form.
        """
        check_design(self, shards[0].shape, self.what)
        if self.stack_on is not None and (self.stack_on.is_trained or self.stack_on.definition.observes):
            raise RecipeError(
                f"{self.what}: stack_on: router {self.stack_on.name} is no closed form of x and t; name one that "
                "is, as moments"
            )
        # Tasks are pickled, and a plugin's definition cannot be.
        make = partial(make_objective, evolve(self, stack_on=None), self.what)
        return {"a": RouterTask(members=tuple(shards), schedule=schedule, options=self.train, make=make)}

    def check(self, shards: Sequence[Shard]) -> None:
        """Raises MixvelError where ``stack_on`` cannot be made of these shards, as far as that is known before."""
        if self.stack_on is not None and isinstance(closed := self.stack_on.build(), CheckedRouterFamily):
            closed.check(shards)

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights, and what ``stack_on`` stores."""
        closed = {} if self.stack_on is None else self.stack_on.build().tensors(shards, {})
        return {**trained["a"], **{_CLOSED + name: value for name, value in closed.items()}}

    def fitted(
        self, shards: Sequence[Shard], schedule: NoiseSchedule, tensors: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """``stack``, b and g on the knots, (2, 11) float64, where there is something to be joined; ``stack_class``, the
        same under classes, where items have some."""
        if self.stack_on is None:
            return {}
        config = config_of(shards)
        network, closed = self._parts(self.stack_on, config, tensors, schedule)
        targets = targets_of(shards, schedule)
        fitted = fit_stack(network, closed, config, targets)
        found = {_STACK: fitted.knots}
        return found if fitted.class_knots is None else {**found, _STACK_CLASS: fitted.class_knots}

    def load(
        self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule
    ) -> ANetworkRouter | StackedRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        if self.stack_on is None:
            network = load_classifier(self, config, tensors, schedule, self.what)
            return ANetworkRouter(network=network, by_class=class_prior(config))
        knots = torch.empty(2, KNOTS, dtype=torch.float64, device="meta")
        names = (_STACK, _STACK_CLASS) if class_prior(config) else (_STACK,)
        check_same({name: tensors[name] for name in names if name in tensors}, dict.fromkeys(names, knots), self.what)
        network, closed = self._parts(self.stack_on, config, tensors, schedule)
        stack = tensors[_STACK]
        return StackedRouter(
            network=network,
            closed=closed,
            knots=stack,
            log_pi=log_prior(config.fractions, stack.device),
            class_knots=tensors.get(_STACK_CLASS),
            by_class=class_prior(config),
        )

    def _parts(
        self, use: RouterUse, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule
    ) -> tuple[nn.Module, Router]:
        """The network and the router in closed form."""
        closed = {name.removeprefix(_CLOSED): value for name, value in tensors.items() if name.startswith(_CLOSED)}
        fitted = (_STACK, _STACK_CLASS)
        own = {name: value for name, value in tensors.items() if name not in fitted and not name.startswith(_CLOSED)}
        network = load_classifier(self, config, own, schedule, self.what)
        return network, use.build().load(config, closed, schedule)


@frozen(kw_only=True)
class ANetworkFamily(ANetworkOptions, PosteriorFamily):
    """The posterior by an encoder of images, or a perceptron of vectors."""

    what: ClassVar[str] = "router a-network"


@frozen(kw_only=True)
class DiTRouterFamily(DiTRouterOptions, PosteriorFamily):
    """The posterior by a transformer of patches."""

    what: ClassVar[str] = "router dit"
