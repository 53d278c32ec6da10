"""Options of training and of router data. Free of torch, because recipes are checked with them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from mixvel_core.plugin.options import above, at_least, between, from_up_to, inside, option


@frozen(kw_only=True)
class TrainOptions:
    """Adam with default betas, warm-up, linear decay, and an exponential moving average of the weights."""

    steps: int = option(default=1000, check=at_least(1), doc="optimizer steps")
    batch: int = option(default=64, check=at_least(1), doc="global batch size, kept whatever the number of workers")
    learning_rate: float = option(default=1e-3, check=above(0), doc="peak learning rate of Adam")
    warmup: int = option(default=50, check=at_least(0), doc="steps of linear warm-up")
    decay: bool = option(default=True, doc="let the learning rate fall linearly to zero at the last step")
    ema: float = option(default=0.995, check=from_up_to(0, 1), doc="decay of the moving average of the weights")
    clip: float = option(default=1.0, check=above(0), doc="largest norm of a gradient; longer ones are shortened")
    earliest_t: float = option(
        default=1e-3, check=inside(0, 1), doc="smallest training time; t is drawn uniformly from here to latest_t"
    )
    horizontal_flips: bool = option(
        default=False, doc="show each image mirrored every other time it is drawn; what is compared with is not"
    )
    held_out: float = option(
        default=0.0,
        check=from_up_to(0, 1),
        doc="share of the items that is not trained on; the loss on it, by the averaged weights, is recorded too",
    )
    condition_dropout: float = option(
        default=0.1,
        before=0.1,
        check=between(0, 1),
        doc="share of the points that are given the null condition, for guidance; no effect without conditions",
    )
    latest_t: float = option(default=1.0, check=between(0, 1), doc="largest training time, above earliest_t")
    precision: Literal["float32", "bfloat16"] = option(
        default="float32", doc="what networks compute in; weights, gradients and averages stay in float32"
    )
    microbatch: int | None = option(
        default=None,
        check=at_least(1),
        doc="rows of a worker's batch computed at a time, their gradients added up; absent: all. Saves memory",
    )
    channels_last: bool = option(default=False, doc="lay out networks channels last; faster on recent GPUs")
    compile: bool = option(default=False, doc="compile the network; takes minutes, pays on GPUs and for many steps")
    cuda_graphs: bool = option(
        default=False,
        before=False,
        doc="replay the network's kernels as one graph on a GPU: faster for small networks; no effect on a CPU and "
        "where several workers share a batch",
    )
    checkpoint_every: int = option(default=250, check=at_least(1), doc="steps between checkpoints")
    keep: int = option(default=2, check=at_least(1), doc="checkpoints kept")
    log_every: int = option(default=20, check=at_least(1), doc="steps between two recorded losses")
    pictures_every: int = option(
        default=1000,
        matters=False,
        check=at_least(0),
        doc="steps between two pictures in TensorBoard, 16 samples by the averaged weights (a row a class, where there "
        "are classes), and one at the end; each takes about as long as a step; 0: none",
    )

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where the times are out of order, or two options exclude each other."""
        if self.cuda_graphs and (self.compile or self.microbatch is not None):
            # Parts of a batch add up their gradients, and a graph writes its own over the last ones.
            other = "compile" if self.compile else "microbatch"
            raise ValueError(f"cuda_graphs excludes {other}; leave one of them out")
        if self.latest_t <= self.earliest_t:
            raise ValueError(f"latest_t must be above earliest_t, {self.earliest_t:g}, not {self.latest_t:g}")


HOUSEKEEPING = ("checkpoint_every", "keep", "log_every")
"""Options of a training that change no weight: a network that was trained with others of these is the same."""

TrainedOn: TypeAlias = Literal["data", "experts"]
"""What a router learns from: the items of the shards, or samples of the experts."""


@frozen(kw_only=True)
class RouterDataOptions:
    """Each expert is sampled alone, by its own ODE, and stands with its samples for its shard."""

    count: int = option(
        default=4096, check=at_least(1), doc="samples of all experts together, shared out by the shards' fractions"
    )
    steps: int = option(default=40, check=at_least(1), doc="integrator steps")
    integrator: Literal["ddim", "2m", "heun"] = option(default="2m", doc="the integrator")
    grid: Literal["uniform", "logsnr", "quadratic", "karras"] = option(
        default="uniform", doc="how the steps are spread over time"
    )
    delta: float = option(default=1e-3, check=inside(0, 1), doc="the time at which sampling stops")
    store: Literal["float32", "uint8"] = option(
        default="float32", doc="how samples are kept; uint8 is a quarter of the size, and for images in [-1, 1] alone"
    )
