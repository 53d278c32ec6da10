"""Owners who share principal components or k-means Gaussians: the router of the items, without the items."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from command import Command
from silos import (
    COUNTS,
    SILOS,
    K,
    cut_short,
    forge,
    go_on,
    hand_over,
    pooled_data,
    put_together,
    require_refusal,
    save_data,
)
from torch import Tensor
from whole_runs import files, recipe_of

from mixvel_core.artifacts.files import read_json
from mixvel_core.artifacts.tensors import read_checksummed, read_tensors, write_checksummed
from mixvel_core.errors import ArtifactError, DataError, RecipeError, UsageError
from mixvel_core.federated.share import Share, share_of, shared_gaussians
from mixvel_core.pipeline.run import run as run_recipe
from mixvel_core.protocols.progress import Silent
from mixvel_core.testing.problems import MemoryShard

GAUSSIANS = "gaussians.safetensors"
SHARES = ("rank=4", "components=2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, the recipe, and under the name of each share an expert of each owner; nobody changes them."""
    folder = tmp_path_factory.mktemp("owners")
    save_data(folder)
    for k in range(K):
        for share in (*SHARES, "moments", "count"):
            # Trained once: what is shared may change later.
            hand_over(folder, k, folder / "made" / str(k), share=share)
            shutil.copytree(folder / "made" / str(k), folder / share / str(k))
    return folder


def routers(place: Path, out: Path, router: str, *folders: Path) -> dict[str, Tensor]:
    """The tensors of a router of an assembled run."""
    put_together(place, out, f"routers={{m: {router}}}", folders=folders)
    go_on(out, stage="routers")
    return read_tensors(out / "routers/m/model.safetensors")


def of_items(place: Path, out: Path, router: str) -> dict[str, Tensor]:
    """The tensors of the same router where all data are in one place."""
    recipe = recipe_of(SILOS, pooled_data(place), f"routers={{m: {router}}}")
    run_recipe(recipe, out, progress=Silent(), stage="routers")
    return read_tensors(out / "routers/m/model.safetensors")


def owners(place: Path, *shares: str) -> list[Path]:
    return [place / share / str(k) for k, share in enumerate(shares)]


@pytest.mark.parametrize(
    ("share", "router"),
    [
        ("rank=4", "{use: moments, rank: 4}"),
        ("rank=4", "{use: experts, rank: 4}"),
        ("components=2", "{use: moments, components: 2}"),
    ],
)
def test_the_router_has_the_bits_of_the_one_made_of_the_items(
    place: Path, tmp_path: Path, share: str, router: str
) -> None:
    mine = routers(place, tmp_path / "run", router, *owners(place, *[share] * K))
    pooled = of_items(place, tmp_path / "pooled", router)
    assert mine.keys() == pooled.keys()
    for name, value in pooled.items():
        assert torch.equal(mine[name], value), name


@pytest.mark.parametrize(("share", "rank"), [("moments", 0), ("rank=4", 2)])
def test_fewer_principal_components_than_are_shared(place: Path, tmp_path: Path, share: str, rank: int) -> None:
    """The first of them, with the variance of the others in the rest; none, with mean and variance."""
    router = f"{{use: moments, rank: {rank}}}"
    mine = routers(place, tmp_path / "run", router, *owners(place, *[share] * K))
    for name, value in of_items(place, tmp_path / "pooled", router).items():
        torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=1e-6)


def test_an_absent_rank_is_what_all_owners_share(place: Path, tmp_path: Path) -> None:
    more = hand_over(place, 2, tmp_path / "2", share="rank=5")
    mine = routers(place, tmp_path / "run", "{use: moments}", *owners(place, "rank=4", "rank=4"), more)
    assert mine["axes"].shape[-1] == 4
    mine = routers(place, tmp_path / "less", "{use: moments}", *owners(place, "rank=4", "moments", "components=2"))
    assert mine["axes"].shape[-1] == 0


