"""Imports all that a run needs, then forks a child for each command line it is told: a run without its start-up time.

Reads lines of JSON: {"run": arguments of `mixvel`, "err": where standard error goes} answers with the pid of the child,
which leads its own process group; {"poll": pid} with its exit code, negative for a signal, or 1000 while it runs.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

HEAVY = (
    "torch",
    "mixvel_core.pipeline.run",
    "mixvel_core.report.page",
    "mixvel_unet.family",
    "mixvel_networks.unet",
    "mixvel_routers.a_network",
    "mixvel_local.launcher",
    "mixvel_metrics.random_conv",
    "mixvel_metrics.wasserstein",
    "mixvel_data.numpy_source",
    "sklearn.datasets",
    "matplotlib.backends.backend_svg",
    "tensorboard.summary.writer.record_writer",
)


def _child(arguments: list[str], err: str) -> None:
    os.setsid()
    into = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(into, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(1, 0)
    sys.argv = ["mixvel", *arguments]
    from mixvel_core.cli.main import main

    main()


def main() -> None:
    """Until there are no more lines."""
    import torch

    for name in HEAVY:
        import_module(name)
    torch.set_num_threads(1)
    for line in sys.stdin:
        told = json.loads(line)
        if "poll" in told:
            pid, status = os.waitpid(told["poll"], os.WNOHANG)
            print(os.waitstatus_to_exitcode(status) if pid else 1000, flush=True)
            continue
        pid = os.fork()
        if not pid:
            _child(told["run"], told["err"])
        print(pid, flush=True)


if __name__ == "__main__":
    main()
