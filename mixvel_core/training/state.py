"""TrainState: everything one step changes, and its way into a file; learning rate and average by step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import check_same, load_weights
from mixvel_core.training.log import Losses
from mixvel_core.training.options import TrainOptions


def learning_rate(step: int, options: TrainOptions) -> float:
    """The rate of step ``step`` in 0..steps-1: linear warm-up to the peak, then linear decay to zero at ``steps``."""
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    if not options.decay:
        return options.learning_rate
    return options.learning_rate * (options.steps - step) / (options.steps - options.warmup)


def ema_decay(step: int, options: TrainOptions) -> float:
    """The weight of the past in the average at step ``step`` in 0..steps-1: min(ema, (1 + step) / (10 + step)).

    The warm-up keeps the initial weights from lingering in the average of a short training.
    """
    return min(options.ema, (1 + step) / (10 + step))


class Average:
    """The exponential moving average of a network's state; what is not floating point is copied."""

    def __init__(self, network: nn.Module) -> None:
        # state_dict shares memory with the network, and optimizers write in place: these stay its live values.
        live = network.state_dict()
        self.tensors = {name: value.clone() for name, value in live.items()}
        smooth = [name for name, value in live.items() if value.is_floating_point()]
        self._smooth = [self.tensors[n] for n in smooth], [live[n] for n in smooth]
        self._copied = [(self.tensors[n], value) for n, value in live.items() if n not in set(smooth)]

    def update(self, decay: float) -> None:
        """average <- decay * average + (1 - decay) * network."""
        if self._smooth[0]:
            # torch.optim.swa_utils does the same a tensor at a time, ten times slower on small networks.
            torch._foreach_lerp_(*self._smooth, 1.0 - decay)
        for average, value in self._copied:
            average.copy_(value)


class TrainState:
    """A network, its optimizer, its average, ``step``, the number of steps done, and their recorded ``losses``."""

    def __init__(self, network: nn.Module, options: TrainOptions) -> None:
        self.network = network
        self.step = 0
        self.losses = Losses()
        self.average = Average(network)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.options = options
        # The rate is set before each step. Fused: one kernel for all tensors; on a CPU it gains nothing on foreach.
        self._fused = all(p.is_cuda for p in self.parameters)
        self._adam = torch.optim.Adam(
            self.parameters, lr=options.learning_rate, fused=self._fused, foreach=not self._fused
        )

    def begin(self) -> None:
        """Forgets the gradient of the step before."""
        self._adam.zero_grad()

    def update(self) -> Tensor:
        """One optimizer step down the gradient that lies in the network; returns its norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate(self.step, self.options)
        self._adam.step()
        self.average.update(ema_decay(self.step, self.options))
        self.step += 1
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Weights, average, Adam's moments and recorded losses by name; ``restore`` reads them back."""
        named = {f"weights.{name}": value for name, value in self.network.state_dict().items()}
        named |= {f"average.{name}": value for name, value in self.average.tensors.items()}
        for name, parameter in self.network.named_parameters():
            # A parameter that never had a gradient has no moments.
            for part, value in self._adam.state.get(parameter, {}).items():
                named[f"adam.{part}.{name}"] = value
        # Doubles, like the numbers in losses.csv.
        columns = self.losses.columns().items()
        return named | {f"losses.{name}": torch.tensor(values, dtype=torch.float64) for name, values in columns}

    def restore(self, tensors: Mapping[str, Tensor], step: int, where: str) -> None:
        """Puts back what ``tensors`` gave after ``step`` steps. Raises ArtifactError, naming ``where``."""
        average, moments = _below("average.", tensors), _below("adam.", tensors)
        expected = self._moments_like(moments)
        check_same(average, self.average.tensors, where)
        check_same(moments, expected, where)
        load_weights(self.network, _below("weights.", tensors), where)
        for name, value in average.items():
            self.average.tensors[name].copy_(value)
        for name, parameter in self.network.named_parameters():
            if f"step.{name}" in expected:
                # Where Adam itself puts them: it counts on the CPU unless fused, and its moments are laid out like the
                # parameter. A file keeps neither device nor layout, and the fused kernel refuses any other.
                count = moments[f"step.{name}"]
                self._adam.state[parameter] = {
                    "step": count.to(parameter.device if self._fused else "cpu", copy=True),
                    "exp_avg": torch.empty_like(parameter.detach()).copy_(moments[f"exp_avg.{name}"]),
                    "exp_avg_sq": torch.empty_like(parameter.detach()).copy_(moments[f"exp_avg_sq.{name}"]),
                }
        self.losses = Losses.of({name: value.tolist() for name, value in _below("losses.", tensors).items()})
        self.step = step

    def _moments_like(self, moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        expected = {}
        for name, parameter in self.network.named_parameters():
            if f"step.{name}" in moments:
                expected[f"step.{name}"] = torch.tensor(0.0)
                expected |= {f"{part}.{name}": parameter.detach() for part in ("exp_avg", "exp_avg_sq")}
        return expected


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
