"""Weights of one's own network as they lie about: pickles, wrapped names, nothing; and networks of another shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import mixvel_core as mx
from mixvel_core.errors import AbsentError, DataError, SamplingError
from mixvel_foreign.adapter import module_expert
from mixvel_networks.checked_weights import read_checked
from mixvel_networks.weight_files import files_in


def test_pickles_and_nothing_are_named_with_what_to_do(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    torch.save(network.state_dict(), tmp_path / "net.pt")
    for place in (tmp_path / "net.pt", tmp_path):
        with pytest.raises(
            AbsentError, match=r"net.pt: a pickle, which is not read; if you trust it.*python -c"
        ) as told:
            files_in(place)
    # What it says to run does it.
    exec(str(told.value).split('python -c "')[1].rstrip('"'))
    assert read_checked(files_in(tmp_path / "net.safetensors"), network.state_dict()).keys() == {"weight", "bias"}
    with pytest.raises(AbsentError, match="nowhere: no such file or folder; put the weights there"):
        files_in(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AbsentError, match="no safetensors file there; convert the weights"):
        files_in(tmp_path / "empty")


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod."])
def test_names_of_wrapped_networks_are_those_of_the_network(tmp_path: Path, wrapper: str) -> None:
    network = nn.Linear(2, 2)
    state = network.state_dict()
    save_file({wrapper + name: value for name, value in state.items()}, tmp_path / "a.safetensors")
    found = read_checked([tmp_path / "a.safetensors"], state)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    save_file({f"{wrapper}weight": state["weight"]}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="lacks "):
        read_checked([tmp_path / "a.safetensors"], state)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda x, t: x[:, :1], r"returned \(2, 1, 4, 4\) for points \(2, 3, 4, 4\); a prediction has the shape"),
        (lambda x, t: torch.cat([x, x], 1), r"returned \(2, 6, 4, 4\) for points .*cut off a learned variance"),
        (lambda x, t: x[0], r"returned \(3, 4, 4\) for points"),
        (lambda x, t: (x,), r"returned a tuple, not a tensor; return its part with the prediction"),
        (lambda x: x, "raised TypeError"),
    ],
)
def test_what_is_no_prediction_is_not_stretched_into_one(network: Callable[..., Any], words: str) -> None:
    expert = module_expert(network, prediction="x0", schedule="vp-cosine")
    with pytest.raises(SamplingError, match=words):
        expert.denoise(torch.randn(2, 3, 4, 4), torch.tensor([0.3, 0.6]))


def test_noise_predicted_down_to_no_signal_needs_moments() -> None:
    def network(x: Tensor, t: Tensor) -> Tensor:
        return x

    with pytest.raises(mx.UsageError, match="at t = 1 alpha is 0, where the noise that is predicted says nothing"):
        module_expert(network, prediction="eps", schedule="vp-cosine")
    assert module_expert(network, prediction="eps", schedule="ddpm-table", time="entries").moments is None
