"""Checks of what the protocol requires of a Selector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from attrs import evolve
from torch import Tensor

from mixvel_core.protocols import Evaluations, Prior, Selector
from mixvel_core.sampling.sampler import SampleDraws
from mixvel_core.testing.check import gap, looks, near, require, require_finite, require_like, untouched
from mixvel_core.testing.selections import TIMES, Call, DrivenMixture


def mask(selector: Selector) -> None:
    """select gives a (B, K) mask of bool with at least one expert for each sample."""
    for mixture in _mixtures():
        index = torch.arange(mixture.batch)
        state: Any = _started(selector, mixture, index)
        for n, t in enumerate(TIMES):
            x, a = mixture.points(n), mixture.weights(n)
            found, state = selector.select(x, t, a, state)
            require(
                isinstance(found, Tensor) and found.dtype == torch.bool and found.shape == a.shape,
                f"the mask at t = {t:g} is {looks(found)} for weights of shape {tuple(a.shape)}",
                "return a tensor of dtype torch.bool and of the shape of a",
            )
            nobody = int((~found.any(1)).sum())
            require(
                nobody == 0,
                f"the mask at t = {t:g} selects no expert for {nobody} of {len(found)} samples",
                "always include the likeliest expert, whatever the threshold",
            )
            expert, sample = found.T.nonzero(as_tuple=True)
            answers = Evaluations(sample=sample, expert=expert, m=mixture.denoise(expert, x[sample], t))
            before = found.clone()
            _, state = selector.combine(x, t, a, answers, state)
            require(
                torch.equal(found, before),
                f"the mask at t = {t:g} was changed after it had been returned: it no longer counts what was asked",
                "keep a copy if you edit it: the cost of a step is the number of its True entries",
            )


def estimate(selector: Selector) -> None:
    """combine gives M of the shape, dtype and device of x, for vectors and images, in float32 too."""
    for mixture in _mixtures():
        for n, call in enumerate(mixture.drive(selector)):
            fix = "add trailing axes to weights before they multiply answers (mixvel_core.field.mixture.weighted_sum)"
            require_like(f"M at t = {call.t:g}", call.M, mixture.points(n), fix)
            require_finite(f"M at t = {call.t:g}", call.M, "nothing may be divided by a weight that can be zero")


def weights(selector: Selector) -> None:
    """Where all experts answer the same, so does the mixture: weights sum to 1."""
    for shared in (True, False):
        mixture = DrivenMixture(constant=True, shared=shared)
        wanted = mixture.mean[0].expand(mixture.batch, *mixture.shape)
        for n, call in enumerate(mixture.drive(selector)):
            off = gap(call.M, wanted)
            ratio = float((call.M / wanted).mean())
            require(
                off < 1e-8,
                f"all experts answer the same, yet call {n + 1} at t = {call.t:g} gives {ratio:.4g} times their answer",
                "the weights of what is combined must sum to 1: divide by the sum over the experts that were asked",
            )


def corners(selector: Selector) -> None:
    """Weights on a single expert, zero elsewhere, give finite estimates."""
    for shared in (True, False):
        for call in DrivenMixture(corners=True, shared=shared).drive(selector):
            require_finite(
                f"M at t = {call.t:g} with all weight on one expert",
                call.M,
                "weights of exactly 0 and 1 occur (router naive): avoid log(a), a / a and 1 / a",
            )


def cost(selector: Selector) -> None:
    """Every evaluation that is asked and paid for is used."""
    mixture = DrivenMixture()
    plain = mixture.drive(selector)
    for n, call in enumerate(plain):
        for k in range(mixture.experts):
            paid = call.mask[:, k] & (call.a[:, k] > 1e-3)
            if not bool(paid.any()):
                continue

            def other(at: int, answers: Evaluations, n: int = n, k: int = k) -> Evaluations:
                shift = ((answers.expert == k) & (at == n)).to(answers.m)
                return evolve(answers, m=answers.m + shift[:, None])

            changed = mixture.drive(selector, change=other, calls=n + 1)[n].M
            unused = paid & ((changed - call.M).abs().amax(1) < 1e-9)
            require(
                not bool(unused.any()),
                f"call {n + 1} at t = {call.t:g} selects expert {k} for {int(unused.sum())} samples, and ignores the "
                "answer",
                "ask only the experts whose answers are combined: every True entry of the mask is an evaluation",
            )


def determinism(selector: Selector) -> None:
    """All that is random comes from the draws: the same draws, the same choices."""
    mixture = DrivenMixture(batch=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = mixture.drive(selector)
        torch.manual_seed(2)
        second = mixture.drive(selector)
    _require_same(
        first,
        second,
        "the same draws give other choices the second time",
        "take random numbers from `draws.uniform(counter)`, with a counter kept in the state; never from torch.rand",
    )


def rows(selector: Selector) -> None:
    """Samples choose independently: companions in a batch change nothing."""
    mixture = DrivenMixture(batch=6)
    together = mixture.drive(selector)
    for i in range(mixture.batch):
        one = torch.tensor([i])
        alone = mixture.drive(selector, rows=one)
        cut = [evolve(c, mask=c.mask[one], M=c.M[one]) for c in together]
        _require_same(
            alone,
            cut,
            f"sample {i} is treated differently alone and in a batch",
            "decide by row: nothing may be sorted, averaged or drawn over the batch axis",
        )


def single(selector: Selector) -> None:
    """With one expert the estimate is its answer, at one evaluation a call."""
    for shared in (True, False):
        mixture = DrivenMixture(shared=shared).only()
        for n, call in enumerate(mixture.drive(selector)):
            wanted = mixture.denoise(torch.zeros(mixture.batch, dtype=torch.int64), mixture.points(n), call.t)
            require(
                bool(call.mask.all()),
                f"with one expert, call {n + 1} does not ask it",
                "K = 1 needs no choice: ask the expert",
            )
            require(
                near(call.M, wanted),
                f"with one expert, call {n + 1} at t = {call.t:g} is off its answer by {gap(call.M, wanted):.2g}",
                "the fresh answers, weighted, are the estimate; nothing else may be added to them",
            )


def arguments(selector: Selector) -> None:
    """x, a and the answers are left alone."""
    mixture = DrivenMixture()
    index = torch.arange(mixture.batch)
    state: Any = _started(selector, mixture, index)
    for n, t in enumerate(TIMES):
        x, a = mixture.points(n), mixture.weights(n)
        with untouched(x=x, a=a):
            found, state = selector.select(x, t, a, state)
        expert, sample = found.T.nonzero(as_tuple=True)
        m = mixture.denoise(expert, x[sample], t)
        answers = Evaluations(sample=sample, expert=expert, m=m)
        with untouched(x=x, a=a, answers=m):
            _, state = selector.combine(x, t, a, answers, state)


def trajectories(selector: Selector) -> None:
    """Two trajectories of one selector do not meet: all that is carried along is in the state."""
    mixture, other = DrivenMixture(), DrivenMixture(seed=1)
    alone = mixture.drive(selector)
    index = torch.arange(mixture.batch)
    mine: Any = _started(selector, mixture, index)
    theirs: Any = _started(selector, other, index)
    found = []
    for n in range(len(TIMES)):
        call, mine = mixture.call(selector, n, index, mine)
        _, theirs = other.call(selector, n, index, theirs)
        found.append(call)
    _require_same(
        alone,
        found,
        "another batch of the same selector changes the choices",
        "keep what belongs to a trajectory in the state that `start` makes, not in the selector",
    )


def _require_same(one: list[Call], other: list[Call], what: str, fix: str) -> None:
    for n, (first, second) in enumerate(zip(one, other, strict=True)):
        where = f"{what} (call {n + 1} at t = {first.t:g}"
        require(torch.equal(first.mask, second.mask), f"{where}, other experts)", fix)
        require(near(second.M, first.M), f"{where}, estimate off by {gap(second.M, first.M):.2g})", fix)


def _started(selector: Selector, mixture: DrivenMixture, index: Tensor) -> object:
    prior = Prior(mean=mixture.mean, variance=mixture.variance) if mixture.shared else None
    return selector.start(mixture.points(0), mixture.schedule, prior, SampleDraws(seed=3, index=index))


def _mixtures() -> Iterator[DrivenMixture]:
    yield DrivenMixture()
    yield DrivenMixture(shared=False)
    yield DrivenMixture(shape=(2, 3, 3), dtype=torch.float32)


CHECKS = (
    mask,
    estimate,
    weights,
    corners,
    cost,
    determinism,
    rows,
    single,
    arguments,
    trajectories,
)
