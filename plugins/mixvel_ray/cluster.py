"""The cluster: one that is running, or a quiet one on this machine for as long as it is needed."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mixvel_ray.probe import check_answers, no_cluster
from mixvel_ray.progress import Mailbox
from mixvel_ray.work import Node

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    # How soon a worker that died or is done is noticed.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Each would be a process or a thread more for every job.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # Workers go to the driver's folder themselves.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
"""Of Ray, unless the user has set them otherwise. They are read when a run begins."""
_DEEPEST = 36
"""Bytes of a folder in which the path of Ray's `ray/session_DATE_TIME_PID/sockets/plasma_store` is short enough."""


def nodes() -> tuple[Node, ...]:
    """The machines of the cluster that this process is connected to."""
    return tuple(Node(resources=node["Resources"]) for node in ray.nodes() if node["Alive"])


def new_mailbox() -> Any:
    """A mailbox that lives as long as the driver's node: its handle."""
    here = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=here).remote()


def call(method: Any) -> Any:
    """Calls a method of an actor, without arguments, and waits for its answer."""
    return ray.get(method.remote())


@contextmanager
def cluster(address: str | None, local_cpus: int | None, verbose: bool) -> Iterator[None]:
    """The cluster at ``address``, at RAY_ADDRESS, or on this machine; left, or shut down, at the end of the block.

    A process that is connected already stays so: then ``address`` and ``local_cpus`` say nothing.
    Raises RecipeError where no cluster answers.
    """
    wanted = address or os.environ.get("RAY_ADDRESS")
    own = wanted is None or wanted == "local"
    of_own = {**_password(), **_short_place()} if own and not ray.is_initialized() else {}
    with _settings(_SETTINGS | of_own):
        if ray.is_initialized():
            yield
            return
        try:
            with _handlers_kept():
                _connect(None if own else wanted, local_cpus, verbose)
            yield
        finally:
            ray.shutdown()


def _connect(address: str | None, local_cpus: int | None, verbose: bool) -> None:
    if address is not None:
        check_answers(address)
    level = logging.INFO if verbose else logging.ERROR
    ours = {"num_cpus": local_cpus, "include_dashboard": False} if address is None else {}
    try:
        # Named: without an address Ray would join whatever cluster it finds on this machine.
        ray.init(address=address or "local", logging_level=level, log_to_driver=verbose, **ours)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise no_cluster(address, first) from None
    except SystemExit:
        # Ray's answer to SIGTERM while it starts.
        raise KeyboardInterrupt from None


def _short_place() -> dict[str, str]:
    """Where Ray's sockets go, if the folder for temporary files is too deep: their paths have at most 107 bytes."""
    deep = len(os.fsencode(tempfile.gettempdir())) > _DEEPEST
    return {"RAY_TMPDIR": "/tmp"} if deep and os.access("/tmp", os.W_OK) else {}


@cache
def _password() -> dict[str, str]:
    """Keeps others on this machine out of its cluster, without the file in the home folder that Ray would make for
    that. One for the process: Ray reads it once and keeps it."""
    return {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def _settings(wanted: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the block, where they are not set."""
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Puts back the signal handlers that stood before the block, in which Ray sets its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
