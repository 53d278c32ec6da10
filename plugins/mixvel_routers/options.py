"""Options of the routers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

from attrs import evolve, frozen

from mixvel_core.plugin.definition import ExpertUse, RouterUse
from mixvel_core.plugin.options import OptionCheck, above, at_least, between, each, option
from mixvel_core.training.options import RouterDataOptions, TrainedOn, TrainOptions
from mixvel_networks.architecture import WIDEST, Architecture
from mixvel_networks.transformer_size import TransformerSize


def _are_ends(ends: Sequence[float]) -> bool:
    return all(0.0 < end < 1.0 for end in ends) and all(a < b for a, b in pairwise(ends))


INCREASING = OptionCheck(text="increasing times above 0 and below 1", holds=_are_ends)
USUAL_CHANNELS = (16, 32)
"""Where the experts are no U-Nets."""


@frozen(kw_only=True, slots=False)
class RouterTraining:
    """How the network of a router is trained, and on what. Without slots: two bases cannot both have some."""

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

    def loss_changes(self) -> tuple[float, ...]:
        """The parts of a training from which on the loss is another sum than before: none."""
        return ()


@frozen(kw_only=True)
class ClassifierOptions(RouterTraining):
    """A network of (x_t, t), an encoder for images, a perceptron for vectors; options of the router ``naive``."""

    channels: tuple[int, ...] | None = option(
        default=None,
        check=each(between(4, WIDEST)),
        doc="channels of each level of the encoder, as far as there are more than 4 x 4 places to halve; absent: seven "
        "eighths of the experts' U-Net's, which with stride 2 costs at most 5 % of it; beside other experts 16, 32",
    )
    stride: int = option(
        default=2, check=between(1, 4), doc="of the encoder's first convolution; 1 costs four times as much as 2"
    )
    width: int = option(default=128, check=at_least(1), doc="units of each hidden layer, for vectors")
    depth: int = option(default=3, check=at_least(1), doc="hidden layers, for vectors")

    def beside(self, expert: ExpertUse) -> Self:
        """These options, with seven eighths of the channels of ``expert`` where there are none and it is a U-Net.

        At stride 2 as many channels as the U-Net's cost up to 5.6 % of it.
        """
        if self.channels is None and isinstance(expert.options, Architecture):
            return evolve(self, channels=tuple(max(4, c * 7 // 16 * 2) for c in expert.options.channels))
        return self


def _ends(stages: int, first_stage: float) -> tuple[float, ...]:
    return (first_stage,) if stages == 2 and 0 < first_stage < 1 else ()


STAGES = "1: the divergence (KL) from the exact posterior throughout; 2: the two stages of the paper's E.2"
FIRST_STAGE = "with `stages: 2`, part of the steps with cross entropy and squared error of a; then "


@frozen(kw_only=True, slots=False)
class PosteriorOptions(RouterTraining):
    """What a network of the posterior learns, and what it is joined with."""

    targets: Literal["exact", "labels"] = option(
        default="exact", doc="exact: the exact posterior of the items; labels: cross entropy of the shard throughout"
    )
    stages: int = option(default=1, check=between(1, 2), doc=STAGES)
    first_stage: float = option(default=0.1, check=between(0, 1), doc=FIRST_STAGE + "the squared error alone")
    stack_on: RouterUse | None = option(
        default=None,
        doc="a router without training, as {use: moments}, whose posterior is joined with the network's by weights by "
        "time that are fitted after training",
    )

    def loss_changes(self) -> tuple[float, ...]:
        """The end of the first of two stages; labels are learned by one loss throughout."""
        return _ends(self.stages, self.first_stage) if self.targets == "exact" else ()


@frozen(kw_only=True)
class ANetworkOptions(PosteriorOptions, ClassifierOptions):
    """Options of the router ``a-network``."""


@frozen(kw_only=True)
class DiTRouterOptions(PosteriorOptions, TransformerSize):
    """Options of the router ``dit``: the posterior by a transformer of patches whose tokens are averaged."""


@frozen(kw_only=True)
class DaNetworkOptions(ClassifierOptions):
    """Options of the router ``da-network``; ``train`` is of each of its networks."""

    ends: tuple[float, ...] = option(
        default=(),
        check=INCREASING,
        doc="where one network's interval of times ends and the next one's begins; none: one network for all times. "
        "The paper has three intervals, as [0.3, 0.7]",
    )
    path: Literal["material", "path", "partial"] = option(
        default="material",
        doc="what is learned: the rate along the flow, along the noising of each item, or at fixed x",
    )
    stages: int = option(default=1, check=between(1, 2), doc=STAGES + "; with the error of da in both")
    first_stage: float = option(default=0.1, check=between(0, 1), doc=FIRST_STAGE + "of a and da")
    rate_weight: float = option(default=1.0, check=above(0), doc="weight of the squared error of da beside that of a")
    initial: int = option(
        default=0, check=at_least(0), doc="seed of the initial weights, which are the same for all intervals"
    )
    correct: Literal["none", "own", "network"] = option(
        default="none",
        doc="what the integrated posterior is corrected by at each step, with gains by time that are fitted after "
        "training: nothing, the a that the network learns beside its rate, or an a-network trained beside it",
    )

    def loss_changes(self) -> tuple[float, ...]:
        """The end of the first of two stages."""
        return _ends(self.stages, self.first_stage)

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where an interval has no times to train at."""
        if self.ends and not (self.train.earliest_t < self.ends[0] and self.ends[-1] < self.train.latest_t):
            raise ValueError(
                f"ends must lie between the training times {self.train.earliest_t:g} and {self.train.latest_t:g}, "
                f"not {list(self.ends)}"
            )

    def trainings(self) -> tuple[TrainOptions, ...]:
        """The training of each interval's network, from data to noise."""
        times = (self.train.earliest_t, *self.ends, self.train.latest_t)
        return tuple(evolve(self.train, earliest_t=low, latest_t=high) for low, high in pairwise(times))

    def networks_a_step(self) -> int:
        """How many of its networks a step of sampling evaluates."""
        return 2 if self.correct == "network" else 1