def test_a_bundle_says_what_it_holds_and_no_item_is_in_it(place: Path) -> None:
    for share in (*SHARES, "moments"):
        bundle = place / share / "0"
        assert read_json(bundle / "config.json")["share"] == share
        assert (GAUSSIANS in files(bundle)) == (share != "moments")
        with np.load(place / "owner-0.npz") as arrays:
            items = [item.tobytes() for item in arrays["items"]]
        assert not [p for p in files(bundle).values() if any(item in p.read_bytes() for item in items)]


@pytest.mark.parametrize(
    ("shares", "router", "message"),
    [
        (
            ("rank=4", "moments", "rank=4"),
            "{use: moments, rank: 4}",
            "moments/1 does not hold the 4 principal .*rank=4",
        ),
        (("rank=4",) * 3, "{use: moments, rank: 5}", "rank=4/0 does not hold the 5 principal .* --share rank=5`"),
        (("rank=4",) * 3, "{use: moments, components: 2}", "rank=4/0 does not hold the 2 k-means .*components=2`"),
        (("components=2",) * 3, "{use: experts, components: 3}", "components=2/0 does not hold the 3 k-means"),
        (("moments",) * 3, "{use: experts, components: 2}", "router experts: .*moments/0 does not hold the 2 k-means"),
        (
            ("moments", "count", "moments"),
            "{use: moments}",
            "router moments: .*count/1 does not hold the mean and variance of shard 1; .* --share moments`",
        ),
    ],
)
def test_what_is_not_shared_is_named_with_the_flag(
    place: Path, tmp_path: Path, shares: tuple[str, ...], router: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as refused:
        routers(place, tmp_path / "run", router, *owners(place, *shares))
    assert len(refused.value.problems) == 1
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_to_what_was_shared_when_it_was_made(place: Path, tmp_path: Path) -> None:
    routers(place, tmp_path / "run", "{use: moments, rank: 0}", *owners(place, *["moments"] * K))
    with pytest.raises(UsageError, match="more or less shared"):
        routers(place, tmp_path / "run", "{use: moments, rank: 0}", *owners(place, *["rank=4"] * K))


def rewritten(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], object]:
    """Other tensors under the same description, with checksums that agree."""

    def spoil(folder: Path) -> None:
        tensors, metadata = read_checksummed(folder / GAUSSIANS)
        change(tensors)
        write_checksummed(folder / GAUSSIANS, tensors, metadata)
        forge(folder)

    return spoil


def cut_and_listed(folder: Path) -> None:
    cut_short(folder / GAUSSIANS)
    forge(folder)


def exchange(folder: Path) -> None:
    """Another owner's, with a list of files that agrees."""
    shutil.copyfile(folder.parent.parent / "other" / GAUSSIANS, folder / GAUSSIANS)
    forge(folder)


