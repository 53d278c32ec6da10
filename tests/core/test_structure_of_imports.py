"""Which way imports go: read from the source, so that an import inside a function counts like any other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").exists())
LIBRARIES = ["mixvel_networks"]
"""What several plugins need: no hooks, and every plugin may import it."""
PLUGINS = [name for name in PACKAGES if name not in LIBRARIES]

LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "errors", "randomness", "device", "machine"),
    ("protocols", "artifacts"),
    ("plugin", "field"),
    ("data",),
    ("recipe", "sampling", "training", "theory"),
    ("pipeline", "report", "analysis", "cost"),
    ("federated", "export"),
    ("testing", "scaffold"),
    ("cli",),
    ("__main__",),
)
"""The rooms of mixvel_core, lowest first: each may import its own layer and those below."""

UPWARDS = {
    # A training's task and a plugin's definition hold how networks are trained. Only checkers follow these imports.
    ("mixvel_core.protocols.training", "mixvel_core.training.options"),
    ("mixvel_core.plugin.definition", "mixvel_core.training.options"),
}

FOR_PLUGINS = (*LAYERS[0], *LAYERS[1], *LAYERS[2], "data", "training")

ONLY_IMPORTERS = {
    "torchdiffeq": ["mixvel_core.sampling.ode"],
    "diffusers": [
        "mixvel_codecs.autoencoder_kl",
        "mixvel_codecs.examples",
        "mixvel_core.export.layout",
        "mixvel_core.export.pipeline",
        "mixvel_foreign.networks",
        "mixvel_networks.transformer",
        "mixvel_networks.unet",
        "mixvel_networks.unet_condition",
    ],
    "ray": ["mixvel_ray.cluster", "mixvel_ray.fit", "mixvel_ray.mapping", "mixvel_ray.streaming"],
}


@frozen(kw_only=True)
class Import:
    """One import: in which module, of which one, and whether only type checkers follow it."""

    where: str
    what: str
    typing_only: bool


def _modules() -> dict[str, ast.Module]:
    folders = [ROOT / "mixvel_core", *(ROOT / "plugins" / name for name in PACKAGES)]
    paths = [(folder.parent, path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    return {
        ".".join(path.relative_to(home).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_text())
        for home, path in paths
    }


def _imports(name: str, tree: ast.AST, typing_only: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(where=name, what=alias.name, typing_only=typing_only)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                # `from package import module` is an import of the module.
                yield Import(where=name, what=full if full in MODULES else str(node.module), typing_only=typing_only)
        else:
            guarded = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            yield from _imports(name, node, typing_only or guarded)


MODULES = _modules()
IMPORTS = [one for name, tree in MODULES.items() for one in _imports(name, tree)]


def _layer(module: str) -> int:
    room = module.split(".")[1]
    return next(height for height, rooms in enumerate(LAYERS) if room in rooms)


def test_the_core_imports_downwards_only() -> None:
    within = [i for i in IMPORTS if i.where.startswith("mixvel_core.") and i.what.startswith("mixvel_core.")]
    upwards = {(i.where, i.what): i for i in within if _layer(i.what) > _layer(i.where)}
    assert upwards.keys() == UPWARDS
    assert all(i.typing_only for i in upwards.values())
    assert len(within) > 200


def test_the_core_knows_no_plugin() -> None:
    assert not [i for i in IMPORTS if i.where.startswith("mixvel_core") and i.what.split(".")[0] in PACKAGES]


def test_plugins_import_contracts_and_mathematics_only() -> None:
    theirs = [i for i in IMPORTS if i.where.split(".")[0] in PACKAGES]
    used = {(i.where, i.what) for i in theirs if i.what.startswith("mixvel_core")}
    assert not {(where, what) for where, what in used if what.split(".")[1:2] not in [[room] for room in FOR_PLUGINS]}
    assert used


def test_no_plugin_imports_another() -> None:
    across = [(i.where, i.what) for i in IMPORTS if i.where.split(".")[0] in PACKAGES]
    others = {(a, b) for a, b in across if b.split(".")[0] in PLUGINS and a.split(".")[0] != b.split(".")[0]}
    assert others == set()
    assert any(b.split(".")[0] in LIBRARIES for _, b in across)


def test_nothing_imports_in_a_circle() -> None:
    followed: dict[str, set[str]] = {name: set() for name in MODULES}
    for i in IMPORTS:
        if i.what in MODULES and not i.typing_only and i.what != i.where:
            followed[i.where].add(i.what)
    from graphlib import TopologicalSorter

    order = list(TopologicalSorter(followed).static_order())
    assert len(order) == len(MODULES)


@pytest.mark.parametrize("package", ONLY_IMPORTERS)
def test_some_packages_have_one_importer(package: str) -> None:
    importers = sorted({i.where for i in IMPORTS if i.what.split(".")[0] == package})
    assert importers == ONLY_IMPORTERS[package]
