"""The public names: each is there, says what it is, stands in the docs, and costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command import imported

import mixvel_core as mx
from reference_pages.public_names import public_names

EXACT = Path(__file__).parents[2] / "recipes" / "mixture.yaml"


@pytest.mark.parametrize("name", [name for name in mx.__all__ if name != "__version__"])
def test_every_name_is_there_documented_and_the_one_of_its_module(name: str) -> None:
    made = getattr(mx, name)
    assert made is getattr(sys.modules[mx._HOMES[name]], name)
    # attrs and Protocol give what has no docstring one of their own.
    assert len((made.__doc__ or "").split()) > 3
    assert f"| `{name}` |" in public_names()


def test_the_version_is_the_distributions_and_other_names_are_refused() -> None:
    from importlib.metadata import version

    assert mx.__version__ == version("mixvel")
    with pytest.raises(AttributeError, match="Sampels"):
        mx.Sampels  # noqa: B018  # the access is what is tested


def test_importing_it_imports_nothing_else() -> None:
    assert imported(("attrs", "numpy", "torch", "yaml", "pluggy"), "import mixvel_core") == []


def test_a_recipe_runs_in_one_call_and_is_opened_again(tmp_path: Path) -> None:
    few = ("sample.count=16", "sample.steps=[2]", "report.images=4", "evaluate.metrics=[sliced-w2]")
    made = mx.run(str(EXACT), *few, out=tmp_path / "run", smoke=True)
    assert made.recipe.name == "mixture-smoke"
    assert (tmp_path / "run" / "report" / "index.html").exists()
    again = mx.run(mx.load_recipe(EXACT, few, smoke=True), out=str(tmp_path / "run"))
    assert again.recipe == made.recipe
    with pytest.raises(mx.UsageError, match="load_recipe"):
        mx.run(made.recipe, "seed=1")


def test_the_command_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mixvel_core", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"mixvel {mx.__version__}\n"
