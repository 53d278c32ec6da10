"""FID: its mathematics against other implementations, its name, and the statistics it keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve

from mixvel_core.errors import DataError
from mixvel_metrics.comparison import fit_features
from mixvel_metrics.fid import FID
from mixvel_metrics.inception import FILE, OFFICIAL, Inception, load_inception, stand_in
from mixvel_metrics.options import Further
from mixvel_metrics.statistics import kernel_distance, precision_recall, squared_frechet


def rgb(count: int, seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, side, side)).astype(np.float32)


def features(count: int, seed: int, dimension: int = 12, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, dimension)) + shift).astype(np.float32)


def test_the_kernel_distance_by_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixvel_metrics.statistics.KERNEL_ROWS", 7)
    monkeypatch.setattr("mixvel_metrics.statistics.KERNEL_COLUMNS", 4)
    x, y = features(20, 0).astype(np.float64), features(15, 1, shift=0.3).astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 12 + 1) ** 3)

    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)


def test_precision_and_recall_by_their_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixvel_metrics.statistics.DISTANCE_ROWS", 7)
    x, y = features(30, 0, 2), features(25, 1, 2, shift=0.8)

    def covered(points: np.ndarray, members: np.ndarray) -> float:
        radius = [sorted(np.linalg.norm(members - m, axis=1))[3] for m in members]
        inside = [any(np.linalg.norm(p - m) <= r for m, r in zip(members, radius, strict=True)) for p in points]
        return float(np.mean(inside))

    found = precision_recall(x, y)
    assert found == pytest.approx((covered(x, y), covered(y, x)))
    assert 0 < found[0] < 1
    assert precision_recall(x, x) == (1.0, 1.0)
    assert precision_recall(x, x + 100) == (0.0, 0.0)


def test_the_same_numbers_as_torch_fidelity() -> None:
    """To 1e-6 on the same features; where the extra is installed."""
    pytest.importorskip("torch_fidelity", exc_type=ImportError)
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    x, y = features(60, 0), features(60, 1, shift=0.4)
    theirs = [torch.from_numpy(f) for f in (x, y)]
    fid = fid_statistics_to_metric(*(fid_features_to_statistics(f) for f in theirs), verbose=False)
    found = squared_frechet(fit_features(x), fit_features(y))
    assert found == pytest.approx(fid["frechet_inception_distance"], rel=1e-6)
    kid = kid_features_to_metric(*theirs, kid_subsets=1, kid_subset_size=60, verbose=False)
    assert kernel_distance(x, y) == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-6)
    prc = prc_features_to_metric(*theirs, prc_neighborhood=3, verbose=False)
    assert precision_recall(x, y) == pytest.approx((prc["precision"], prc["recall"]), abs=1e-6)


def test_the_network_of_torch_fidelity_itself(tmp_path: Path) -> None:
    """Weights from a file, features of whole images; where the extra is installed."""
    pytest.importorskip("torch_fidelity", exc_type=ImportError)
    from torch_fidelity import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # The constructor fetches weights; any will do, and none are at hand.
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *a, **k: {})
        network = FeatureExtractorInceptionV3("any", ["2048"])
    for value in network.parameters():
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    inception = load_inception(str(tmp_path / "weights.pth"))
    assert not inception.is_official
    x = rgb(3, 0)
    pixels = torch.from_numpy(np.rint((x + 1) * 127.5).astype(np.uint8))
    np.testing.assert_allclose(inception.of(x), network(pixels)[0].numpy(), rtol=1e-5, atol=1e-6)
    assert np.std(inception.of(x), axis=0).max() > 1e-3
    score = FID(inception=evolve(inception, device=torch.device("cpu"))).score(rgb(4, 1), rgb(4, 2))
    assert score.name == f"frechet-inception-{inception.digest[:8]}-4"


def test_only_the_official_weights_make_a_fid() -> None:
    official = evolve(stand_in(), digest=OFFICIAL + "0" * 56)
    every: tuple[Further, ...] = ("kernel", "precision", "recall")
    scores = FID(inception=official, further=every).against(rgb(9, 0)).scores(rgb(5, 1))
    assert [score.name for score in scores] == ["fid-5", "kid-5", "precision-5", "recall-5"]
    assert [score.larger_is_better for score in scores] == [False, False, True, True]
    other = FID(inception=stand_in()).score(rgb(5, 1), rgb(9, 0))
    assert other.name == "frechet-inception-00000000-5"
    assert not any("fid" in text for text in (other.name, *other.conditions.values()))


class Counting:
    """The stand-in network, counting the images it sees and the most at once."""

    def __init__(self) -> None:
        self.inner = stand_in().network
        self.seen: list[int] = []

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        self.seen.append(len(pixels))
        return list(self.inner(pixels))


def counting() -> tuple[Counting, Inception]:
    network = Counting()
    return network, evolve(stand_in(), network=network)


def test_the_reference_is_read_once_and_in_blocks() -> None:
    network, inception = counting()
    scorer = FID(inception=inception).against(rgb(600, 0))
    for seed in (1, 2, 3):
        scorer.scores(rgb(10, seed))
    assert max(network.seen) <= 256
    assert sum(network.seen) == 600 + 3 * 10


def test_statistics_are_kept_and_used(tmp_path: Path) -> None:
    file = str(tmp_path / "some" / "reference.npz")
    first = FID(inception=stand_in(), statistics=file).score(rgb(10, 1), rgb(40, 0))
    network, inception = counting()
    again = FID(inception=inception, statistics=file).score(rgb(10, 1), rgb(40, 0))
    assert again == first
    assert sum(network.seen) == 10
    assert first.value == pytest.approx(FID(inception=stand_in()).score(rgb(10, 1), rgb(40, 0)).value)


@pytest.mark.parametrize(
    ("reference", "inception", "named"),
    [
        (rgb(40, 5), stand_in(), "data is"),
        (rgb(39, 0), stand_in(), "reference is 40, not 39"),
        (rgb(40, 0), evolve(stand_in(), digest="1" * 64), "features is"),
    ],
)
def test_statistics_of_other_conditions_are_refused(
    tmp_path: Path, reference: np.ndarray, inception: Inception, named: str
) -> None:
    file = str(tmp_path / "reference.npz")
    FID(inception=stand_in(), statistics=file).against(rgb(40, 0))
    with pytest.raises(DataError, match=named):
        FID(inception=inception, statistics=file).against(reference)


def test_statistics_without_conditions_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", mu=np.zeros(12), sigma=np.eye(12))
    with pytest.raises(DataError, match="not statistics of a reference with their conditions"):
        FID(inception=stand_in(), statistics=str(tmp_path / "bare.npz")).against(rgb(40, 0))


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_statistics(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "reference.npz"
    FID(inception=stand_in(), statistics=str(file)).against(rgb(40, 0))
    content = file.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"mean"}[damage])
    with pytest.raises(DataError, match="not statistics of a reference"):
        FID(inception=stand_in(), statistics=str(file)).against(rgb(40, 0))


def test_without_torch_fidelity_or_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(DataError, match=r"pip install 'mixvel\[fid\]'"):
        load_inception(None)

    class Extractor:
        def __init__(self, name: str, layers: list[str], path: str) -> None:
            torch.load(path, weights_only=True)

    module = type("Module", (), {"FeatureExtractorInceptionV3": Extractor})
    monkeypatch.setitem(__import__("sys").modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(DataError, match=f"no weights at .*{FILE}; curl -L"):
        load_inception(None)
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(DataError, match="not the weights of the Inception network"):
        load_inception(str(tmp_path / "text.pth"))
