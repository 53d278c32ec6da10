"""Checks of what the protocol requires of a Selector, driven through a mixture call by call, as the sampler does."""

from __future__ import annotations

import torch
from attrs import evolve
from torch import Tensor

from mixvel_core.protocols import PairedSelector, Selector
from mixvel_core.testing.check import gap, looks, near, require, require_finite, require_like, require_near, untouched
from mixvel_core.testing.driven_mixture import TIMES, Call, DrivenMixture

_MIXTURES = (DrivenMixture(), DrivenMixture(shared=False), DrivenMixture(shape=(2, 3, 3), dtype=torch.float32))


def mask(selector: Selector) -> None:
    """select gives a (B, K) mask of bool with at least one expert for each sample."""
    for mixture in _MIXTURES:
        state = mixture.start(selector)
        for n, t in enumerate(TIMES):
            x, a = mixture.points(n), mixture.weights(n)
            found, state = selector.select(x, t, a, state)
            _require_mask(f"the mask at t = {t:g}", found, a)
            before = found.clone()
            _, state = selector.combine(x, t, a, mixture.answers(found, x, t), state)
            require(
                torch.equal(found, before),
                f"the mask at t = {t:g} was changed after it had been returned: it no longer counts what was asked",
                "keep a copy if you edit it: the cost of a step is the number of its True entries",
            )


def estimate(selector: Selector) -> None:
    """combine gives M of the shape, dtype and device of x, for vectors and images, in float32 too."""
    for mixture in _MIXTURES:
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
    for n, call in enumerate(list(mixture.drive(selector))):
        for k in range(mixture.experts):
            paid = call.mask[:, k] & (call.a[:, k] > 1e-3)
            changed = [*mixture.drive(selector, calls=n + 1, moved=k)][n].M if bool(paid.any()) else call.M
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
        first = list(mixture.drive(selector))
        torch.manual_seed(2)
        second = list(mixture.drive(selector))
    _require_same(
        first,
        second,
        "the same draws give other choices the second time",
        "take random numbers from `draws.uniform(counter)`, with a counter kept in the state; never from torch.rand",
    )


def rows(selector: Selector) -> None:
    """Samples choose independently: companions in a batch change nothing."""
    for mixture in (DrivenMixture(batch=6), DrivenMixture(batch=6, by_row=True)):
        together = list(mixture.drive(selector))
        for i in range(mixture.batch):
            one = torch.tensor([i])
            alone = list(mixture.drive(selector, one))
            cut = [evolve(c, mask=c.mask[one], M=c.M[one]) for c in together]
            _require_same(
                alone,
                cut,
                f"sample {i} is treated differently alone and in a batch",
                "decide by row: nothing may be sorted, averaged or drawn over the batch axis; guess by answers.sample",
            )


def single(selector: Selector) -> None:
    """With one expert the estimate is its answer, at one evaluation a call."""
    for shared in (True, False):
        mixture = DrivenMixture(shared=shared, experts=1)
        for n, call in enumerate(mixture.drive(selector)):
            fix = "K = 1 needs no choice: ask the expert"
            require(bool(call.mask.all()), f"with one expert, call {n + 1} does not ask it", fix)
            require_near(
                call.M,
                mixture.answers(call.mask, mixture.points(n), call.t).m,
                f"with one expert, call {n + 1} at t = {call.t:g} is off its answer by",
                "the fresh answers, weighted, are the estimate; nothing else may be added to them",
            )


def arguments(selector: Selector) -> None:
    """x, a and the answers are left alone."""
    mixture = DrivenMixture()
    state = mixture.start(selector)
    for n, t in enumerate(TIMES):
        x, a = mixture.points(n), mixture.weights(n)
        with untouched(x=x, a=a):
            found, state = selector.select(x, t, a, state)
        answers = mixture.answers(found, x, t)
        with untouched(x=x, a=a, answers=answers.m):
            _, state = selector.combine(x, t, a, answers, state)


def trajectories(selector: Selector) -> None:
    """Two trajectories of one selector do not meet: all that is carried along is in the state."""
    mixture, other = DrivenMixture(), DrivenMixture(seed=1)
    alone = list(mixture.drive(selector))
    found = [call for call, _ in zip(mixture.drive(selector), other.drive(selector), strict=True)]
    _require_same(
        alone,
        found,
        "another batch of the same selector changes the choices",
        "keep what belongs to a trajectory in the state that `start` makes, not in the selector",
    )


def both(selector: Selector) -> None:
    """Where it chooses for both estimates of a guidance, each has an expert, and the same answers give the mixture."""
    if not isinstance(selector, PairedSelector):
        return
    for shared in (True, False):
        mixture = DrivenMixture(constant=True, shared=shared)
        states = mixture.start(selector), mixture.start(selector)
        for n, t in enumerate(TIMES):
            x, a = mixture.points(n), (mixture.weights(n), mixture.weights(-1 - n))
            masks, states = selector.select_both(x, t, a, 3.0, states)
            made = []
            for i, which in enumerate(("under the condition", "without one")):
                _require_mask(f"the mask {which} at t = {t:g}", masks[i], a[i])
                M, state = selector.combine(x, t, a[i], mixture.answers(masks[i], x, t), states[i])
                what = f"all experts answer the same, yet M {which} at t = {t:g} is off by"
                require_near(M, mixture.mean[0].expand_as(M), what, "combine each estimate by its own weights")
                made.append(state)
            states = made[0], made[1]


def _require_mask(what: str, found: object, a: Tensor) -> None:
    require(
        isinstance(found, Tensor) and found.dtype == torch.bool and found.shape == a.shape,
        f"{what} is {looks(found)} for weights of shape {tuple(a.shape)}",
        "return a tensor of dtype torch.bool and of the shape of a",
    )
    nobody = int((~found.any(1)).sum()) if isinstance(found, Tensor) else len(a)
    fix = "always include the likeliest expert, whatever the threshold"
    require(nobody == 0, f"{what} selects no expert for {nobody} of {len(a)} samples", fix)


def _require_same(one: list[Call], other: list[Call], what: str, fix: str) -> None:
    for n, (first, second) in enumerate(zip(one, other, strict=True)):
        where = f"{what} (call {n + 1} at t = {first.t:g}"
        require(torch.equal(first.mask, second.mask), f"{where}, other experts)", fix)
        require(near(second.M, first.M), f"{where}, estimate off by {gap(second.M, first.M):.2g})", fix)


CHECKS = (mask, estimate, weights, corners, cost, determinism, rows, single, arguments, trajectories, both)
