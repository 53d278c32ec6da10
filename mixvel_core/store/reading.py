"""Reading ahead: row groups in a given order, in threads of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from attrs import frozen

from mixvel_core.store.columns import Column
from mixvel_core.store.row_groups import RowGroup, read_items


class GroupReader(Protocol):
    """Reads row groups ahead of whoever takes them. What comes out depends on the groups alone, never on the reader."""

    def read(self, groups: Sequence[RowGroup], column: Column, ahead: int) -> Generator[np.ndarray]:
        """The items of each group, (rows, *data), in the order given; closing it ends the reading.

        ``ahead``: groups that may be in memory before they are asked for. Raises DataError, naming the file.
        """
        ...


@frozen(kw_only=True)
class ThreadReader:
    """Reads with pyarrow in ``threads`` threads, which wait for each other's storage but not for Python."""

    threads: int = 2

    def read(self, groups: Sequence[RowGroup], column: Column, ahead: int) -> Generator[np.ndarray]:
        """See ``GroupReader``."""
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="reading")
        coming: deque[Future[np.ndarray]] = deque()
        try:
            for group in groups:
                coming.append(pool.submit(read_items, group, column))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
