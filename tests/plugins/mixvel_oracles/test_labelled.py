"""Exact experts and routers under a class, made by their families of a recipe's data: against the law taken apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mixvel_core.data.conditions import class_fractions
from mixvel_core.errors import DataError
from mixvel_core.pipeline.experts import config_of_shard
from mixvel_core.pipeline.partition import partition, partition_artifact
from mixvel_core.pipeline.shards import JoinedShard
from mixvel_core.pipeline.splits import split
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import CLASS, Condition, GaussianLaw, RouterConfig, Shard
from mixvel_core.protocols.progress import SILENT
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe
from mixvel_oracles.denoisers import gaussian_expert
from mixvel_oracles.families import BlurredFamily, GaussianFamily, OracleRouterFamily
from mixvel_oracles.labelled import LabelledExpert

RECIPE = """
name: labelled
data: {use: gaussian-mixture, components: 6, dimension: 3, count: 600, classes: 2}
partition: {use: labels, groups: [[0, 1], [2, 3], [4, 5]]}
condition: {class: class}
schedule: vp-cosine
expert: gaussian-mixture
routers: {oracle: oracle}
sample: {selector: mixture, integrator: ddim, methods: {mixture: {}}}
evaluate: {metrics: [w2]}
launcher: local
"""


def recipe(folder: Path, *overrides: str) -> Recipe:
    path = folder / "labelled.yaml"
    path.write_text(RECIPE)
    return load_recipe(path, overrides, load_registry())


def of_class(law: GaussianLaw, c: int) -> GaussianLaw:
    assert law.classes is not None
    kept = law.classes == c
    weights = law.weights[kept] / law.weights[kept].sum()
    return GaussianLaw(weights=weights, means=law.means[kept], covariances=law.covariances[kept])


def test_experts_and_router_of_a_recipe_are_those_of_the_law_under_a_class(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    schedule = made.schedule.build()
    assert made.data is not None
    assert made.partition is not None
    found = split(made.data, made.partition, made.seed, SILENT, made.condition)
    shards = partition(found, partition_artifact(made, tmp_path / "run"), SILENT)
    family, whole = GaussianFamily(), JoinedShard(parts=shards.parts)
    experts: list[LabelledExpert] = []
    every: tuple[Shard, ...] = (*shards.parts, whole)
    for shard in every:
        assert shard.law is not None
        assert shard.law.classes is not None
        config = config_of_shard(shard)
        expert = family.load(config, family.tensors(shard, None), schedule)
        assert isinstance(expert, LabelledExpert)
        assert expert.null.values[CLASS].tolist() == [2]
        experts.append(expert)
    x = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.02, 1.0, 64, dtype=torch.float64)
    *parts, all_of_it = experts
    routed = RouterConfig(
        fractions=shards.fractions,
        shape=(3,),
        conditions=shards.conditions,
        class_fractions=class_fractions(shards.parts),
    )
    router = OracleRouterFamily().load(routed, OracleRouterFamily().tensors(shards.parts, {}), schedule)
    for c in (0, 1, 2):
        condition = Condition(values={CLASS: torch.full((64,), c)})
        answers = torch.stack([expert.given(condition).denoise(x, t) for expert in parts], dim=1)
        a, _ = router.given(condition).weights(x, t, None)  # type: ignore[attr-defined]  # it reads the class
        M = torch.einsum("bk,bkd->bd", a, answers)
        law = whole.law
        assert law is not None
        exact = gaussian_expert(law if c == 2 else of_class(law, c), schedule).denoise(x, t)
        torch.testing.assert_close(M, exact, rtol=0, atol=1e-10)
        torch.testing.assert_close(all_of_it.given(condition).denoise(x, t), exact, rtol=0, atol=1e-10)
    assert [round(sum(row), 12) for row in class_fractions(shards.parts)] == [1.0] * 3


def test_a_blurred_expert_is_that_of_the_widened_law(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    assert made.data is not None
    [shard] = split(made.data, None, 0, SILENT, made.condition).parts
    exact, blurred = (
        family.tensors(shard, None)["covariances"] for family in (GaussianFamily(), BlurredFamily(blur=0.4))
    )
    torch.testing.assert_close(blurred, exact + 0.16 * torch.eye(3, dtype=torch.float64))


def test_a_class_that_differs_within_a_component_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "classes.npy", np.arange(600) % 2)
    made = recipe(tmp_path, f"condition.class={tmp_path / 'classes.npy'}")
    assert made.data is not None
    [shard] = split(made.data, None, 0, SILENT, made.condition).parts
    assert shard.law is not None
    assert shard.law.classes is None
    with pytest.raises(DataError, match="its law under a class is not known"):
        GaussianFamily().tensors(shard, None)
