"""Conditional and guided sampling against exact answers: labelled Gaussian mixtures."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import pytest
import torch
from attrs import asdict, evolve, frozen
from labelled import CLASSES, classes, labelled
from torch import Tensor

from mixvel_core import build
from mixvel_core.errors import UsageError
from mixvel_core.protocols import CLASS, Condition, Guidance, Integrator, Selector
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.sampler import Sampler
from mixvel_guidance.guidance import Autoguidance, ClassifierFree, NoGuidance
from mixvel_integrators.integrators import DDIM, Heun
from mixvel_oracles.labelled import LabelledExpert
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.selectors import Fixed, Mixture
from mixvel_selectors.switching import Switching

PROBLEM = labelled(Cosine())
SELECTORS = ["mixture", "iid", "fixed", "top1", "topk", "nucleus", "sum-up", "cached", "switching"]
DELTA = 0.05
ENDS = 0.9, 0.15


def sampler(
    *,
    selector: Selector | None = None,
    integrator: Integrator | None = None,
    steps: int = 8,
    guidance: Guidance | None = None,
) -> Sampler:
    return Sampler(
        schedule=PROBLEM.schedule,
        experts=PROBLEM.experts,
        router=PROBLEM.router,
        selector=Mixture() if selector is None else selector,
        integrator=DDIM() if integrator is None else integrator,
        steps=steps,
        grid="angle",
        delta=DELTA,
        shape=(4,),
        guidance=guidance,
        weaker=PROBLEM.whole,
    )


def drawn(made: Sampler, count: int = 12, condition: Condition | None = None, batch: int = 256) -> Tensor:
    return made.sample(count, condition=condition, dtype=torch.float64, batch=batch).x


def draws(count: int) -> SampleDraws:
    return SampleDraws(seed=0, index=torch.arange(count))


def points(count: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 4, dtype=torch.float64, generator=generator)
    return x, torch.rand(count, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("c", [None, 0, 1])
def test_the_mixture_under_a_class_is_the_exact_denoiser_of_the_class(c: int | None) -> None:
    x, t = points()
    condition = None if c is None else Condition(values={CLASS: torch.full((len(x),), c)})
    experts = [e if condition is None else e.given(condition) for e in PROBLEM.experts]
    router = PROBLEM.router if condition is None else PROBLEM.router.given(condition)
    whole = PROBLEM.whole if condition is None else PROBLEM.whole.given(condition)
    a, _ = router.weights(x, t, None)
    M = torch.einsum("bk,kbd->bd", a, torch.stack([expert.denoise(x, t) for expert in experts]))
    torch.testing.assert_close(M, whole.denoise(x, t), rtol=0, atol=1e-10)


def test_the_posterior_of_a_shard_averages_over_classes() -> None:
    x, t = points()
    joint = []
    for c in range(CLASSES):
        condition = Condition(values={CLASS: torch.full((len(x),), c)})
        share = PROBLEM.whole.given(condition).log_density(x, t) - PROBLEM.whole.log_density(x, t)
        joint.append(PROBLEM.router.given(condition).weights(x, t, None)[0] * share.exp()[:, None])
    torch.testing.assert_close(sum(joint), PROBLEM.router.weights(x, t, None)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SELECTORS)
def test_a_scale_of_one_is_the_conditional_flow_bit_for_bit(name: str) -> None:
    condition, selector = classes(12), build("selector", name)
    plain = sampler(selector=selector).sample(12, condition=condition, dtype=torch.float64)
    for guidance in (NoGuidance(), ClassifierFree(scale=1.0), Autoguidance(scale=1.0)):
        found = sampler(selector=selector, guidance=guidance).sample(12, condition=condition, dtype=torch.float64)
        assert torch.equal(found.x, plain.x)
        assert torch.equal(found.evaluations, plain.evaluations)


def test_without_a_condition_nothing_guides_and_samples_are_not_made_as_if_it_did() -> None:
    made = sampler(guidance=ClassifierFree(scale=3.0))
    noise = draws(12).noise((4,), torch.float64)
    assert torch.equal(made.trajectory(noise, draws(12))[0], sampler().trajectory(noise, draws(12))[0])
    with pytest.raises(UsageError, match="no condition is given to lead to"):
        drawn(made)


@pytest.mark.parametrize(
    ("name", "order", "coarse"),
    [
        ("euler", 1, 20),
        ("ddim", 1, 20),
        ("heun", 2, 20),
        ("2m", 2, 40),
        ("pc", 3, 40),
        ("3m", 2, 80),
        ("deis", 2, 80),
        ("ipndm", 2, 80),
    ],
)
@pytest.mark.parametrize("w", [1.0, 3.0, 7.5])
def test_guided_samples_converge_to_the_guided_flow_with_the_integrators_order(
    name: str, order: int, coarse: int, w: float
) -> None:
    assert abs(guided_order(name, coarse, w) - order) < 0.2


@pytest.mark.parametrize("w", [1.0, 3.0, 7.5])
def test_the_first_step_of_unipc_shows_late(w: float) -> None:
    """It has order 2 and makes an error of order 3 in the end, under guidance as without."""
    assert guided_order("unipc", 80, w) > 2.9


@cache
def guided_end(w: float) -> Tensor:
    """Where the exact flow leads between the ends."""
    return PROBLEM.guided_flow(points(12)[0], classes(12), ClassifierFree(scale=w), ENDS)


def guided_order(name: str, coarse: int, w: float) -> float:
    """The measured order from ``coarse`` steps to twice as many, between the ends, where the flow is smooth: at t = 1
    log(alpha/sigma) is infinite."""
    integrator: Integrator = build("integrator", name)
    condition, guidance, x = classes(12), ClassifierFree(scale=w), points(12)[0]
    errors = []
    for steps in (coarse, 2 * coarse):
        field = sampler(guidance=guidance).start(x, ENDS[0], draws(12), condition)
        times = torch.linspace(*ENDS, steps + 1, dtype=torch.float64).tolist()
        found, history = x, None
        for t, s in pairwise(times):
            field.begin_step(t, s)
            found, history = integrator.step(field, found, t, s, history)
        errors.append(float((found - guided_end(w)).norm()))
    return math.log2(errors[0] / errors[1])


@pytest.mark.parametrize("name", SELECTORS)
def test_evaluations_of_both_halves_are_counted(name: str) -> None:
    condition, steps = classes(6), 5
    calls: list[int] = []

    @frozen(kw_only=True, eq=False)
    class Counted(LabelledExpert):
        def denoise(self, x: Tensor, t: Tensor) -> Tensor:
            calls.append(len(x))
            return super().denoise(x, t)

    experts = [Counted(**asdict(e, recurse=False, filter=lambda a, _: a.init)) for e in PROBLEM.experts]
    for guidance in (ClassifierFree(scale=3.0), ClassifierFree(scale=3.0, low=0.3, high=0.7)):
        made = sampler(selector=build("selector", name), guidance=guidance, steps=steps)
        calls.clear()
        found = evolve(made, experts=experts).sample(6, condition=condition).evaluations
        assert int(found.sum()) == sum(calls)


def test_the_reference_is_not_evaluated_outside_the_interval() -> None:
    condition = classes(6)
    K = len(PROBLEM.experts)
    both = sampler(guidance=ClassifierFree(scale=3.0), steps=5).sample(6, condition=condition)
    assert both.evaluations.tolist() == [2 * K * 5] * 6
    inside = sampler(guidance=ClassifierFree(scale=3.0, low=0.3, high=0.7), steps=5)
    some = inside.sample(6, condition=condition).evaluations
    assert int(some.max()) < 2 * K * 5
    assert int(some.min()) > K * 5


def test_samples_do_not_depend_on_their_batch() -> None:
    made = sampler(selector=Switching(), guidance=ClassifierFree(scale=2.0))
    condition = classes(9)
    torch.testing.assert_close(drawn(made, 9, condition, 4), drawn(made, 9, condition), rtol=0, atol=1e-12)


def test_a_shared_route_gives_both_halves_the_weights_of_the_condition() -> None:
    """M_null by p(k | x, c): by hand."""
    x, _ = points(6)
    t, condition, w = 0.4, classes(6), 2.5
    guidance = ClassifierFree(scale=w, route="shared")
    made = sampler(guidance=guidance)
    field = made.start(x, 1.0, draws(6), condition)
    times = x.new_full((6,), t)
    a, _ = PROBLEM.router.given(condition).weights(x, times, None)
    M_c, M_null = (
        torch.einsum("bk,kbd->bd", a, torch.stack([e.denoise(x, times) for e in experts]))
        for experts in ([e.given(condition) for e in PROBLEM.experts], PROBLEM.experts)
    )
    torch.testing.assert_close(field.denoise(x, t), M_null + w * (M_c - M_null), rtol=0, atol=1e-12)


def test_autoguidance_leads_away_from_the_weaker_model() -> None:
    x, _ = points(6)
    t, condition = 0.4, classes(6)
    field = sampler(guidance=Autoguidance(scale=2.0)).start(x, 1.0, draws(6), condition)
    # The weaker model is as good as the mixture here: nothing changes.
    times = x.new_full((6,), t)
    torch.testing.assert_close(field.denoise(x, t), PROBLEM.whole.given(condition).denoise(x, times), rtol=0, atol=1e-9)


def test_one_row_is_the_condition_of_all() -> None:
    one = Condition(values={CLASS: torch.tensor([1])})
    each = Condition(values={CLASS: torch.ones(5, dtype=torch.int64)})
    assert torch.equal(drawn(sampler(), 5, one), drawn(sampler(), 5, each))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32])
def test_labels_of_any_integer_type_are_the_same_classes(dtype: torch.dtype) -> None:
    """Also where the null class has no place in the type, as 2 has none in bool."""
    condition, made = classes(12), sampler(guidance=ClassifierFree(scale=3.0))
    other = Condition(values={CLASS: condition.values[CLASS].to(dtype)})
    assert torch.equal(drawn(made, condition=other), drawn(made, condition=condition))


def test_fixed_under_a_class_needs_no_router_in_between() -> None:
    """k ~ p(k | c) at t = 1, kept: exact in law, so each sample ends at its class's own components."""
    made = sampler(selector=Fixed(), steps=40, integrator=Heun())
    condition = classes(64)
    x = drawn(made, 64, condition)
    t = x.new_full((64,), DELTA)
    own, other = (
        PROBLEM.whole.given(Condition(values={CLASS: (torch.arange(64) + shift) % CLASSES})).log_density(x, t)
        for shift in (0, 1)
    )
    assert float((own > other).double().mean()) > 0.9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({CLASS: torch.zeros(3, dtype=torch.int64)}, "the condition has 3 rows for 12 samples"),
        ({"text": torch.zeros(12, 2)}, "the condition lacks class, which is read; it gives text"),
    ],
)
def test_conditions_that_do_not_fit(values: dict[str, Tensor], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        drawn(sampler(), condition=Condition(values=values))


@pytest.mark.parametrize("given", [1, "shirt", [1, 0], {CLASS: 1}])
def test_what_is_no_condition_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match=r"and no Condition; of a run, run\.condition\(3\) makes one"):
        sampler().sample(2, condition=given)  # type: ignore[arg-type]  # the mistake that is tested
