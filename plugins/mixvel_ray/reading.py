"""The reader of streamed data on a cluster: Ray Data is imported where data are streamed, and nowhere else."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from attrs import frozen

from mixvel_core.store.columns import Column
from mixvel_core.store.row_groups import RowGroup


@frozen(kw_only=True)
class ClusterReader:
    """Reads with Ray Data; see ``GroupReader``."""

    def read(self, groups: Sequence[RowGroup], column: Column, ahead: int) -> Generator[np.ndarray]:
        """See ``GroupReader``."""
        from mixvel_ray.streaming import RayDataReader

        yield from RayDataReader().read(groups, column, ahead)
