"""Rates, the average, the optimizer, and their way into a file and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from trainable import Level, short

from mixvel_core.errors import ArtifactError
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.state import Average, TrainState, ema_decay, learning_rate


def _state(seed: int = 0) -> TrainState:
    torch.manual_seed(seed)
    return TrainState(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), short())


def _inputs(step: int) -> Tensor:
    return torch.linspace(-1, 1, 15).reshape(5, 3) * (1 + step)


def _loss(network: nn.Module, x: Tensor) -> Tensor:
    value: Tensor = 0.1 * x.square().sum() * network(x).square().mean()
    return value


def _step(state: TrainState) -> None:
    _down(state, _loss(state.network, _inputs(state.step)))


def _down(state: TrainState, loss: Tensor) -> None:
    state.begin()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    state.update()


def test_average_is_the_weighted_sum_of_the_past_and_counters_are_copied() -> None:
    network = Level(1).double()
    average = Average(network)
    expected = float(network.level.detach())
    for step, level in enumerate((1.0, -2.0, 5.0)):
        with torch.no_grad():
            network.level.fill_(level)
            network.seen += 2
        average.update(0.25 * step)
        expected = 0.25 * step * expected + (1 - 0.25 * step) * level
    assert float(average.tensors["level"]) == pytest.approx(expected, rel=1e-15)
    assert int(average.tensors["seen"]) == 6


def test_update_is_adam_at_the_rates_of_the_step() -> None:
    state = _state()
    reference = _state().network
    adam = torch.optim.Adam(reference.parameters(), foreach=False)
    average = [p.detach().clone() for p in reference.parameters()]
    norms: list[float] = []
    for step in range(6):
        x = _inputs(step)
        adam.param_groups[0]["lr"] = learning_rate(step, short())
        adam.zero_grad()
        torch.autograd.backward(_loss(reference, x))
        norms.append(float(nn.utils.clip_grad_norm_(reference.parameters(), 1.0)))
        adam.step()
        decay = ema_decay(step, short())
        average = [decay * a + (1 - decay) * p.detach() for a, p in zip(average, reference.parameters(), strict=True)]
        _step(state)
    assert min(norms) < 1 < max(norms), "both sides of the clip are to be seen"
    for a, b, m, e in zip(
        state.network.parameters(), reference.parameters(), average, state.average.tensors.values(), strict=True
    ):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(e, m)


def test_a_restored_state_goes_on_bit_for_bit() -> None:
    straight, resumed = _state(), _state(seed=1)
    for _ in range(4):
        _step(straight)
    resumed.restore({name: value.clone() for name, value in straight.tensors().items()}, 4, "file")
    assert resumed.step == 4
    for state in (straight, resumed):
        for _ in range(3):
            _step(state)
    ours, theirs = straight.tensors(), resumed.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_restored_moments_are_laid_out_like_their_parameters() -> None:
    def fresh() -> TrainState:
        torch.manual_seed(0)
        return TrainState(nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), short())  # type: ignore[call-overload]  # torch's types know 4-D layouts alone

    straight, resumed = fresh(), fresh()
    _down(straight, straight.network(torch.ones(1, 3, 5, 5)).square().sum())
    # A file keeps no layout.
    stored = {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in straight.tensors().items()
    }
    resumed.restore(stored, 1, "file")
    layouts = [{n: (v.stride(), v.device) for n, v in state.tensors().items()} for state in (straight, resumed)]
    assert layouts[0]["adam.exp_avg.weight"][0] == (27, 1, 9, 3)
    assert layouts[0] == layouts[1]


def test_parameters_without_a_gradient_are_kept_too() -> None:
    def fresh() -> TrainState:
        torch.manual_seed(0)
        return TrainState(nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)]), short())

    state = fresh()
    assert isinstance(state.network, nn.ModuleList)
    _down(state, state.network[0](torch.ones(1, 2)).sum())
    again = fresh()
    again.restore(state.tensors(), 1, "file")
    assert again.tensors().keys() == state.tensors().keys()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weights.0.bias", None, "0.bias is missing"),
        ("average.2.weight", torch.zeros(2, 5), r"2.weight is float32 \(2, 5\) where float32 \(2, 4\)"),
        ("adam.exp_avg.0.bias", torch.zeros(4).double(), r"exp_avg.0.bias is float64"),
        ("weights.9.weight", torch.zeros(1), "9.weight is unknown"),
    ],
)
def test_a_foreign_state_is_refused_and_nothing_is_touched(name: str, change: Tensor | None, message: str) -> None:
    state, fresh = _state(), _state(seed=1)
    _step(state)
    tensors = {key: value for key, value in (state.tensors() | {name: change}).items() if value is not None}
    before = {key: value.clone() for key, value in fresh.tensors().items()}
    with pytest.raises(ArtifactError, match=message):
        fresh.restore(tensors, 1, "file")
    after = fresh.tensors()
    assert fresh.step == 0
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_average_forgets_its_beginning_first() -> None:
    options = TrainOptions(ema=0.5)
    assert [ema_decay(step, options) for step in (0, 2, 8, 1000)] == pytest.approx([1 / 10, 3 / 12, 0.5, 0.5])


def test_rates_rise_to_the_peak_and_fall_to_zero_with_decay_alone() -> None:
    def rates(steps: int, warmup: int, decay: bool = True) -> list[float]:
        options = TrainOptions(steps=steps, warmup=warmup, learning_rate=1.0, decay=decay)
        return [learning_rate(step, options) for step in range(steps)]

    assert rates(10, 4) == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert rates(5, 0, decay=False) == [1.0] * 5
    assert rates(3, 10) == pytest.approx([0.1, 0.2, 0.3])
