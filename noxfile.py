"""Sessions: tests, drills, typecheck, lint, reference, docs, external, bench, gpu, soak. Get nox: ``pip install nox``.

All sessions but ``external`` share one environment, .nox/shared: they need the same two gigabytes. It is made anew when
the project's metadata or pins change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests", "typecheck", "lint"]
nox.options.default_venv_backend = "none"

# Problems here are small: threads that wait for each other cost more than they bring.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
ROOT = Path(__file__).parent
SHARED = ROOT / ".nox" / "shared"

NEW_PROJECTS = """
import sys
from pathlib import Path
from mixvel_core.plugin.kinds import KINDS
from mixvel_core.scaffold.project import new_project
for kind in KINDS:
    new_project(kind, f"new-{kind.name}", Path(sys.argv[1])).write()
"""


def shared(session: nox.Session) -> Path:
    """The folder of commands of the shared environment, with mixvel in it at the versions known to work together."""
    wanted = hashlib.blake2b(
        b"".join((ROOT / f).read_bytes() for f in ("pyproject.toml", "constraints.txt"))
    ).hexdigest()
    stamp = SHARED / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        session.run(sys.executable, "-m", "venv", "--clear", str(SHARED), external=True)
        install = ("-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[dev,docs]")
        session.run(str(SHARED / "bin" / "python"), *install, external=True)
        stamp.write_text(wanted)
    return SHARED / "bin"


@nox.session
def tests(session: nox.Session) -> None:
    """The tests but the drills, two at a time; arguments after ``--`` go to pytest."""
    pytest(session, "not slow")


@nox.session
def drills(session: nox.Session) -> None:
    """The tests with real clusters and with processes that are killed; arguments after ``--`` go to pytest."""
    pytest(session, "slow")


def pytest(session: nox.Session, marked: str) -> None:
    """The tests that are ``marked``, two at a time, by file: what its tests share, such as a run, is made once."""
    options = ("-m", marked, "-n", "2", "--dist", "loadfile", *session.posargs)
    session.run(str(shared(session) / "pytest"), *options, env=ONE_THREAD, external=True)


@nox.session
def typecheck(session: nox.Session) -> None:
    """mypy, strict, over the core, the plugins and the tests, and over a new project of every kind."""
    tools, place = shared(session), Path(session.create_tmp()).absolute() / "projects"
    session.run(str(tools / "mypy"), external=True)
    shutil.rmtree(place, ignore_errors=True)
    session.run(str(tools / "python"), "-c", NEW_PROJECTS, str(place), external=True)
    sources = [str(path) for path in sorted(place.glob("*/src"))]
    path = os.pathsep.join([*sources, str(ROOT), str(ROOT / "plugins")])
    session.run(str(tools / "mypy"), *sources, env={"MYPYPATH": path}, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: lint and format."""
    ruff = str(shared(session) / "ruff")
    session.run(ruff, "check", ".", external=True)
    session.run(ruff, "format", "--check", ".", external=True)


@nox.session
def reference(session: nox.Session) -> None:
    """Tables of keys, plugins, commands and protocols, written into the pages of docs/ from the code."""
    session.run(str(shared(session) / "python"), "docs/reference_pages", external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The pages of docs/ as a site, site/index.html; a link that leads nowhere, or a page nobody lists, is an error."""
    build = ("-W", "--keep-going", "--fresh-env", "-d", str(ROOT / ".nox" / "doctrees"), "docs", "site")
    session.run(str(shared(session) / "sphinx-build"), *build, *session.posargs, external=True)


@nox.session
def external(session: nox.Session) -> None:
    """A third party's plugin in a fresh environment: wheels are built, installed, checked, used and removed again; then
    adapters are trained there with PEFT, which the other sessions do without: it makes diffusers slower to import."""
    place = Path(session.create_tmp()).absolute()
    wheels, fresh = place / "wheels", place / "environment"
    shutil.rmtree(wheels, ignore_errors=True)
    for project in (".", "tests/external_plugin"):
        build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), project)
        session.run(sys.executable, *build, external=True)
    [mixvel], [plugin] = wheels.glob("mixvel-*.whl"), wheels.glob("mixvel_external-*.whl")
    session.run(sys.executable, "-m", "venv", "--clear", str(fresh), external=True)
    python = str(fresh / "bin" / "python")
    install = ("-m", "pip", "install", "--quiet", "-c", "constraints.txt", str(mixvel), "pytest")
    session.run(python, *install, external=True)
    session.run(python, "tests/external_plugin/lifecycle.py", str(plugin), env=ONE_THREAD, external=True)
    install = ("-m", "pip", "install", "--quiet", "-c", "constraints.txt", f"{mixvel}[lora]", "pytest-timeout")
    session.run(python, *install, external=True)
    session.run(str(fresh / "bin" / "pytest"), "tests/plugins/mixvel_lora", env=ONE_THREAD, external=True)
    shutil.rmtree(fresh)


@nox.session
def bench(session: nox.Session) -> None:
    """Ratios measured on this machine, into bench.json and docs/benchmarks.md; arguments name groups."""
    session.run(str(shared(session) / "python"), "tests/bench/run.py", *session.posargs, external=True)


@nox.session
def gpu(session: nox.Session) -> None:
    """Equality with the CPU, ratios and Fashion-MNIST on a GPU, into runs/gpu-out; ``-- --cpu`` at toy size without."""
    session.run(str(shared(session) / "python"), "tests/gpu/gpu.py", *session.posargs, external=True)


@nox.session
def soak(session: nox.Session) -> None:
    """Kills, damaged files, bad recipes, counted: the table of docs/reliability.md; arguments: NAME or NAME=COUNT."""
    session.run(str(shared(session) / "python"), "tests/soak/run.py", *session.posargs, env=ONE_THREAD, external=True)
