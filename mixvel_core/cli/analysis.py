"""mixvel study and mixvel theory: error against steps and cost; bounds beside what is measured."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixvel_core.cli.run import Overrides, load
from mixvel_core.cli.table import print_table

if TYPE_CHECKING:
    from mixvel_core.analysis.records import StudyResult, TheoryReport


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
        from mixvel_core.analysis.commands import study_run

        with shown_progress() as progress:
            made = study_run(source, overrides or [], out=out, progress=progress)
        folder = out or source
    else:
        recipe, folder = load(source, overrides, out)
        from mixvel_core.analysis.commands import study_recipe

        with shown_progress() as progress:
            made = study_recipe(recipe, folder, progress=progress)
    _print_study(made)
    typer.echo(f"written to {folder / 'study.json'}")


def _print_study(study: StudyResult) -> None:
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


LINES = 10
"""Of each budget; theory.json has every step."""
PLAIN = 5
"""Numbers with larger exponents are written as powers of ten."""
NOISES = ("rms, same noise", "W_2, same noise", "95% interval", "W_2, other noise")
PARTS = ("drift", "truncation", "selection", "network")


def theory(
    source: Annotated[
        Path, typer.Argument(metavar="RECIPE|RUN", help="A recipe, whose models are made first, or a run folder.")
    ],
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Of a recipe: the run folder. Of a run: where theory.json goes.",
            show_default="runs/NAME, or RUN",
        ),
    ] = None,
) -> None:
    """Put the error's bounds beside what is measured, and say which part of the error dominates when."""
    from mixvel_core.cli.progress import shown_progress

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if source.is_dir():
        from mixvel_core.analysis.commands import theory_of_run

        with shown_progress() as progress:
            made = theory_of_run(source, overrides or [], out=out, progress=progress)
        folder = out or source
    else:
        recipe, folder = load(source, overrides, out)
        from mixvel_core.analysis.commands import theory_of_recipe

        with shown_progress() as progress:
            made = theory_of_recipe(recipe, folder, progress=progress)
    for line in made.warnings:
        typer.echo(f"warning: {line}", err=True)
    _print_theory(made)
    typer.echo(f"written to {folder / 'theory.json'}")


def _print_theory(made: TheoryReport) -> None:
    about = made.conditions
    typer.echo(f"\nmeasured against {about['against']}")
    typer.echo(
        f"R = {about['R']:.4g} ({about['R is']}), D = {about['D']}, K = {about['K']}, delta = {about['delta']:g}\n"
    )
    constants = ("", "paper", "sharp", "measured", "what", "where")
    print_table(constants, [_constant(row) for row in made.constants])
    typer.echo("\nTheorem 8: W_2 between exact and sampled points at delta")
    distances = ("selector", "integrator", "steps", "paper", "sharp", *NOISES)
    print_table(distances, [_distance(row) for row in made.distances])
    typer.echo(
        f"two exact sets of {made.floor['n'][0]} points are {made.floor['value']:.3g} apart; bounds above the data's "
        f"diameter {made.diameter:.3g} are vacuous"
    )
    typer.echo("\nError budget: parts of the mean square increment at the largest step count")
    budget = ("selector", "integrator", "t", *PARTS, "mean square error", "dominant")
    print_table(budget, [_part(row) for row in _thinned(made.budget)])
    typer.echo("\nWhere the networks take over")
    print_table(("selector", "integrator", ""), [(r["selector"], r["integrator"], r["says"]) for r in made.takeover])
    typer.echo("\nEpsilon: the paper assumes sup, training gives RMS (of the experts weighed by the posterior)")
    print_table(("t", "er sup", "er rms", "ec sup", "ec rms"), [_epsilon(row) for row in made.epsilon])


def bound_rows(log10: float | None) -> str:
    """A number known by its logarithm: plain where that can be read."""
    if log10 is None:
        return "–"
    if abs(log10) < PLAIN:
        return f"{10**log10:.4g}"
    return f"10^{log10:.1f}" if abs(log10) < 10**PLAIN else f"10^{log10:.2g}"


def _bound(row: dict[str, Any], tier: str) -> str:
    value = bound_rows(row[f"{tier}_log10"])
    return f"{value} vacuous" if row[f"{tier}_vacuous"] else value


def _constant(row: dict[str, Any]) -> tuple[str, ...]:
    measured = bound_rows(row["measured_log10"])
    return row["name"], _bound(row, "paper"), _bound(row, "sharp"), measured, row["title"], row["where"]


def _distance(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["selector"],
        row["integrator"],
        str(row["steps"]),
        _bound(row, "paper"),
        _bound(row, "sharp"),
        f"{row['rms']:.3g}",
        f"{row['w2']:.3g}",
        f"{row['w2_low']:.3g} to {row['w2_high']:.3g}",
        f"{row['independent']:.3g}",
    )


def _thinned(rows: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Some times of each selector and integrator, the first and the last among them."""
    kept = []
    for pair in dict.fromkeys((row["selector"], row["integrator"]) for row in rows):
        mine = [row for row in rows if (row["selector"], row["integrator"]) == pair]
        last = len(mine) - 1
        kept += [mine[i] for i in sorted({round(last * n / (LINES - 1)) for n in range(LINES)})]
    return kept


def _part(row: dict[str, Any]) -> tuple[str, ...]:
    total = sum(row[name] for name in PARTS)
    shares = (f"{row[name] / total:.1%}" if total > 0 else "–" for name in PARTS)
    return row["selector"], row["integrator"], f"{row['t']:.3f}", *shares, f"{row['error']:.3g}", row["dominant"]


def _epsilon(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (row[name] for name in ("er_sup", "er_rms", "ec_sup", "ec_rms"))
    bound_rows = ("–" if value is None else f"{value:.3g}" for value in numbers)
    return f"{row['low']:.2f} to {row['high']:.2f}", *bound_rows
