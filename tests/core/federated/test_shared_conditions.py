"""Owners whose experts read a class: it travels with names and null, and experts of other conditions are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import Command
from silos import SILOS, forge, require_refusal
from whole_runs import recipe_of, run, save_classes

from mixvel_core.artifacts.files import read_json
from mixvel_core.data.conditions import specs_of_facts
from mixvel_core.errors import ArtifactError, DataError, UsageError
from mixvel_core.federated.assemble import assemble
from mixvel_core.federated.bundle import read_bundle
from mixvel_core.federated.share import share_of
from mixvel_core.federated.shared_conditions import difference, read_class_counts, read_conditions, with_names
from mixvel_core.federated.train import train_expert
from mixvel_core.pipeline.opened import open_run
from mixvel_core.protocols import Condition, ConditionalExpert, ConditionalRouter, ConditionSpec
from mixvel_core.protocols.progress import Silent

OWNERS = ((0, 1), (2, 3))
"""Which classes each has, of four."""
NAMES = "[dark, dim, light, bright]"
RECIPE = SILOS.replace("partition: labels", f"partition: {{use: labels, groups: {[list(one) for one in OWNERS]}}}")
ROUTERS = "routers={p: fixed, m: {use: moments, rank: 0}}"
CONDITION = "condition={class: labels}"
SPEC = ConditionSpec(name="class", classes=4, labels=("dark", "dim", "light", "bright"))


def data(path: Path, names: str = NAMES) -> str:
    return f"data={{use: numpy, path: {path}, labels: labels, label_names: {names}, range: [-1, 1]}}"


def hand_over(place: Path, k: int, out: Path, *overrides: str, share: str = "moments", names: str = NAMES) -> Path:
    recipe = recipe_of(RECIPE, data(place / f"owner-{k}.npz", names), CONDITION, *overrides)
    train_expert(recipe, k, out, share=share_of(share), progress=Silent())
    return out


def put_together(place: Path, out: Path, *folders: Path) -> Path:
    assemble(folders, out, recipe=place / "recipe.yaml", overrides=[ROUTERS], progress=Silent())
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, data, and an expert of each owner that shares class counts, in ``0`` and ``1``."""
    folder = tmp_path_factory.mktemp("owners")
    (folder / "recipe.yaml").write_text(RECIPE)
    save_classes(folder / "all.npz", classes=4, each=7)
    with np.load(folder / "all.npz") as arrays:
        items, labels = arrays["items"], arrays["labels"]
    items, labels = items[:-3], labels[:-3]
    np.savez(folder / "pooled.npz", items=items, labels=labels)
    for k, classes in enumerate(OWNERS):
        mine = np.isin(labels, classes)
        np.savez(folder / f"owner-{k}.npz", items=items[mine], labels=labels[mine])
        hand_over(folder, k, folder / str(k), share="moments,labels")
    return folder


def test_experts_and_prior_are_those_of_all_data_in_one_place(place: Path, tmp_path: Path) -> None:
    for stage in ("experts", "routers"):
        run(RECIPE, tmp_path / "pooled", data(place / "pooled.npz"), CONDITION, ROUTERS, stage=stage)
    made = put_together(place, tmp_path / "run", place / "0", place / "1")
    run((made / "recipe.yaml").read_text(), made, stage="routers")
    for k in (0, 1):
        for name in ("model.safetensors", "config.json"):
            assert (made / f"experts/{k}/{name}").read_bytes() == (tmp_path / f"pooled/experts/{k}/{name}").read_bytes()
    configs = [read_json(folder / "routers/p/config.json") for folder in (made, tmp_path / "pooled")]
    assert configs[0] == configs[1]
    assert configs[0]["class_fractions"] == [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 7 / 11, 4 / 11]]


def test_an_assembled_run_knows_names_classes_and_null(place: Path, tmp_path: Path) -> None:
    made = put_together(place, tmp_path / "run", place / "0", place / "1")
    run((made / "recipe.yaml").read_text(), made, stage="routers")
    opened = open_run(made)
    assert opened.shards.conditions == opened.models.experts[1].config.conditions == (SPEC,)
    x, t, c = torch.zeros(3, 1, 8, 8), torch.full((3,), 0.7), torch.tensor([0, 3, 4])
    for stored in opened.models.experts:
        expert = stored.load()
        assert isinstance(expert, ConditionalExpert)
        assert expert.null is not None
        assert expert.null.values["class"].tolist() == [4]
        m = expert.given(Condition(values={"class": c})).denoise(x, t)
        assert torch.equal(m[2], expert.denoise(x, t)[2])
        assert not torch.allclose(m[0], m[1], atol=1e-5)
    router = opened.models.routers["m"].load()
    assert isinstance(router, ConditionalRouter)
    # Nobody but owner 0 has class 0.
    assert router.given(Condition(values={"class": c})).weights(x, t, None)[0][:2].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_an_assembled_run_is_sampled_under_classes(mixvel: Command, place: Path, tmp_path: Path) -> None:
    """By classes whose names the owners gave; with the prior of their class counts nobody but its owner answers."""
    made = put_together(place, tmp_path / "run", place / "0", place / "1")
    run((made / "recipe.yaml").read_text(), made, stage="routers")
    line = ("sample", str(made), "--count", "4", "--steps", "2", "--out", str(tmp_path / "more"))
    done = mixvel(*line, "--class", "light,0", "--guidance", "2", "--router", "p")
    assert (done.code, done.problems) == (0, [])
    [path] = (tmp_path / "more").glob("**/*.npz")
    with np.load(path) as found:
        assert found["condition.class"].tolist() == [2, 0, 2, 0]
        assert found["origin"].tolist() == [1, 0, 1, 0]
    done = mixvel(*line, "--class", "glaring")
    assert (done.code, len(done.problems)) == (2, 1)
    assert "no class is called 'glaring'" in done.err


