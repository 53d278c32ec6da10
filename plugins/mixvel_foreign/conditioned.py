"""A foreign network that reads a condition of each sample, as a conditional expert."""

from __future__ import annotations

from typing import Self

from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.protocols import Condition, ConditionSpec, Moments, NoiseSchedule, null_condition
from mixvel_networks.denoiser import NetworkDenoiser


@frozen(kw_only=True, eq=False)
class ConditionedExpert:
    """m(x, t, c). ``plain``: its network is called with x and t, and where there is c with that. ``spec``: of c.

    ``given_values``: c, a row for each row of x; None: the null condition.
    """

    plain: NetworkDenoiser
    spec: ConditionSpec
    given_values: Tensor | None = None

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule under which the network reads x and t."""
        return self.plain.schedule

    @property
    def moments(self) -> Moments | None:
        """Mean and variance of the shard; None where they are not known."""
        return self.plain.moments

    @property
    def null(self) -> Condition | None:
        """No class, or no text, one row."""
        return null_condition((self.spec,))

    @property
    def module(self) -> nn.Module | None:
        """The network, which holds the weights."""
        return self.plain.module

    def tuned(self, *, channels_last: bool, compiled: bool) -> Self:
        """The same with its weights laid out channels last, compiled, or both."""
        return evolve(self, plain=self.plain.tuned(channels_last=channels_last, compiled=compiled))

    def given(self, condition: Condition) -> Self:
        """The expert of a condition, row by row."""
        return evolve(self, given_values=condition.values[self.spec.name])

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t, c), (B, *data), for x (B, *data) and times t (B,)."""
        network, values = self.plain.network, self.given_values
        if values is None:
            return self.plain.denoise(x, t)
        return evolve(self.plain, network=lambda x, t: network(x, t, values)).denoise(x, t)
