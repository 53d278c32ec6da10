"""mixvel study: error against steps and against expert evaluations."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixvel_core.cli.arguments import Overrides, load
from mixvel_core.cli.table import print_table

if TYPE_CHECKING:
    from mixvel_core.stages.studied import Study


def study(
    source: Annotated[
        Path, typer.Argument(metavar="RECIPE|RUN", help="A recipe, whose models are made first, or a run folder.")
    ],
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Of a recipe: the run folder. Of a run: where study.json goes.",
            show_default="runs/NAME, or RUN",
        ),
    ] = None,
) -> None:
    """Measure error against steps and expert evaluations, for every selector, integrator and time grid asked for."""
    from mixvel_core.cli.progress import shown_progress

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if source.is_dir():
        from mixvel_core.study.command import study_run

        with shown_progress() as progress:
            made = study_run(source, overrides or [], out=out, progress=progress)
        folder = out or source
    else:
        recipe, folder = load(source, overrides, out)
        from mixvel_core.study.command import study_recipe

        with shown_progress() as progress:
            made = study_recipe(recipe, folder, progress=progress)
    _print(made)
    typer.echo(f"written to {folder / 'study.json'}")


def _print(study: Study) -> None:
    header = ("selector", "integrator", "grid", "steps", "evaluations", "median", "rms", "mean square", "p90")
    print_table(header, [_row(row) for row in study.rows])
    typer.echo("")
    header = ("selector", "integrator", "grid", "quantity", "slope", "95% interval", "R2", "steps", "")
    print_table(header, [_slope(slope) for slope in study.slopes])
    floor = study.floor
    typer.echo(
        f"\nerror of the reference ({study.reference['kind']}) itself, estimated: "
        f"median {floor['median']:.2g}, rms {floor['rms']:.2g}"
    )


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (f"{row[name]:.4g}" for name in ("median", "rms", "mean_square", "p90"))
    return row["selector"], row["integrator"], row["grid"], str(row["steps"]), f"{row['evaluations']:g}", *numbers


def _slope(slope: dict[str, Any]) -> tuple[str, ...]:
    flags = ["flattens"] if slope["flattens"] else []
    if slope["at_floor"]:
        flags.append(f"near the reference's own error at {', '.join(map(str, slope['at_floor']))}")
    return (
        slope["selector"],
        slope["integrator"],
        slope["grid"],
        slope["quantity"].replace("_", " "),
        f"{slope['slope']:.2f}",
        f"{slope['low']:.2f} to {slope['high']:.2f}",
        "" if slope["r2"] is None else f"{slope['r2']:.3f}",
        f"{slope['range'][0]} to {slope['range'][1]}",
        "; ".join(flags),
    )
