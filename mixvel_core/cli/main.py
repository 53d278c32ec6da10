"""The command ``mixvel``. Here is what they have in common: errors, interruption, exit codes."""

from __future__ import annotations

import errno
import io
import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mixvel_core.cli.analysis import study, theory
from mixvel_core.cli.encode import encode
from mixvel_core.cli.export import export
from mixvel_core.cli.federated import assemble, train
from mixvel_core.cli.plugins import plugins_app
from mixvel_core.cli.recipes import recipes_app
from mixvel_core.cli.run import RunCommand, check, run, sample
from mixvel_core.errors import MixvelError, RecipeError
from mixvel_core.machine import OPEN_FILES_ADVICE, allow_open_files, check_system, from_home

_STAGE_FAILED = 4
_INTERRUPTED = 130


class _Guarded(TyperGroup):
    """Turns errors into lines and exit codes; with ``--debug`` it shows their traceback too."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _ended(ctx, _INTERRUPTED, "interrupted; run the same line again to go on") from None
        except RecipeError as error:
            raise _ended(ctx, error.exit_code, *error.problems) from None
        except MixvelError as error:
            raise _ended(ctx, error.exit_code, *(f"error: {line}" for line in str(error).splitlines())) from None
        except MemoryError as error:
            advice = "take smaller sizes or batches, and run the same line again"
            raise _ended(ctx, _STAGE_FAILED, f"error: out of memory ({error}); {advice}") from None
        except OSError as error:
            # Nobody reads our output any more (`mixvel plugins | head -1`): typer ends quietly.
            if error.errno == errno.EPIPE:
                raise
            full = error.errno in (errno.EMFILE, errno.ENFILE)
            raise _ended(ctx, _STAGE_FAILED, f"error: {OPEN_FILES_ADVICE if full else error}") from None


def _ended(ctx: Any, code: int, *lines: str) -> typer.Exit:
    if ctx.params.get("debug"):
        import traceback

        traceback.print_exc()
    for line in lines:
        typer.echo(line, err=True)
    return typer.Exit(code)


# Plain help: drawing it with rich doubles the time it takes to appear.
app = typer.Typer(
    cls=_Guarded,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=RunCommand)(run)
for command in (check, sample, encode, study, train, assemble, theory, export):
    app.command()(command)
app.add_typer(plugins_app, name="plugins")
app.add_typer(recipes_app, name="recipes")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mixvel {version('mixvel')}")
        raise typer.Exit


@app.callback()
def _mixvel(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors; may stand anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Train diffusion experts in isolation, route between them, sample at one expert per step."""


def _from_home(argument: str) -> str:
    """``~/x`` and ``--option=~/x`` as paths below the home folder: shells replace not all of them, scripts none."""
    found = re.fullmatch(r"(--[a-z-]+=)?(~/.*)", argument, re.DOTALL)
    return argument if found is None else f"{found[1] or ''}{from_home(found[2])}"


def main() -> None:
    """The console script. Exit codes: 0 done, 2 recipe or usage, 3 data or plugin missing, 4 a stage failed, 130."""
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what the terminal, or any text, cannot.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        check_system()
        arguments = [_from_home(argument) for argument in sys.argv[1:]]
    except MixvelError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    allow_open_files()
    rest = [argument for argument in arguments if argument != "--debug"]
    app(args=["--debug", *rest] if len(rest) < len(arguments) else rest, prog_name="mixvel")
