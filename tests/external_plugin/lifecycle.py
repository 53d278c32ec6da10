"""A stranger's plugin from installation to removal, as its users meet it; run by `nox -s external` in its environment.

``python lifecycle.py WHEEL`` installs the plugin's wheel next to mixvel's, which is there already.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from attrs import frozen

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
RECIPE = HERE / "recipe.yaml"

NEWER = """\
from attrs import evolve
from mixvel_core.plugin.definition import hookimpl
from mixvel_external import hooks

@hookimpl
def mixvel_selectors():
    return [evolve(one, name="tomorrow", contract=99) for one in hooks.mixvel_selectors()]
"""
RIVAL = "from mixvel_external.hooks import mixvel_schedules\n"
BROKEN = "raise RuntimeError('no licence server answers')\n"


@frozen(kw_only=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def call(*command: str | Path, code: int = 0) -> Said:
    """Runs a command of the environment, which must end with ``code`` and without a traceback."""
    # Not in the source tree, which `python -m` would put before what is installed.
    done = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True, check=False, cwd=BIN)
    shown = f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    if done.returncode != code or "Traceback" in done.stderr:
        raise SystemExit(f"{shown}\nended with {done.returncode}, expected {code}")
    return Said(code=done.returncode, out=done.stdout, err=done.stderr)


def expect(text: str, said: str) -> None:
    """Stops unless ``text`` was said."""
    if text not in said:
        raise SystemExit(f"expected {text!r} in:\n{said}")


def wheel(folder: Path, name: str, source: str) -> Path:
    """A wheel of one module ``NAME.py`` that offers itself to mixvel."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: lifecycle\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[mixvel]\n{name} = {name}\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def install(path: Path) -> None:
    """Installs a wheel or a project, for real."""
    call("pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", path)


def remove(name: str) -> None:
    """Takes a distribution away."""
    call("pip", "uninstall", "--quiet", "--yes", "--disable-pip-version-check", name)


def listed_checked_and_used(folder: Path) -> None:
    """The plugin is listed, passes its checks, and a recipe runs with it."""
    expect("mixvel-external  0.3.0", call("mixvel", "plugins").out)
    expect("factor of sigma/alpha", call("mixvel", "plugins", "show", "shifted").out)
    for name in ("shifted", "coreset", "stratified"):
        said = call("mixvel", "plugins", "check", name).out
        expect("(mixvel-external 0.3.0)", said)
        expect("  ok    ", said)
    call("mixvel", "run", RECIPE, "--out", folder / "run")
    report = (folder / "run/report/report.json").read_text()
    json.loads(report)
    expect("stratified", report)
    expect("coreset", report)
    call("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE)


def beside_others(folder: Path) -> None:
    """A plugin that raises, one for a later mixvel, and one that claims the same name harm nobody who is not asked."""
    install(wheel(folder, "mixvel_broken", BROKEN))
    expect("mixvel_broken 1.0: RuntimeError: no licence server answers", call("mixvel", "plugins").out)
    call("mixvel", "check", RECIPE)
    remove("mixvel_broken")

    install(wheel(folder, "mixvel_newer", NEWER))
    call("mixvel", "check", RECIPE)
    said = call("mixvel", "check", RECIPE, "sample.selector=tomorrow", code=3).err
    expect("written for contract 99, mixvel has", said)
    expect("install a newer mixvel", said)
    remove("mixvel_newer")

    install(wheel(folder, "mixvel_rival", RIVAL))
    said = call("mixvel", "check", RECIPE, code=3).err
    expect("schedule shifted is claimed by mixvel-external 0.3.0 and mixvel_rival 1.0; uninstall all but one", said)
    call("mixvel", "check", RECIPE, "schedule={use: vp-cosine}")
    remove("mixvel_rival")
    call("mixvel", "check", RECIPE)


def from_the_template(folder: Path) -> None:
    """What `mixvel plugins new` writes installs, passes its tests and can be named in a recipe."""
    call("mixvel", "plugins", "new", "near-means", "--kind", "router", "--out", folder)
    project = folder / "mixvel-near-means"
    install(project)
    call("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", project)
    call("mixvel", "plugins", "check", "near-means")
    call("mixvel", "check", RECIPE, "routers.coreset={use: near-means}")
    remove("mixvel-near-means")


def gone() -> None:
    """Without the plugin the recipe says what is missing."""
    remove("mixvel-external")
    said = call("mixvel", "run", RECIPE, code=3).err
    expect("no schedule is called 'shifted'", said)
    expect("no router is called 'coreset'", said)


def main() -> None:
    """All of it, in a folder that is removed."""
    install(Path(sys.argv[1]))
    with TemporaryDirectory() as name:
        for part in (listed_checked_and_used, beside_others, from_the_template):
            part(Path(name))
            print(f"ok  {part.__name__.replace('_', ' ')}")
    gone()
    print("ok  gone")


if __name__ == "__main__":
    main()
