"""Definition of the local launcher; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import PluginDef, Workers, hookimpl
from mixvel_core.plugin.options import at_least, option
from mixvel_core.protocols import Launcher


@frozen(kw_only=True)
class LocalOptions:
    """Options of the launcher ``local``."""

    device: Literal["auto", "cpu", "cuda"] = option(
        default="auto", doc="where networks are trained; auto takes a GPU where there is one"
    )
    threads: int | None = option(
        default=None, check=at_least(1), doc="threads of torch for each job; absent: torch's own number, shared out"
    )
    parallel: int = option(
        default=1, check=at_least(1), doc="jobs trained side by side; 2 is faster for small networks on 2 cores"
    )


@hookimpl
def mixvel_launchers() -> Sequence[PluginDef[Any, Launcher]]:
    """The launchers of this package."""
    return (
        PluginDef(
            kind="launcher",
            name="local",
            options=LocalOptions,
            target="mixvel_local.launcher:LocalLauncher",
            example_options=LocalOptions(device="cpu", threads=1),
            workers=lambda options: Workers(
                parallel=options.parallel, here=True, device=options.device, threads=options.threads
            ),
            summary="trains in this process, one job after another or side by side",
        ),
    )
