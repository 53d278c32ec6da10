"""mixvel run, check and sample: a recipe from data to report, all that can be known of it before, and samples after."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand

from mixvel_core.errors import UsageError

if TYPE_CHECKING:
    from mixvel_core.recipe.model import Recipe

RecipePath: TypeAlias = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY.PATH=VALUE", help="Options to set instead of the recipe's."),
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The run folder.", show_default="runs/NAME")
]

Classes: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="C,...",
        help="Classes of the samples in turn, by number or name.",
        show_default="the recipe's conditions",
    ),
]

GuidanceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--guidance",
        metavar="W|NAME",
        help="The scale of classifier-free guidance, or a guidance by name.",
        show_default="the recipe's",
    ),
]

Smoke: TypeAlias = Annotated[
    bool, typer.Option("--smoke", help="The whole recipe at toy size; proves that all of it works.")
]

Size: TypeAlias = Annotated[
    str | None, typer.Option("--size", metavar="NAME", help="The recipe as its section `sizes` sets it for NAME.")
]


def load(
    path: Path, overrides: list[str] | None, out: Path | None, *, smoke: bool = False, size: str | None = None
) -> tuple[Recipe, Path]:
    """The checked recipe, at ``size`` and at toy size if ``smoke``, and its run folder; both are printed."""
    from mixvel_core.plugin.discovery import load_registry
    from mixvel_core.recipe.resolve import load_recipe

    recipe = load_recipe(path, overrides or [], load_registry(), smoke=smoke, size=size)
    folder = out or own_folder(path) or Path("runs") / recipe.name
    typer.echo(f"recipe      {path}\nrun folder  {folder}")
    if recipe.smoke:
        typer.echo("smoke       toy size: it shows that all works, and nothing of quality")
    return recipe, folder


def listed_classes(classes: str) -> list[int | str]:
    """Classes that are written with commas between them, numbers as numbers."""
    words = [word.strip() for word in classes.split(",")]
    return [int(word) if word.isdecimal() else word for word in words]


def condition_options(classes: str | None, guidance: str | None) -> dict[str, str]:
    """What ``--class`` and ``--guidance`` set of a recipe's section `sample`, as overrides write it."""
    found: dict[str, str] = {}
    if classes is not None:
        found["condition"] = json.dumps(listed_classes(classes))
    if guidance is not None:
        try:
            # YAML has a dot before numbers that are not finite; without it they would be texts.
            w = repr(float(guidance)).replace("nan", ".nan").replace("inf", ".inf")
            found["guidance"] = f"{{use: cfg, scale: {w}}}"
        except ValueError:
            found["guidance"] = guidance
    return found


def own_folder(path: Path) -> Path | None:
    """The run folder that a recipe was written into, whose own it is; None for any other recipe."""
    from mixvel_core.pipeline.run_folder import is_run_recipe

    return path.parent if is_run_recipe(path) else None


ALL = "all"

Fresh: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--fresh",
        metavar="[experts|monolith|routers|routers.NAME|all,...]",
        help="Throw away all results first, and the trained networks that are named. Without a name: a terminal is "
        "asked about these, and elsewhere they stay.",
    ),
]

Verify: TypeAlias = Annotated[
    bool,
    typer.Option("--verify", help="Read all bytes of what is there, not only of files whose size or time changed."),
]


