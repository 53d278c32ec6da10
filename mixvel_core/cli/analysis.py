"""mixvel study and mixvel theory: error against steps and cost; bounds beside what is measured."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mixvel_core.cli.run import Overrides, load
from mixvel_core.cli.table import print_table

if TYPE_CHECKING:
    from mixvel_core.analysis.commands import Measure
    from mixvel_core.analysis.records import BudgetRow, DistanceRow, SlopeRow, StudyResult, StudyRow, TheoryReport

Found = TypeVar("Found")

Source = Annotated[
    Path, typer.Argument(metavar="RECIPE|RUN", help="A recipe, whose models are made first, or a run folder.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Of a recipe: the run folder. Of a run: where the JSON file goes.",
        show_default="runs/NAME, or RUN",
    ),
]


def study(source: Source, overrides: Overrides = None, out: Out = None) -> None:
    """Measure error against steps and expert evaluations, for every selector, integrator and time grid."""
    from mixvel_core.analysis.study import study as measure

    found, folder = _measured(measure, source, overrides, out)
    _print_study(found)
    typer.echo(f"written to {folder / 'study.json'}")


def theory(source: Source, overrides: Overrides = None, out: Out = None) -> None:
    """Put the error's bounds beside what is measured, and show which part of the error dominates when."""
    from mixvel_core.analysis.theory_report import theory_report as measure

    found, folder = _measured(measure, source, overrides, out)
    for line in found.warnings:
        typer.echo(f"warning: {line}", err=True)
    _print_theory(found)
    typer.echo(f"written to {folder / 'theory.json'}")


def _measured(
    measure: Measure[Found], source: Path, overrides: list[str] | None, out: Path | None
) -> tuple[Found, Path]:
    """What ``measure`` finds in a run, or in a recipe that is run first, and the folder its file is in."""
    from mixvel_core.analysis.commands import measure_recipe, measure_run
    from mixvel_core.cli.output import shown_progress

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if source.is_dir():
        with shown_progress() as progress:
            return measure_run(measure, source, overrides or [], out=out, progress=progress), out or source
    recipe, folder = load(source, overrides, out)
    with shown_progress() as progress:
        return measure_recipe(measure, recipe, folder, progress=progress), folder


def _print_study(found: StudyResult) -> None:
    from mixvel_core.cost.quantities import amount, duration

    about = ("selector", "integrator", "grid", "steps", "time", "FLOP", "evaluations")
    shown = ("median", "rms", "mean square", "p90", "round trip")
    errors = [_numbers(".4g", r.median, r.rms, r.mean_square, r.p90, r.round_trip) for r in found.rows]
    said = [
        (*_names(r), r.grid, str(r.steps), duration(seconds), amount(r.flops), f"{r.evaluations:g}")
        for r, seconds in zip(found.rows, found.timings, strict=True)
    ]
    print_table((*about, *shown), [(*row, *error) for row, error in zip(said, errors, strict=True)])
    typer.echo("")
    print_table(
        ("selector", "integrator", "grid", "quantity", "slope", "95% interval", "R2", "steps", ""),
        [_slope(slope) for slope in found.slopes],
    )
    typer.echo(
        f"\nerror of the reference ({found.reference['kind']}) itself, estimated: "
        f"median {found.floor.median:.2g}, rms {found.floor.rms:.2g}"
    )
    if found.likelihood:
        typer.echo(f"\nnll, bits per dimension, of {found.conditions['nll items']} items")
        print_table(
            ("model", "nll", "standard error"), [(r.model, f"{r.nll:.4f}", f"{r.error:.2g}") for r in found.likelihood]
        )


def _slope(slope: SlopeRow) -> tuple[str, ...]:
    flags = ["flattens"] if slope.flattens else []
    if slope.at_floor:
        flags.append(f"near the reference's own error at {', '.join(map(str, slope.at_floor))}")
    return (
        slope.selector,
        slope.integrator,
        slope.grid,
        slope.quantity.replace("_", " "),
        f"{slope.slope:.2f}",
        f"{slope.low:.2f} to {slope.high:.2f}",
        "" if slope.r2 is None else f"{slope.r2:.3f}",
        f"{slope.range[0]} to {slope.range[1]}",
        "; ".join(flags),
    )


LINES = 10
"""Of each budget; theory.json has every step."""


def _print_theory(found: TheoryReport) -> None:
    from mixvel_core.theory.bound import power_of_ten

    about = found.conditions
    typer.echo(f"\nmeasured against {about['against']}")
    typer.echo(
        f"R = {about['R']:.4g} ({about['R is']}), D = {about['D']}, K = {about['K']}, delta = {about['delta']:g}\n"
    )
    print_table(
        ("", "paper", "sharp", "measured", "what", "where"),
        [(row.name, *row.texts, power_of_ten(row.measured_log10), row.title, row.where) for row in found.constants],
    )
    typer.echo("\nTheorem 8: W_2 between exact and sampled points at delta")
    noises = ("rms, same noise", "W_2, same noise", "95% interval", "W_2, other noise")
    print_table(
        ("selector", "integrator", "steps", "paper", "sharp", *noises),
        [
            (
                *_names(row),
                str(row.steps),
                *row.texts,
                *_numbers(".3g", row.rms, row.w2),
                f"{row.w2_low:.3g} to {row.w2_high:.3g}",
                f"{row.independent:.3g}",
            )
            for row in found.distances
        ],
    )
    typer.echo(
        f"two exact sets of {found.floor.n[0]} points are {found.floor.value:.3g} apart; bounds above the data's "
        f"diameter {found.diameter:.3g} are vacuous"
    )
    typer.echo("\nError budget: parts of the mean square increment at the largest step count")
    parts = ("drift", "truncation", "selection", "network")
    print_table(
        ("selector", "integrator", "t", *parts, "mean square error", "dominant"),
        [
            (*_names(row), f"{row.t:.3f}", *_shares(row), f"{row.error:.3g}", row.dominant)
            for row in _thinned(found.budget)
        ],
    )
    typer.echo("\nWhere the networks take over")
    print_table(("selector", "integrator", ""), [(r.selector, r.integrator, r.reading) for r in found.takeover])
    typer.echo("\nEpsilon: the paper assumes sup, training gives RMS (of the experts weighed by the posterior)")
    print_table(
        ("t", "er sup", "er rms", "ec sup", "ec rms"),
        [
            (f"{row.low:.2f} to {row.high:.2f}", *_numbers(".3g", row.er_sup, row.er_rms, row.ec_sup, row.ec_rms))
            for row in found.epsilon
        ],
    )


def _names(row: StudyRow | DistanceRow | BudgetRow) -> tuple[str, str]:
    return row.selector, row.integrator


def _numbers(how: str, *values: float | None) -> tuple[str, ...]:
    return tuple("–" if value is None else format(value, how) for value in values)


def _shares(row: BudgetRow) -> tuple[str, ...]:
    squares = (row.drift, row.truncation, row.selection, row.network)
    total = sum(squares)
    return tuple(f"{square / total:.1%}" if total > 0 else "–" for square in squares)


def _thinned(rows: Sequence[BudgetRow]) -> list[BudgetRow]:
    """Some times of each selector and integrator, the first and the last among them."""
    kept = []
    for pair in dict.fromkeys(map(_names, rows)):
        mine = [row for row in rows if _names(row) == pair]
        kept += [mine[i] for i in sorted({round((len(mine) - 1) * n / (LINES - 1)) for n in range(LINES)})]
    return kept
