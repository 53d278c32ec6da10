"""Addresses at which no cluster answers are said so in seconds, whatever is there instead."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import Command

from mixvel_core.errors import RecipeError
from mixvel_ray.cluster import cluster
from mixvel_ray.probe import silence_at


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of a server that answers the first who calls with these bytes, and is silent after that."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(1)
                link.sendall(answer)
                over.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join(10)


def dead() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("form", ["{}", "ray://{}"])
def test_a_dead_address_is_refused_at_once(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = form.format(dead())
    # Which would wait for minutes.
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was called"))
    words = f"launcher ray: no cluster at {address} .*start one with `ray start"
    with pytest.raises(RecipeError, match=words), cluster(address, None, False):
        pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RecipeError, match=f"no cluster at {address} "), cluster(None, None, False):
        pass


@pytest.mark.parametrize("verb", ["check", "run"])
def test_it_is_refused_before_anything_is_written(
    mixvel: Command, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address := dead())
    done = mixvel(verb, "recipes/mixture.yaml", "--smoke", "launcher={use: ray}", "--out", str(tmp_path / "out"))
    assert (done.code, len(done.problems)) == (2, 1), done.err
    assert f"launcher ray: no cluster at {address} (" in done.err
    assert not (tmp_path / "out").exists()


def test_what_listens_and_is_no_cluster_is_told_from_one_by_its_first_bytes() -> None:
    with answering(b"") as address:
        assert silence_at(address, 0.2) == "no answer within 0.2 s"
    with answering(b"HTTP/1.1 400 Bad Request\r\n") as address:
        assert silence_at(address, 5) == "what answers there is no cluster"
    with answering(b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64") as address:
        assert silence_at(address, 5) == ""


@pytest.mark.parametrize(("folder", "wanted"), [("/tmp", None), ("/scratch/" + "a" * 90, "/tmp")])
def test_sockets_of_an_own_cluster_have_short_paths_in_a_deep_temporary_folder(
    folder: str, wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    seen: list[str | None] = []

    def no_room(**_: object) -> None:
        seen.append(os.environ.get("RAY_TMPDIR"))
        raise OSError("no room")

    monkeypatch.setattr("ray.init", no_room)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(RecipeError, match=r"on this machine \(no room\); take `launcher: local`"):
        cluster(None, 1, False).__enter__()
    assert seen == [wanted]


def test_names_that_no_machine_has_and_addresses_that_ray_reads_itself() -> None:
    assert silence_at("no-such-machine.invalid:6379", 5)
    for address in ("auto", "local", "anyscale://x", "http://here/there:80"):
        assert silence_at(address, 5) == ""
