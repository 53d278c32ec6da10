"""What fits into a cluster, and what is said of what does not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.errors import RecipeError
from mixvel_ray.hooks import RayOptions
from mixvel_ray.work import Node, Room, room_of

LAPTOP = (Node(resources={"CPU": 2.0, "memory": 1e9}),)
GPUS = (Node(resources={"CPU": 8.0, "GPU": 2.0}), Node(resources={"CPU": 8.0, "GPU": 1.0}), Node(resources={"CPU": 4}))


@pytest.mark.parametrize(
    ("options", "nodes", "jobs"),
    [
        (RayOptions(), LAPTOP, 2),
        (RayOptions(workers=2), LAPTOP, 1),
        (RayOptions(cpus=0.5, device="cpu"), LAPTOP, 4),
        (RayOptions(), GPUS, 3),
        (RayOptions(workers=3), GPUS, 1),
        (RayOptions(gpus=0.25), GPUS, 12),
        (RayOptions(gpus=1 / 3, cpus=0.1), GPUS, 9),
        (RayOptions(device="cpu"), GPUS, 20),
        (RayOptions(gpus=2), GPUS, 1),
    ],
)
def test_as_many_jobs_as_the_nodes_hold(options: RayOptions, nodes: tuple[Node, ...], jobs: int) -> None:
    assert room_of(options, nodes).jobs(nodes) == jobs


@settings(deadline=None, max_examples=50)
@given(
    cpus=st.lists(st.integers(1, 16), min_size=1, max_size=5),
    each=st.integers(1, 4),
    workers=st.integers(1, 4),
)
def test_workers_are_not_split_over_nodes_and_jobs_are(cpus: list[int], each: int, workers: int) -> None:
    nodes = tuple(Node(resources={"CPU": float(n)}) for n in cpus)
    places = sum(n // each for n in cpus)
    room = Room(workers=workers, need={"CPU": float(each)})
    if places < workers:
        with pytest.raises(RecipeError):
            room.jobs(nodes)
    else:
        assert room.jobs(nodes) == math.floor(places / workers)


def test_too_small_a_cluster_is_refused_with_what_is_missing() -> None:
    with pytest.raises(RecipeError) as caught:
        room_of(RayOptions(workers=3, cpus=2), LAPTOP).jobs(LAPTOP)
    assert "a job needs 3 workers of 2 CPU each, and the cluster holds 1 (2 CPU, 0 GPU)" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("options", [RayOptions(device="cuda"), RayOptions(gpus=1)])
def test_an_absent_gpu_is_an_error_unless_the_cluster_grows(options: RayOptions) -> None:
    with pytest.raises(RecipeError, match="no node of the cluster has a GPU"):
        room_of(options, LAPTOP)
    grows = RayOptions(device=options.device, gpus=options.gpus, autoscaling=True)
    assert room_of(grows, LAPTOP).gpus == 1


def test_other_resources_are_asked_for_too() -> None:
    room = room_of(RayOptions(resources={"A100": 0.5}), LAPTOP)
    with pytest.raises(RecipeError, match=r"1 CPU, 0\.5 A100 each"):
        room.jobs(LAPTOP)
    assert room.jobs([Node(resources={"CPU": 4, "A100": 1})]) == 2


@pytest.mark.parametrize(
    ("given_options", "says"),
    [({"device": "cpu", "gpus": 1.0}, "device is cpu"), ({"device": "cuda", "gpus": 0.0}, "device is cuda")],
)
def test_options_that_contradict_each_other(given_options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RayOptions(**given_options)  # type: ignore[arg-type]  # the point
