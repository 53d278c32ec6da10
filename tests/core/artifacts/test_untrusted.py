"""Experts and runs from elsewhere: nothing in them runs, leads out of its folder, or takes memory for nothing."""

from __future__ import annotations

import ast
import re
import resource
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from command import Command
from harmful_experts import HARMS, TERABYTES
from silos import hand_over, save_data
from whole_runs import EXACT, run

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import digest, named_in, read_json, write_json
from mixvel_core.artifacts.tensors import loaded
from mixvel_core.errors import ArtifactError, MixvelError
from mixvel_core.federated.assemble import assemble
from mixvel_core.federated.bundle import read_bundle
from mixvel_core.protocols.progress import Silent

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest expert; nobody changes it."""
    folder = tmp_path_factory.mktemp("owner")
    save_data(folder)
    return hand_over(folder, 0, folder / "expert")


@pytest.mark.parametrize("harm", HARMS)
def test_an_expert_that_means_harm_is_refused(
    handed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = Path(shutil.copytree(handed, "bad"))
    HARMS[harm](bad)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MixvelError) as refused:
        assemble([bad], Path("run"), recipe=None, overrides=[], progress=Silent())
    lines = str(refused.value).splitlines()
    assert lines
    assert all(line.isprintable() and len(line) < 1000 for line in lines), lines
    assert not Path("owned").exists()
    assert not Path("run").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/hostname", "", ".", "a\0b", 3, None, "link", "into/file"])
def test_a_name_in_a_list_leads_nowhere_else(name: object, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "out" / "file")
    (folder / "into").symlink_to(tmp_path / "out")
    with pytest.raises(ArtifactError):
        named_in(folder, name)
    assert named_in(folder, "0/items.npy") == folder / "0" / "items.npy"


def test_a_unit_whose_list_leads_out_is_not_done_and_what_lies_there_stays(tmp_path: Path) -> None:
    artifact = Artifact(folder=tmp_path / "artifact", key="k")
    artifact.folder.mkdir()
    (tmp_path / "mine").write_text("mine")
    (artifact.folder / "file").write_text("its")
    artifact.commit(["file", "../mine"])
    assert not artifact.is_done()
    artifact.clear()
    assert (tmp_path / "mine").read_text() == "mine"
    assert not artifact.folder.exists()


def test_clearing_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    artifact = Artifact(folder=tmp_path / "artifact", key="k")
    artifact.folder.mkdir()
    (artifact.folder / "link").symlink_to(tmp_path / "mine")
    artifact.clear()
    assert (tmp_path / "mine" / "file").read_text() == "mine"


def test_a_network_beyond_its_weights_is_never_made() -> None:
    made = []

    def make() -> torch.nn.Module:
        network = torch.nn.Linear(1 << 20, 1 << 20)  # four terabytes
        made.append(network.weight.device.type)
        return network

    with pytest.raises(ArtifactError, match=r"weight is float32 \(2, 2\) where float32 \(1048576, 1048576\)"):
        loaded(make, {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, "it")
    assert made == ["meta"]


CODE = "{use: torch-module, module: 'os:system', arguments: {command: touch owned}, prediction: x0}"


@pytest.mark.parametrize("verb", [["run", "r.yaml"], ["check", "r.yaml"], ["run", "r.yaml", "--dry-run"]])
def test_a_recipe_alone_runs_no_code(
    mixvel: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(EXACT.replace("expert: gaussian-mixture", f"expert: {CODE}", 1))
    done = mixvel(*verb)
    assert done.code == 2
    assert "os:system" in done.problems[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"r.yaml"}


def test_a_run_folder_from_elsewhere_runs_no_code(
    mixvel: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nice = "{use: torch-module, module: 'mixvel_foreign.examples:Shrink', prediction: x0}"
    text = EXACT.replace("expert: gaussian-mixture", f"expert: {nice}", 1).replace("exact: oracle, ", "")
    run(text, Path("run"), stage="sample")
    # Whoever made the folder is free to make its manifests and checksums agree with what it now says.
    monkeypatch.setattr(Artifact, "is_done", lambda self: self.manifest.exists())
    recipe = Path("run/recipe.yaml")
    header, _, body = recipe.read_text().split("\n", 2)
    bad = body.replace("mixvel_foreign.examples:Shrink", "os:system")
    bad = bad.replace("arguments: {}", "arguments: {command: touch owned}")
    recipe.write_text(f"{header}\n# Checksum of the lines below: {digest([bad.encode()])}\n{bad}")
    assert "touch owned" in recipe.read_text()
    for verb in ("sample", "study", "theory"):
        done = mixvel(verb, "run")
        assert done.code == 2, (verb, done)
        assert "os:system" in done.err
        assert not Path("owned").exists()


@pytest.mark.parametrize("damage", [{"shards": "3"}, {"shards": 10**9}, {"shape": 3}])
def test_a_partition_that_says_nonsense(tmp_path: Path, damage: dict[str, object]) -> None:
    run(EXACT, tmp_path, stage="partition")
    about = tmp_path / "shards/data.json"
    write_json(about, {**read_json(about), **damage})
    record = read_json(tmp_path / "shards/done.json")
    Artifact(folder=tmp_path / "shards", key=record["key"]).commit(list(record["files"]), **record["notes"])
    # The shape is read from the items themselves.
    with pytest.raises(ArtifactError) if "shards" in damage else nullcontext():
        run(EXACT, tmp_path, stage="partition")


def test_the_size_of_what_is_handed_over_is_looked_at_first(handed: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(handed, tmp_path / "bad"))
    with (bad / "moments.safetensors").open("r+b") as file:
        file.truncate(TERABYTES)
    with pytest.raises(ArtifactError, match="more than this machine's memory"):
        read_bundle(bad)


# Which modules may handle pickles at all, and why.
PICKLES = {
    "mixvel_core/testing/check.py": "a round trip of what it has pickled itself",
    "plugins/mixvel_images/cifar_pickle.py": "an unpickler that knows arrays of numbers and nothing else",
}


FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads"),
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output"),
    *("torch.jit.load", "torch.hub.load", "torch.hub.load_state_dict_from_url", "torch.package.PackageImporter"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "joblib.load", "pandas.read_pickle"),
}
SAFE = {
    "torch.load": ("weights_only", True),
    **dict.fromkeys(("np.load", "numpy.load", "np.lib.npyio.NpzFile"), ("allow_pickle", False)),
}


def faults(path: Path) -> list[str]:
    """Calls in a file that may run what they read."""
    found = []
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        given = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
        option, safe = SAFE.get(name, ("", None))
        unsafe = any(given.get(word) for word in ("allow_pickle", "trust_remote_code", "shell"))
        if name in FORBIDDEN or unsafe or given.get(option) is not safe:
            found.append(f"{path}:{call.lineno}: {ast.unparse(call)}")
    return found


def test_nothing_is_unpickled_anywhere(tmp_path: Path) -> None:
    paths = [path for room in ("mixvel_core", "plugins") for path in (ROOT / room).rglob("*.py")]
    importers = set()
    for path in paths:
        name = str(path.relative_to(ROOT))
        assert [fault for fault in faults(path) if ": pickle." not in fault or name not in PICKLES] == []
        if re.search(r"^ *import (pickle|dill|marshal|shelve|cloudpickle|joblib)\b", path.read_text(), re.MULTILINE):
            importers.add(name)
    assert importers == set(PICKLES)
    bad = ("torch.load(p)", "np.load(p)", "np.load(p, allow_pickle=True)", "eval(p)", "f(p, shell=True)")
    (tmp_path / "bad.py").write_text("\n".join(bad))
    assert len(faults(tmp_path / "bad.py")) == len(bad)
