"""How often a field evaluation waits for the device of x: once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import torch
from attrs import frozen
from exact import Altered, exact
from gaussian_shards import gaussians_of
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import Expert, Moments, NoiseSchedule
from mixvel_core.sampling.dispatch import members
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.routed_field import RoutedField, start_field
from mixvel_core.sampling.weights import AS_THEY_ARE, WeightTransform
from mixvel_routers.moments import MomentsRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Fixed, Iid, Mixture, Nucleus, SumUp, TopK
from mixvel_selectors.switching import Switching

READS = frozenset(("cpu", "tolist", "item", "numpy", "nonzero", "masked_select", "unique"))
READS_AS = frozenset(("__bool__", "__float__", "__int__", "__index__"))


class Remote(Tensor):
    """A tensor as if on a device of its own: ``waits`` are the calls that the CPU has to wait for."""

    waits: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        remote = isinstance(args[0], Remote) if args else False
        by_mask = name in ("__getitem__", "__setitem__") and isinstance(args[1], Remote) and args[1].dtype == torch.bool
        # A number that is written through indices is copied to the device first.
        number = name == "__setitem__" and isinstance(args[1], tuple) and isinstance(args[2], (int, float))
        by_number = number and any(isinstance(i, Tensor) for i in args[1])
        if remote and (name in READS or name in READS_AS or by_mask or by_number):
            cls.waits.append(name)
        found = super().__torch_function__(function, types, args, kwargs or {})  # type: ignore[no-untyped-call]  # torch's
        return found.as_subclass(Tensor) if name == "cpu" else found


@frozen(kw_only=True, eq=False)
class OneNetwork:
    """Experts of a group: member k returns x / (1 + k)."""

    schedule: NoiseSchedule

    def moments(self, k: int) -> Moments | None:
        """None."""

    def denoise(self, x: Tensor, t: Tensor, k: Tensor) -> Tensor:
        """x / (1 + k)."""
        return x / (1.0 + k)[:, None]


def field_of(
    selector: Any,
    experts: Sequence[Expert] | None = None,
    weights: WeightTransform = AS_THEY_ARE,
    *,
    components: int = 1,
    closed_form: bool = False,
) -> tuple[RoutedField, Tensor]:
    problem = exact(Cosine(), experts=4, dimension=3, components=components)
    log_pi = torch.tensor(problem.fractions, dtype=torch.float64).log().as_subclass(Remote)
    gaussians = gaussians_of(problem.experts)
    moments = MomentsRouter(log_pi=log_pi, gaussians=gaussians, schedule=problem.schedule)
    x, draws = problem.start(8)
    x = x.as_subclass(Remote)
    found = start_field(
        schedule=problem.schedule,
        experts=experts or problem.experts,
        router=moments if closed_form else problem.router,
        selector=selector,
        x=x,
        t=1.0,
        draws=SampleDraws(seed=0, index=draws.index.as_subclass(Remote)),
        weights=weights,
    )
    return found, x


SELECTORS: Sequence[Any] = (
    *(Mixture(), TopK(k=2), Nucleus(), Iid(), Fixed(), SumUp()),
    *(Cached(), Cached(tolerance=0.3), Cached(tolerance=0.0, max_experts=2), Switching(), Switching(memory=False)),
)
TRUNCATED = WeightTransform(temperature=0.7, floor=0.01, top=3, soft=1.5, from_=0.6)


@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
@pytest.mark.parametrize("weights", [AS_THEY_ARE, TRUNCATED], ids=["whole", "truncated"])
@pytest.mark.parametrize("experts", [None, members(OneNetwork(schedule=Cosine()), 4)], ids=["apart", "shared"])
def test_a_field_evaluation_waits_for_the_device_once(
    selector: Any, experts: Sequence[Expert] | None, weights: WeightTransform
) -> None:
    field, x = field_of(selector, experts, weights)
    for t, s in pairwise((0.9, 0.7, 0.5, 0.1, 0.01)):
        Remote.waits.clear()
        field.begin_step(t, s)
        field.estimate(x, t)
        field.noise(x, 0)
        assert Remote.waits == ["cpu"]


@pytest.mark.parametrize("selector", [Cached(), Switching()], ids=["cached", "switching"])
@pytest.mark.parametrize("components", [1, 2])
def test_nor_does_a_guess_of_the_router_wait(selector: Any, components: int) -> None:
    field, x = field_of(selector, components=components, closed_form=True)
    for t, s in pairwise((0.9, 0.7, 0.5, 0.1, 0.01)):
        Remote.waits.clear()
        field.begin_step(t, s)
        field.estimate(x, t)
        assert Remote.waits == ["cpu"]


def test_what_is_not_a_number_is_found_by_the_next_evaluation_or_the_check() -> None:
    problem = exact(Cosine(), experts=4, dimension=3)
    spoilt = Altered(expert=problem.experts[2], change=lambda m, t: m if t > 0.5 else m * torch.nan)
    experts: list[Expert] = [*problem.experts[:2], spoilt, problem.experts[3]]
    field, x = field_of(Mixture(), experts)
    field.denoise(x, 0.9)
    field.check()
    field.denoise(x, 0.4)
    for look in (field.check, lambda: field.denoise(x, 0.2)):
        with pytest.raises(SamplingError, match=r"expert 2 .* at t=0\.4, evaluation 2"):
            look()
