"""The classifier of grey images: trained once, named by its weights, and scored by formulas written out here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from scipy import linalg

from mixvel_core.errors import DataError, SamplingError
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.origins import label_sets
from mixvel_core.pipeline.shards import StoredShard
from mixvel_core.plugin.definition import DataUse, PluginDef
from mixvel_core.protocols import ConditionScorer, Data, DataSource, Origins, OriginScorer, PreparedMetric
from mixvel_core.protocols.progress import Silent
from mixvel_metrics.classifier import Classifier, ClassifierScores
from mixvel_metrics.classifier_example import Halves, example, halves
from mixvel_metrics.classifier_network import GreyClassifier, Training, predicted, repeatable, train
from mixvel_metrics.classifier_store import labels_of


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return example(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """64 images in [-1, 1], of the two classes in turn."""
    return to_float(Halves(count=64).load().items[:])


def scorer(metric: Classifier, reference: np.ndarray) -> ClassifierScores:
    return metric.against(reference)


def test_it_learns_the_two_classes_and_says_so(metric: Classifier, images: np.ndarray) -> None:
    assert isinstance(metric, PreparedMetric)
    space = metric.features
    assert space.trained.accuracy == 1.0
    assert space.labels(images).tolist() == [0, 1] * 32
    assert "100.00 % of test images right" in space.description
    assert space.trained.digest in space.description
    assert space.name == f"halves-classifier-{space.trained.digest[:8]}"


def test_its_scores_are_never_called_fid_and_carry_the_hash(metric: Classifier, images: np.ndarray) -> None:
    names = [score.name for score in scorer(metric, images[:32]).scores(images[32:])]
    end = metric.features.name
    assert names == [f"{kind}-{end}" for kind in ("frechet", "kernel", "precision", "recall", "balance")]
    assert not any("fid" in name for name in names)


def test_class_agreement_is_the_share_of_samples_of_their_own_class(metric: Classifier, images: np.ndarray) -> None:
    made = scorer(metric, images[:32])
    assert isinstance(made, ConditionScorer)
    right = np.arange(32) % 2
    for wrong in (0, 5, 32):
        labels = np.where(np.arange(32) < wrong, 1 - right, right)
        [score] = made.class_scores(images[32:], labels)
        assert score.value == 1 - wrong / 32
        assert score.larger_is_better
        assert score.name == f"class-agreement-{metric.features.name}"
    assert list(made.class_scores(images[32:32], np.empty(0, np.int64))) == []


def test_subsets_score_as_they_do_by_themselves(metric: Classifier, images: np.ndarray) -> None:
    made, rows = scorer(metric, images[:32]), np.arange(1, 40, 2)
    [found] = made.subset_scores(images, [rows])
    wanted = made.scores(images[rows])
    assert [score.name for score in found] == [score.name for score in wanted]
    assert [score.conditions for score in found] == [score.conditions for score in wanted]
    assert [score.value for score in found] == pytest.approx([score.value for score in wanted], rel=1e-4)


def test_frechet_and_kernel_are_the_formulas_of_scipy_and_numpy(metric: Classifier) -> None:
    x = to_float(Halves(count=400).load().items[:])
    y = np.random.default_rng(1).uniform(-1, 1, x.shape).astype(np.float32)
    found = {score.name.split("-")[0]: score.value for score in scorer(metric, x).scores(y)}
    # In the type in which both sets of features are held for the kernel distance.
    f, g = (metric.features.of(items).astype(np.float32).astype(np.float64) for items in (y, x))
    shift = f.mean(0) - g.mean(0)
    S, T = np.cov(f, rowvar=False), np.cov(g, rowvar=False)
    wanted = shift @ shift + np.trace(S) + np.trace(T) - 2 * np.trace(linalg.sqrtm(S @ T).real)
    assert found["frechet"] == pytest.approx(wanted, rel=1e-6)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((a @ b.T / 64 + 1) ** 3)

    within = [(kernel(h, h).sum() - np.trace(kernel(h, h))) / (len(h) * (len(h) - 1)) for h in (f, g)]
    assert found["kernel"] == pytest.approx(sum(within) - 2 * kernel(f, g).mean(), rel=1e-6)


def test_balance_is_half_the_sum_of_differences_of_shares(metric: Classifier, images: np.ndarray) -> None:
    above, below = images[0::2], images[1::2]
    even = scorer(metric, images)
    values = [even.scores(samples)[-1].value for samples in (images, above, np.concatenate([above[:24], below[:8]]))]
    assert values == [0.0, 0.5, 0.25]
    assert scorer(metric, above).scores(below)[-1].value == 1.0


def test_agreement_is_the_share_whose_class_is_of_the_experts_shard(metric: Classifier, images: np.ndarray) -> None:
    scores = scorer(metric, images)
    assert isinstance(scores, OriginScorer)
    labels = (frozenset({1}), frozenset({0}))
    right = np.array([1, 0] * 32)
    for experts, wanted in ((right, 1.0), (1 - right, 0.0), (np.where(np.arange(64) < 16, 1 - right, right), 0.75)):
        (score,) = scores.origin_scores(images, Origins(experts=experts, labels=labels))
        assert (score.value, score.larger_is_better) == (wanted, True)
        assert score.name == f"agreement-{metric.features.name}"
    together = (frozenset({0, 1}), frozenset({2}))
    assert scores.origin_scores(images, Origins(experts=np.zeros(64, int), labels=together))[0].value == 1.0


def test_what_is_not_asked_for_is_not_scored(metric: Classifier, images: np.ndarray) -> None:
    scores = evolve(metric, further=()).against(images)
    assert len(scores.scores(images)) == 1
    assert scores.origin_scores(images, Origins(experts=np.zeros(64, int), labels=())) == ()


def test_samples_are_scored_as_bytes(metric: Classifier, images: np.ndarray) -> None:
    np.testing.assert_array_equal(metric.features.of(images), metric.features.of(images + np.float32(0.001)))
    np.testing.assert_array_equal(
        metric.features.of(np.full_like(images, 3.0)), metric.features.of(np.ones_like(images))
    )


def test_it_is_trained_once_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = example(str(tmp_path)).features
    (path,) = tmp_path.glob("classifier-halves-*.safetensors")
    monkeypatch.setattr("mixvel_metrics.classifier_store.train", None)
    again = example(str(tmp_path)).features
    assert (again.trained.digest, again.trained.accuracy) == (first.trained.digest, first.trained.accuracy)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_other_data_or_training_make_another_classifier(tmp_path: Path) -> None:
    one = example(str(tmp_path))
    for other in (one, evolve(one, training=Training(epochs=1, batch=32)), evolve(one, test=None)):
        other.prepare(Silent())
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


@pytest.mark.parametrize("damage", ["cut", "flip", "other"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    example(str(tmp_path)).prepare(Silent())
    (path,) = tmp_path.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-2] ^= 0x41
    path.write_bytes({"cut": bytes(content[:-7]), "flip": bytes(content), "other": b"weights"}[damage])
    with pytest.raises(DataError, match="remove it, and it is trained again") as caught:
        example(str(tmp_path)).prepare(Silent())
    assert str(caught.value).startswith(f"{path}: damaged (")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_nothing_to_learn_and_nothing_that_fits_are_refused(metric: Classifier, images: np.ndarray) -> None:
    data = Halves().load()
    with pytest.raises(DataError, match="have no labels"):
        labels_of(evolve(data, labels=None), "x")
    with pytest.raises(DataError, match="all items of x have label 0"):
        labels_of(evolve(data, labels=np.zeros(256, np.int64)), "x")
    with pytest.raises(DataError, match=r"have shape \(1, 8, 8\), samples \(1, 16, 16\)"):
        metric.check(np.zeros((2, 1, 16, 16), np.float32))
    with pytest.raises(DataError, match="images of 4x4 pixels or more"):
        evolve(metric, data=halves(2)).check(np.zeros((2, 1, 2, 2), np.float32))
    with pytest.raises(SamplingError, match="NaN"):
        metric.score(np.full_like(images, np.nan), images)


class _Three(Halves):
    def load(self) -> Data:
        data = super().load()
        assert data.labels is not None
        return evolve(data, labels=data.labels + 1)


def odd_halves() -> DataUse:
    """The two classes under other labels."""
    slot = halves()
    definition: PluginDef[Any, DataSource] = evolve(slot.definition, build=lambda options: _Three())
    return DataUse(definition=definition, options=slot.options)


def test_test_data_of_other_labels_are_refused(tmp_path: Path) -> None:
    odd = odd_halves()
    with pytest.raises(DataError, match="the test data have label 2, which no image of halves has"):
        evolve(example(str(tmp_path)), test=odd).prepare(Silent())


def test_test_data_that_do_not_go_with_the_images_are_refused_before_training(
    metric: Classifier, images: np.ndarray
) -> None:
    with pytest.raises(DataError, match=r"have shape \(1, 8, 8\), those of the test data \(1, 16, 16\); give `test`"):
        evolve(metric, test=halves(16)).check(images)
    with pytest.raises(DataError, match="the test data have label 2"):
        evolve(metric, test=odd_halves()).check(images)


def test_labels_need_not_be_from_zero(tmp_path: Path, images: np.ndarray) -> None:
    odd = odd_halves()
    space = evolve(example(str(tmp_path)), data=odd, test=odd).features
    assert space.trained.labels == (1, 2)
    assert space.labels(images).tolist() == [1, 2] * 32


def test_training_is_the_same_every_time_and_leaves_torchs_generator_alone() -> None:
    data = Halves(count=64).load()
    assert data.labels is not None
    cpu = torch.device("cpu")
    before = torch.random.get_rng_state()
    one, other = (train(data.items, data.labels, 2, Training(epochs=1), cpu) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_features_on_a_gpu_are_those_of_the_cpu() -> None:
    data = Halves(count=64).load()
    x = torch.from_numpy(to_float(data.items[:]))
    network = GreyClassifier(1, 2).eval()
    with torch.no_grad(), repeatable():
        here = network.features(x)
        there = network.cuda().features(x.cuda()).cpu()
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)
    assert len(predicted(network, data.items, torch.device("cuda"))) == 64


def part(folder: Path, k: int, labels: dict[str, int]) -> StoredShard:
    (folder / str(k)).mkdir()
    (folder / str(k) / "shard.json").write_text(json.dumps({"labels": labels}))
    return StoredShard(folder=folder / str(k), index=k, count=1, fraction=0.5, shape=(1,))


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (({"0": 3}, {"1": 2, "2": 1}), (frozenset({0}), frozenset({1, 2}))),
        (({"0": 3, "1": 1}, {"1": 2}), None),
        (({}, {}), None),
    ],
)
def test_experts_have_classes_only_where_shards_share_none(
    tmp_path: Path, labels: tuple[dict[str, int], ...], found: object
) -> None:
    assert label_sets([part(tmp_path, k, one) for k, one in enumerate(labels)]) == found
