"""mixvel sample: more samples from a finished run, with any selector, integrator and number of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixvel_core.cli.run import Overrides


def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    overrides: Overrides = None,
    count: Annotated[int, typer.Option("--count", help="How many samples.", min=1)] = 64,
    steps: Annotated[int, typer.Option("--steps", help="Integrator steps.", min=1)] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Sample i is a function of the seed and i.", min=0)] = 0,
    selector: Annotated[
        str | None, typer.Option("--selector", metavar="NAME", help="A selector.", show_default="the recipe's")
    ] = None,
    integrator: Annotated[
        str | None, typer.Option("--integrator", metavar="NAME", help="An integrator.", show_default="the recipe's")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid", metavar="NAME", help="uniform, quadratic, logsnr or karras.", show_default="the recipe's"
        ),
    ] = None,
    router: Annotated[
        str | None, typer.Option("--router", metavar="NAME", help="A router of the run.", show_default="the first")
    ] = None,
    monolith: Annotated[bool, typer.Option("--monolith", help="Sample from the monolith.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the files go.", show_default="RUN/more"),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all bytes of the run, not only of files whose size or time changed.")
    ] = False,
) -> None:
    """Sample from a run folder: an NPZ file and, for images, a PNG of them. What is there already is not made again."""
    from mixvel_core.cli.output import shown_progress
    from mixvel_core.pipeline.opened import sample_run

    chosen = {"selector": selector, "integrator": integrator, "grid": grid}
    chosen |= {"count": str(count), "steps": f"[{steps}]", "seeds": f"[{seed}]"}
    options = [*(f"sample.{key}={value}" for key, value in chosen.items() if value), *(overrides or [])]
    with shown_progress() as progress:
        more = out or run / "more"
        files = sample_run(run, options, router=router, monolith=monolith, out=more, progress=progress, verify=verify)
    for path in files:
        typer.echo(str(path))
