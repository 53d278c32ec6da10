"""Strangers' callables as functions of (x, t) that answer, or say in a line why they cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mixvel_core.errors import SamplingError
from mixvel_foreign.told_time import ToldTime


class Clocked(nn.Module):
    """A network that is told of time in its own way."""

    def __init__(self, network: nn.Module, *, told: ToldTime) -> None:
        super().__init__()
        self.network = network
        self.told = told

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's answer."""
        answer: Tensor = self.network(x, self.told(t))
        return answer


class Called(nn.Module):
    """A user's own callable ``inner`` of (x, time); ``name`` of it for errors.

    A module computes in the type of its parameters. ``mean``: whether the answer is a distribution, as azula's
    denoisers give, of which the mean is meant.
    """

    def __init__(self, inner: Callable[[Tensor, Tensor], Any], *, name: str, mean: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.name = name
        self.mean = mean

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The answer in the type of x. Raises SamplingError where there is none."""
        dtype = self._dtype(x)
        try:
            answer = self.inner(x.to(dtype), time.to(dtype))
            answer = answer.mean if self.mean else answer
        # Whatever a user's own code raises is told as such.
        except Exception as error:
            raise SamplingError(
                f"{self.name} raised {type(error).__name__} for x of shape {tuple(x.shape)}: {error}"
            ) from error
        if not isinstance(answer, Tensor):
            raise SamplingError(f"{self.name} returned a {type(answer).__name__}, not a tensor")
        return answer.to(x.dtype)

    def _dtype(self, x: Tensor) -> torch.dtype:
        parameters = self.inner.parameters() if isinstance(self.inner, nn.Module) else ()
        return next((p.dtype for p in parameters if p.is_floating_point()), x.dtype)
