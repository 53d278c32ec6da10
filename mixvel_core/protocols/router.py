"""Router: the posterior a_k(x, t) over experts. RouterFamily: how a router is trained, stored and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from mixvel_core.protocols.condition_spec import ConditionSpec
    from mixvel_core.protocols.data import Shard
    from mixvel_core.protocols.schedule import NoiseSchedule
    from mixvel_core.protocols.selector import Evaluations, Guess
    from mixvel_core.protocols.training import TrainTask
    from mixvel_core.types import Mask, Points, Times, Weights


class Router(Protocol):
    """a_k(x, t) = pi_k p_t^k(x) / p_t(x) (D2), or whatever a method puts in its place.

    A router may carry a state along a trajectory, for example a posterior that it integrates. The state
    belongs to the router: callers pass it back unread.
    """

    def start(self, x: Points, t: Times) -> Any:
        """The state at the beginning of trajectories that start at (x, t). Stateless routers return None."""

    def weights(self, x: Points, t: Times, state: Any) -> tuple[Weights, Any]:
        """The posterior at (x, t), and the state to pass to the next call.

        Calls follow the trajectory: t never increases, but for routers without a state, by which points are encoded
        too. A second call at the same t replaces the first,
        as the last stage of a Heun step replaces its predictor.

        Args:
            x: noisy points, (B, *data).
            t: times, (B,), in [0, 1].
            state: what ``start`` or the previous call returned.

        Returns:
            a of shape (B, K), rows on the simplex, and the new state.
        """


class Ask(Protocol):
    """Evaluations beyond those of the selector, at other points of the same time; they count in the cost."""

    def __call__(self, x: Points, mask: Mask) -> Evaluations:
        """The denoisers of the experts in ``mask``, (B, K) bool, at the points x, (B, *data)."""


@runtime_checkable
class ObservingRouter(Router, Protocol):
    """A router that goes by the answers of the experts along the trajectory."""

    def observe(self, x: Points, t: Times, answers: Evaluations, ask: Ask, state: Any) -> Any:
        """Takes in the experts' answers at (x, t).

        Called once after each evaluation of the field, at the x and t of the last call of ``weights``. Where all
        experts answered, ``weights`` is called once more at the same (x, t), and what it returns then makes the
        estimate. A second observation at the same t replaces the first, as a second call of ``weights`` does.

        Args:
            x: noisy points, (B, *data).
            t: times, (B,), in [0, 1].
            answers: of the experts that were evaluated; not to be changed.
            ask: for further evaluations, at the same t.
            state: what the last call of ``weights`` returned.

        Returns:
            The new state.
        """


@runtime_checkable
class GuessingRouter(Router, Protocol):
    """A router that has denoisers of the shards in closed form, from which selectors that remember extrapolate."""

    def guess(self, x: Points) -> Guess | None:
        """Those of all K shards, for points like x in dtype and device; None where it has none."""


@frozen(kw_only=True)
class RouterConfig:
    """What a router folder says of itself: ``fractions`` is pi, shape (K,); ``shape`` is ``*data``.

    ``conditions``: what the items' conditions are; empty where they have none. ``class_fractions``: p(c | k) of the
    condition ``class``, (K, C), each row of sum 1; empty where there is none, or a shard's owner does not share it.
    """

    fractions: tuple[float, ...]
    shape: tuple[int, ...]
    conditions: tuple[ConditionSpec, ...] = ()
    class_fractions: tuple[tuple[float, ...], ...] = ()


@runtime_checkable
class RouterFamily(Protocol):
    """A way to make routers. ``tasks`` may be empty (exact or fixed) or hold several networks."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """The networks to train, by name; each is a job of its own."""

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Everything ``load`` needs, by name. ``trained`` holds the averaged state of each task's network."""

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Router:
        """The router that ``tensors`` describe, on the device where they lie."""


@runtime_checkable
class CheckedRouterFamily(RouterFamily, Protocol):
    """A family that can fail on shards where that would come late: after a training, or once all items are read."""

    def check(self, shards: Sequence[Shard]) -> None:
        """Reads no items. Raises MixvelError where ``tensors`` would."""


@runtime_checkable
class FittedRouterFamily(RouterFamily, Protocol):
    """A family that fits a few numbers to its trained networks, for which it needs all of them."""

    def fitted(
        self, shards: Sequence[Shard], schedule: NoiseSchedule, tensors: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """What ``load`` needs besides, by name. ``tensors``: those of ``tensors`` for the same shards, on the device
        where networks are to be evaluated."""