def test_class_counts_stay_with_an_owner_who_does_not_share_them(place: Path, tmp_path: Path) -> None:
    kept = hand_over(place, 1, tmp_path / "1")
    assert "class_counts" not in read_json(kept / "config.json")
    made = put_together(place, tmp_path / "run", place / "0", kept)
    run((made / "recipe.yaml").read_text(), made, stage="routers")
    assert "class_fractions" not in read_json(made / "routers/p/config.json")
    router = open_run(made).models.routers["p"].load()
    assert isinstance(router, ConditionalRouter)
    x, t = torch.zeros(1, 1, 8, 8), torch.ones(1)
    a, _ = router.given(Condition(values={"class": torch.tensor([0])})).weights(x, t, None)
    torch.testing.assert_close(a, router.weights(x, t, None)[0])


def test_class_counts_that_there_are_not_are_not_shared(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--share count,labels: its items have no classes; set `condition.class`"):
        hand_over(place, 0, tmp_path / "0", "condition=null", share="count,labels")
    with pytest.raises(UsageError, match=r"made in another way.*condition"):
        hand_over(place, 0, place / "0", "condition=null")


@pytest.mark.parametrize(
    ("overrides", "names", "message"),
    [
        (["condition=null"], NAMES, r"reads other conditions \(class -> none\)"),
        (["condition={kind: labels}"], NAMES, r"reads other conditions \(class -> kind\)"),
        ([], "[dark, dim, light, bright, glaring]", r"reads other conditions \(class: 4 classes -> 5\)"),
        ([], "[dark, light, dim, bright]", r"reads other conditions \(class 1: dim -> light\)"),
    ],
)
def test_experts_that_read_other_conditions_are_refused(
    place: Path, tmp_path: Path, overrides: list[str], names: str, message: str
) -> None:
    other = hand_over(place, 1, tmp_path / "other", *overrides, names=names)
    require_refusal(ArtifactError, message, other, [place / "0", other], tmp_path / "run", place / "recipe.yaml")


def test_names_come_from_whoever_has_them(place: Path, tmp_path: Path) -> None:
    nameless = hand_over(place, 1, tmp_path / "1", names="[]")
    assert read_bundle(nameless).conditions == (ConditionSpec(name="class", classes=4),)
    made = put_together(place, tmp_path / "run", nameless, place / "0")
    assert [specs_of_facts(read_json(made / f"shards/{k}/shard.json")) for k in (0, 1)] == [(SPEC,)] * 2


def test_a_changed_header_is_refused(place: Path, tmp_path: Path) -> None:
    bad = hand_over(place, 1, tmp_path / "1")
    forge(bad, conditions=[{"name": "class", "classes": 4, "shape": [], "labels": ["x"]}])
    require_refusal(ArtifactError, "not of one expert", bad, [bad], tmp_path / "run", place / "recipe.yaml")


def spec(**changes: Any) -> dict[str, Any]:
    return {"conditions": [{"name": "class", "classes": 4, "shape": [], "labels": [], **changes}]}


@pytest.mark.parametrize(
    "about",
    [
        spec(classes=-1),
        spec(classes=1 << 40),
        spec(classes="4"),
        spec(classes=True),
        spec(shape=[-1]),
        spec(shape=[1 << 15, 1 << 15], classes=0),
        spec(name=3),
        spec(labels=[1]),
        spec(labels=list("abcde")),
        spec(labels=None),
        {"conditions": spec()["conditions"] * 2},
        {"conditions": 3},
        {"conditions": [{"name": "class"}]},
    ],
)
def test_headers_that_hold_no_conditions_are_refused(about: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_conditions(about)


@pytest.mark.parametrize("counts", [[3, 4], [3, 4, 1], [3, 5, -1], [3.0, 4, 0], "007", None])
def test_class_counts_that_do_not_add_up_are_refused(counts: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_class_counts({"class_counts": counts}, True, 3, 7)
    assert read_class_counts({"class_counts": [3, 4, 0]}, True, 3, 7) == (3, 4, 0)


def test_only_what_one_network_could_not_read_is_a_difference() -> None:
    plain, place = ConditionSpec(name="class", classes=4), ConditionSpec(name="place", shape=(2,))
    assert difference((SPEC,), (plain,)) == difference((), ()) == ""
    assert difference((plain, place), (place, plain)) == "order: class, place -> place, class"
    assert difference((place,), (ConditionSpec(name="place", shape=(3,)),)) == "place: (2,) -> (3,)"
    assert with_names((plain, place), [(SPEC, place)]) == (SPEC, place)