def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    out: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")] = False,
    smoke: Smoke = False,
    size: Size = None,
    fresh: Fresh = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --fresh: discard trained networks unasked.")] = False,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Run this stage and what it needs, no more.")
    ] = None,
    expert: Annotated[int | None, typer.Option("--expert", metavar="K", help="Train expert K alone.", min=0)] = None,
    verify: Verify = False,
) -> None:
    """Run a recipe. The same line again goes on where it stopped; another recipe of the same models adds to the run."""
    checked, folder = load(recipe, overrides, out, smoke=smoke, size=size)
    discarded = None if fresh is None else [name for word in fresh for name in word.split(",") if name]
    if dry_run:
        from mixvel_core.pipeline.plan import plan

        typer.echo(str(plan(checked, folder, [ALL] if yes and discarded == [] else discarded)))
        return
    if discarded == [] and _discards_trained(folder, yes):
        discarded = [ALL]
    from mixvel_core.cli.output import shown_progress
    from mixvel_core.pipeline import run as pipeline

    # A machine that is taken away sends SIGTERM first; that is as good a reason to save as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with shown_progress() as progress:
        made = pipeline.run(
            checked, folder, progress=progress, fresh=discarded, stage=stage, expert=expert, verify=verify
        )
    if not made:
        report = folder / "report" / "index.html"
        typer.echo(f"nothing to do: all is there{f'; the report is {report}' if report.exists() else ''}")
    if stage in (None, "evaluate", "report") and expert is None:
        from mixvel_core.cli.scores import print_scores

        print_scores(folder, list(checked.sample.methods), checked.sample.steps)


class RunCommand(TyperCommand):
    """`mixvel run`, whose option --fresh may stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Joins --fresh with the word behind it, unless that is something else: an option, an override or a recipe."""
        joined: list[str] = []
        words = iter(args)
        for word in words:
            if word != "--fresh":
                joined.append(word)
                continue
            value = next(words, "")
            is_other = (
                value.startswith("-") or "=" in value or value.endswith((".yaml", ".yml")) or Path(value).is_file()
            )
            joined += ["--fresh=", value] if is_other else [f"--fresh={value}"]
        return super().parse_args(ctx, joined)


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _discards_trained(folder: Path, yes: bool) -> bool:
    """Whether --fresh without names is to discard what was trained too: as `--yes` says, or who sits there."""
    from mixvel_core.pipeline.trained import in_words, trained_models, training_time

    trained = trained_models(folder)
    if not trained or yes:
        return yes
    if not is_terminal():
        return False
    return typer.confirm(f"{folder} has {in_words(trained)}: {training_time(trained)}. Discard them too?")


def check(
    recipe: RecipePath,
    overrides: Overrides = None,
    out: Out = None,
    smoke: Smoke = False,
    size: Size = None,
    verify: Verify = False,
) -> None:
    """Show every problem of a recipe, or else its plan."""
    checked, folder = load(recipe, overrides, out, smoke=smoke, size=size)
    from mixvel_core.pipeline.plan import plan

    if verify:
        from mixvel_core.artifacts.artifact import check_bytes

        check_bytes(folder)
    typer.echo(str(plan(checked, folder, is_run=False, measure=True)))


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
            "--grid",
            metavar="NAME",
            help="The time grid by name, uniform or chebyshev, for example.",
            show_default="the recipe's",
        ),
    ] = None,
    router: Annotated[
        str | None, typer.Option("--router", metavar="NAME", help="A router of the run.", show_default="the first")
    ] = None,
    monolith: Annotated[bool, typer.Option("--monolith", help="Sample from the monolith.")] = False,
    classes: Classes = None,
    condition: Annotated[
        Path | None,
        typer.Option(
            "--condition",
            metavar="FILE.npz",
            help="Arrays by the names of conditions, a row for each sample or one for all.",
        ),
    ] = None,
    guidance: GuidanceOption = None,
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
    from mixvel_core.pipeline.more_samples import sample_run

    if classes is not None and condition is not None:
        raise UsageError("--class and --condition both say what samples are asked to be; give one of them")
    chosen = {"selector": selector, "integrator": integrator, "grid": grid}
    chosen |= {"count": str(count), "steps": f"[{steps}]", "seeds": f"[{seed}]"}
    chosen |= condition_options(classes, guidance)
    options = [*(f"sample.{key}={value}" for key, value in chosen.items() if value is not None), *(overrides or [])]
    with shown_progress() as progress:
        more = out or run / "more"
        files = sample_run(
            run,
            options,
            router=router,
            monolith=monolith,
            out=more,
            progress=progress,
            verify=verify,
            condition=condition,
        )
    for path in files:
        typer.echo(str(path))
