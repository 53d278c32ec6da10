"""Networks in memory, from Python: one line makes an expert, one a router, and what is neither is told how."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn

import mixvel_core as mx
from mixvel_core.protocols import Moments
from mixvel_foreign.adapter import module_expert
from mixvel_schedules.schedules import Cosine, Rectified

STANDARD = Moments(mean=torch.zeros(6), variance=torch.ones(6))


class Predicting(nn.Module):
    """What the optimal network for standard normal data predicts under the cosine schedule, at its own time."""

    def __init__(self, prediction: str, scale: float) -> None:
        super().__init__()
        self.prediction = prediction
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        p = Cosine().at((time / self.scale)[:, None])
        m, eps = p.alpha * x, p.sigma * x
        return {"x0": m, "eps": eps, "v": p.alpha * eps - p.sigma * m, "flow": eps - m}[self.prediction]


def sampler(experts: Any, router: Any) -> mx.Sampler:
    return mx.Sampler(
        schedule=mx.build("schedule", "vp-cosine"),
        experts=experts,
        router=router,
        selector=mx.build("selector", "mixture"),
        integrator=mx.build("integrator", "ddim"),
        steps=4,
        shape=(6,),
    )


@pytest.mark.parametrize("prediction", ["x0", "eps", "v", "flow"])
@pytest.mark.parametrize(("time", "scale"), [("unit", 1.0), ("scaled", 1000.0)])
def test_a_network_in_one_line_is_the_denoiser_of_its_prediction(prediction: Any, time: Any, scale: float) -> None:
    net = Predicting(prediction, scale).train()
    expert = module_expert(net, prediction=prediction, schedule="vp-cosine", time=time, moments=STANDARD)
    x, t = torch.randn(5, 6), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    torch.testing.assert_close(expert.denoise(x, t), Cosine().at(t).alpha[:, None] * x, rtol=1e-4, atol=1e-5)
    assert not net.training
    assert not expert.denoise(x, t).requires_grad


@pytest.mark.parametrize("prediction", ["v", "flow"])
def test_a_network_with_data_at_time_one_is_the_same_expert(prediction: Any) -> None:
    net = Predicting(prediction, 1.0)
    sign = -1.0 if prediction == "flow" else 1.0
    straight = module_expert(net, prediction=prediction, schedule="vp-cosine")
    turned = module_expert(
        lambda x, time: sign * net(x, 1.0 - time), prediction=prediction, schedule="vp-cosine", reversed_time=True
    )
    x, t = torch.randn(5, 6), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    torch.testing.assert_close(turned.denoise(x, t), straight.denoise(x, t), rtol=1e-4, atol=1e-5)


def test_own_networks_and_a_router_without_data_sample_together() -> None:
    nets = [Predicting("eps", 1.0), Predicting("v", 1000.0)]
    experts = [
        module_expert(nets[0], prediction="eps", schedule="vp-cosine", moments=STANDARD),
        module_expert(nets[1], prediction="v", schedule=Cosine(), time="scaled"),
    ]
    schedule = Cosine()
    one = sampler(experts, mx.ready_router("fixed", experts=2, schedule=schedule)).sample(8)
    alone = sampler(experts[:1], mx.ready_router("fixed", experts=1, schedule=schedule)).sample(8)
    # Both experts are the same denoiser, so their mixture is it too.
    torch.testing.assert_close(one.x, alone.x, rtol=1e-4, atol=1e-4)
    options = {"prior": "none", "second_moment": "probe"}
    answers = mx.ready_router("experts", options, experts=2, schedule=schedule, shape=(6,))
    torch.testing.assert_close(sampler(experts, answers).sample(8).x, alone.x, rtol=1e-4, atol=1e-4)
    flow = module_expert(lambda x, t: torch.zeros_like(x), prediction="x0", schedule="rectified")
    assert flow.schedule == Rectified()


def test_weights_of_the_prior_are_normalised() -> None:
    router = mx.ready_router("fixed", experts=[3, 1], schedule=Cosine())
    x, t = torch.zeros(2, 6), torch.tensor([0.5, 0.5])
    a, _ = router.weights(x, t, router.start(x, t))
    assert a.tolist() == [[0.75, 0.25]] * 2


@pytest.mark.parametrize("name", ["a-network", "moments"])
def test_routers_that_need_data_name_where_they_come_from(name: str) -> None:
    with pytest.raises(
        mx.UsageError, match=rf"router {name} with these options is made from data.*open_run\(FOLDER\).sampler"
    ):
        mx.ready_router(name, experts=2, schedule=Cosine(), shape=(6,))


def test_what_is_no_router_and_no_expert_says_what_to_do() -> None:
    expert = module_expert(Predicting("v", 1.0), prediction="v", schedule="vp-cosine")
    router = mx.ready_router("fixed", experts=1, schedule=Cosine())
    with pytest.raises(mx.UsageError, match=r"router: a family of routers, as build makes; `ready_router\(NAME"):
        sampler([expert], mx.build("router", "fixed"))
    for wrong in ([Predicting("eps", 1.0)], mx.build("expert", "unet"), [mx.build("expert", "unet")]):
        with pytest.raises(mx.UsageError, match="module_expert"):
            sampler(wrong, router)
    assert evolve(sampler([expert], router), steps=2).steps == 2
    usual: dict[str, Any] = {"prediction": "v", "schedule": "vp-cosine"}
    for options, words in (
        ({"prediction": "epsilon"}, "prediction 'epsilon' is not known; there are x0, eps, v, flow"),
        ({"time": "steps"}, "time 'steps' is not known"),
        ({"schedule": "vp-cosin"}, "did you mean vp-cosine"),
    ):
        with pytest.raises(mx.MixvelError, match=words):
            module_expert(Predicting("eps", 1.0), **usual | options)
    with pytest.raises(mx.UsageError, match="cannot be called"):
        module_expert({"state": 1}, **usual)  # type: ignore[arg-type]  # that is tested
    with pytest.raises(mx.UsageError, match="give their number, or a weight above 0"):
        mx.ready_router("fixed", experts=0, schedule=Cosine())
