"""The reader of streamed data on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from attrs import frozen
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from mixvel_core.data.columns import Column
from mixvel_core.data.row_groups import RowGroup, decoded, read_values
from mixvel_core.errors import DataError, MixvelError


@frozen(kw_only=True)
class ClusterReader:
    """Reads with Ray Data, with at most ``tasks`` tasks at a time for each training worker; see ``GroupReader``.

    The tasks claim no CPU: a training holds all that it asked for, and they would wait for it to end.
    """

    tasks: int = 2

    def read(self, groups: Sequence[RowGroup], column: Column, ahead: int) -> Generator[np.ndarray]:
        """The values of the groups in their order, read ahead on the cluster (see ``GroupReader``)."""
        # It logs the beginning and the end of every epoch.
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        dataset = ray.data.read_datasource(
            _RowGroups(groups, column),
            override_num_blocks=len(groups),
            concurrency=self.tasks,
            num_cpus=0,
        )
        dataset.context.enable_progress_bars = False
        # Whichever task is done first, the groups come in the order of the plan.
        dataset.context.execution_options.preserve_order = True
        try:
            tables = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=max(1, ahead)))
            yield from _in_groups(tables, groups, column)
        except Exception as error:
            raise _error_of(error) from None


class _RowGroups(Datasource):  # type: ignore[misc]  # Ray's classes are Any here, as pyproject.toml says
    """A list of row groups as a source of Ray Data: a task for each."""

    def __init__(self, groups: Sequence[RowGroup], column: Column) -> None:
        super().__init__()
        self._groups = groups
        self._column = column

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of all items."""
        return sum(self._bytes(group) for group in self._groups)

    # Named and called by Ray, which may pass more arguments in later versions.
    def get_read_tasks(self, parallelism: int, *more: Any, **named: Any) -> list[ReadTask]:
        """A task for each group, in the order of the plan, however many are to run at once."""
        return [
            ReadTask(
                partial(_read, group, self._column.name),
                BlockMetadata(
                    num_rows=group.rows, size_bytes=self._bytes(group), exec_stats=None, input_files=(group.uri,)
                ),
            )
            for group in self._groups
        ]

    def _bytes(self, group: RowGroup) -> int:
        return group.rows * int(np.prod(self._column.shape)) * self._column.dtype.itemsize


def _read(group: RowGroup, name: str) -> list[pa.Table]:
    return [pa.table({name: read_values(group, name)})]


def _in_groups(tables: Iterator[pa.Table], groups: Sequence[RowGroup], column: Column) -> Iterator[np.ndarray]:
    """The items of each group. Ray may cut blocks anew, but it keeps their rows in order."""
    waiting = pa.table({})
    for group in groups:
        while waiting.num_rows < group.rows:
            table = next(tables)
            waiting = pa.concat_tables([waiting, table]) if waiting.num_rows else table
        values = waiting.slice(0, group.rows).column(column.name).combine_chunks()
        waiting = waiting.slice(group.rows)
        yield decoded(values, column, group.uri)


def _error_of(error: BaseException) -> DataError:
    """The error of a task, out of the wrappings that Ray puts around it and without the advice that Ray adds."""
    found = None
    inner: BaseException | None = error
    while inner is not None:
        # Ray's wrapping is of our class too: the innermost is the one that was raised.
        found = inner if isinstance(inner, MixvelError) else found
        inner = getattr(inner, "cause", None) or inner.__cause__
    if found is None:
        return DataError(f"reading by Ray Data failed ({' '.join(str(error).split())[:300]}); run the recipe again")
    return DataError(str(found).splitlines()[0])
