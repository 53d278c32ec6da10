"""Options of the routers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from attrs import evolve, frozen

from mixvel_core.plugin.options import OptionCheck, above, at_least, between, option
from mixvel_core.training.options import RouterDataOptions, TrainedOn, TrainOptions
from mixvel_networks.architecture import Architecture


def _are_ends(ends: Sequence[float]) -> bool:
    return len(ends) > 0 and all(0.0 < end < 1.0 for end in ends) and all(a < b for a, b in pairwise(ends))


INCREASING = OptionCheck(text="a list, not empty, of increasing times above 0 and below 1", holds=_are_ends)


@frozen(kw_only=True)
class ClassifierOptions(Architecture):
    """A network of (x_t, t), a U-Net for images, a perceptron for vectors; options of the router ``naive``."""

    width: int = option(default=128, check=at_least(1), doc="units of each hidden layer, for vectors")
    depth: int = option(default=3, check=at_least(1), doc="hidden layers, for vectors")
    train: TrainOptions = option(factory=TrainOptions, doc="how it is trained")
    train_on: TrainedOn = option(
        default="data", doc="data: the items of the shards; experts: samples of the experts, so that no item is needed"
    )
    drawn: RouterDataOptions = option(
        factory=RouterDataOptions, doc="how those samples are drawn; no effect with `data`"
    )

    def router_data(self) -> RouterDataOptions | None:
        """How the samples that it learns from are drawn; None where it learns from items."""
        return self.drawn if self.train_on == "experts" else None


@frozen(kw_only=True)
class ANetworkOptions(ClassifierOptions):
    """Options of the router ``a-network``."""

    targets: Literal["exact", "labels"] = option(
        default="exact",
        doc="exact: two stages against the exact posterior of the items; labels: cross entropy of the shard throughout",
    )
    first_stage: float = option(
        default=0.1, check=between(0, 1), doc="part of the steps with cross entropy and squared error; then the latter"
    )


@frozen(kw_only=True)
class DaNetworkOptions(ClassifierOptions):
    """Options of the router ``da-network``; ``train`` is of each of its networks."""

    ends: tuple[float, ...] = option(
        default=(0.3, 0.7), check=INCREASING, doc="where one network's interval of times ends and the next one's begins"
    )
    path: Literal["material", "path", "partial"] = option(
        default="material",
        doc="what is learned: the rate along the flow, along the noising of each item, or at fixed x",
    )
    first_stage: float = option(
        default=0.1, check=between(0, 1), doc="part of the steps with cross entropy and squared error of a; then of da"
    )
    rate_weight: float = option(default=1.0, check=above(0), doc="weight of the squared error of da beside that of a")
    initial: int = option(
        default=0, check=at_least(0), doc="seed of the initial weights, which are the same for all intervals"
    )

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where an interval has no times to train at."""
        if not self.train.earliest_t < self.ends[0] or not self.ends[-1] < self.train.latest_t:
            raise ValueError(
                f"ends must lie between the training times {self.train.earliest_t:g} and {self.train.latest_t:g}, "
                f"not {list(self.ends)}"
            )

    def trainings(self) -> tuple[TrainOptions, ...]:
        """The training of each interval's network, from data to noise."""
        times = (self.train.earliest_t, *self.ends, self.train.latest_t)
        return tuple(evolve(self.train, earliest_t=low, latest_t=high) for low, high in pairwise(times))