SPOILS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (lambda f: cut_short(f / GAUSSIANS), f"{GAUSSIANS}: damaged, or changed"),
    "cut short, and listed so": (cut_and_listed, f"{GAUSSIANS}: damaged"),
    "gone": (lambda f: (f / GAUSSIANS).unlink(), f"{GAUSSIANS}: damaged, or changed"),
    "of another owner": (exchange, f"config.json and {GAUSSIANS} are not of one expert"),
    "no numbers": (rewritten(lambda t: t["means"].fill_(float("nan"))), f"{GAUSSIANS}: numbers that are not finite"),
    "without end": (rewritten(lambda t: t["rest"].fill_(float("inf"))), f"{GAUSSIANS}: numbers that are not finite"),
    "no variance": (rewritten(lambda t: t["variances"].zero_()), f"{GAUSSIANS}: variances that are not above 0"),
    "a negative rest": (rewritten(lambda t: t["rest"].neg_()), f"{GAUSSIANS}: variances that are not above 0"),
    "a negative weight": (rewritten(lambda t: t["weights"].neg_()), f"{GAUSSIANS}: weights"),
    "long axes": (rewritten(lambda t: t["axes"].mul_(2.0)), f"{GAUSSIANS}: axes that are not orthonormal"),
    "fewer axes": (rewritten(lambda t: t.update(axes=t["axes"][..., 1:])), f"{GAUSSIANS}: not float32 tensors"),
    "another type": (rewritten(lambda t: t.update(means=t["means"].double())), f"{GAUSSIANS}: not float32 tensors"),
    "without means": (rewritten(lambda t: t.pop("means")), f"{GAUSSIANS}: not float32 tensors"),
    "one more": (rewritten(lambda t: t.update(more=torch.zeros(1))), f"{GAUSSIANS}: not float32 tensors"),
    "a rank of words": (lambda f: forge(f, share="rank=many"), "none of count, moments"),
    "a rank above the items": (lambda f: forge(f, share="rank=12"), "rank=12 of 12 items"),
    "components above the items": (lambda f: forge(f, share="components=13"), "components=13 of 12 items"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_spoiled_is_named(place: Path, tmp_path: Path, spoil: str) -> None:
    """Whatever the recipe needs of it."""
    bad = Path(shutil.copytree(place / "rank=4/0", tmp_path / "owner" / "0"))
    shutil.copytree(place / "rank=4/1", tmp_path / "other")
    change, message = SPOILS[spoil]
    change(bad)
    require_refusal(ArtifactError, message, bad, [bad], tmp_path / "run")


def test_moments_that_are_no_numbers_are_named(place: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(place / "moments/0", tmp_path / "0"))
    tensors, metadata = read_checksummed(bad / "moments.safetensors")
    write_checksummed(bad / "moments.safetensors", {**tensors, "mean": tensors["mean"] * float("nan")}, metadata)
    forge(bad)
    message = r"moments\.safetensors: moments that are not finite"
    require_refusal(ArtifactError, message, bad, [bad], tmp_path / "run")


@pytest.mark.parametrize("share", [Share(), Share(moments=False), Share(rank=8), Share(components=64)])
@pytest.mark.parametrize("labels", [False, True])
def test_a_share_is_read_as_it_is_written(share: Share, labels: bool) -> None:
    assert share_of(str(evolve(share, labels=labels))) == evolve(share, labels=labels)
    assert share_of("labels") == Share(labels=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all",
        "rank",
        "rank=0",
        "rank=-1",
        "rank=1000",
        "components=1",
        "rank=2 ",
        "rank=\u0663",
        ",labels",
        "labels,count",
        None,
        3,
        "x" * 99,
    ],
)
def test_other_words_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is none of count, moments, rank=R"):
        share_of(text)


def test_more_than_the_items_carry_is_refused_before_anything_is_done(place: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=f"--share rank={COUNTS[2]}: rank {COUNTS[2]} is not below the 6 items of shard 2"
    ):
        hand_over(place, 2, tmp_path / "silo", share=f"rank={COUNTS[2]}")
    assert not list(tmp_path.iterdir())


def test_a_gaussian_of_one_item_is_not_shared() -> None:
    """Its mean is that item."""
    items = np.array([[0.0], [0.1], [0.2], [9.0]], np.float32)
    with pytest.raises(DataError, match="components=2: a Gaussian has one item, which is its mean"):
        shared_gaussians(share_of("components=2"), MemoryShard(items=items))
    with pytest.raises(DataError, match="components=2: a Gaussian has no item"):
        shared_gaussians(share_of("components=2"), MemoryShard(items=np.ones((4, 2), np.float32)))
    assert shared_gaussians(share_of("components=2"), MemoryShard(items=np.tile(items[[0, 3]], (3, 1)))).components == 2


def test_the_command(mixvel: Command, place: Path, tmp_path: Path) -> None:
    line = (
        "train",
        str(place / "silos.yaml"),
        f"data={{use: numpy, path: {place}/owner-0.npz, range: [-1, 1]}}",
        "--expert",
        "0",
    )
    done = mixvel(*line, "--out", str(tmp_path / "0"), "--share", "rank=4")
    assert (done.code, done.problems) == (0, [])
    assert "shares weights and count, mean and variance, 4 principal components of its items" in done.out
    assert (tmp_path / "0" / GAUSSIANS).read_bytes() == (place / "rank=4/0" / GAUSSIANS).read_bytes()
    done = mixvel(*line, "--out", str(tmp_path / "1"), "--share", "rank=0")
    assert (done.code, len(done.problems)) == (2, 1)
    assert "--share: rank=0 is none of" in done.err
