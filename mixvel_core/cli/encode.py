"""mixvel encode: images to the noise that the sampling ODE takes to them, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixvel_core.cli.federated import is_override
from mixvel_core.cli.run import condition_options, listed_classes


def encode(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGES... [KEY.PATH=VALUE...]",
            help="Image files, .npy or .npz files, or folders of them; absent: items of the run's own data. And "
            "options to set instead of the recipe's.",
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="How many of the run's own items.", min=1)] = 64,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Integrator steps, each way.", min=1, show_default="50")
    ] = None,
    selector: Annotated[
        str | None,
        typer.Option("--selector", metavar="NAME", help="A selector without a state.", show_default="mixture"),
    ] = None,
    integrator: Annotated[
        str | None,
        typer.Option("--integrator", metavar="NAME", help="A deterministic integrator.", show_default="pc"),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option("--grid", metavar="NAME", help="The time grid by name.", show_default="chebyshev"),
    ] = None,
    router: Annotated[
        str | None, typer.Option("--router", metavar="NAME", help="A router of the run.", show_default="the first")
    ] = None,
    monolith: Annotated[bool, typer.Option("--monolith", help="Encode by the monolith.")] = False,
    classes: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="C,...",
            help="Classes of the items in turn, by number or name.",
            show_default="the run's own items' conditions; of images none",
        ),
    ] = None,
    guidance: Annotated[
        str | None,
        typer.Option(
            "--guidance",
            metavar="W|NAME",
            help="The scale of classifier-free guidance, or a guidance by name.",
            show_default="none, whatever the recipe's",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the files go.", show_default="RUN/encoded"),
    ] = None,
) -> None:
    """Encode images to noise and decode them again: an NPZ file, for images a PNG, and the round-trip error."""
    from mixvel_core.cli.output import shown_progress
    from mixvel_core.pipeline.encode import PATH, encode_run

    words = images or []
    paths = [Path(word) for word in words if not is_override(word)]
    chosen = {
        "selector": selector or PATH.selector,
        "integrator": integrator or PATH.integrator,
        "grid": grid or PATH.grid,
        "steps": f"[{steps or PATH.steps}]",
        "seeds": "[0]",
        "guidance": "null",
    } | condition_options(None, guidance)
    options = [f"sample.{key}={value}" for key, value in chosen.items()]
    with shown_progress() as progress:
        done = encode_run(
            run,
            paths,
            [*options, *(word for word in words if is_override(word))],
            count=count,
            router=router,
            monolith=monolith,
            out=out or run / "encoded",
            progress=progress,
            classes=listed_classes(classes) if classes is not None else (),
        )
    error = done.error
    typer.echo(
        f"round trip of {len(error)} items, |decoded - x| / |x|: median {error[len(error) // 2]:.2g}, "
        f"mean {sum(error) / len(error):.2g}, largest {error[-1]:.2g}; {done.evaluations:g} expert evaluations an item"
    )
    for path in done.files:
        typer.echo(str(path))
