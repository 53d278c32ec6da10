"""`--push`: what is asked of the Hub, by one that is none, and what is said where it refuses."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from mixvel_core.errors import UsageError
from mixvel_core.export.push import PushError, push


@define
class FakeHub:
    """Takes what ``HfApi`` takes, and keeps it; ``there``: repositories that exist."""

    there: set[str] = field(factory=set)
    calls: list[tuple[str, dict[str, Any]]] = field(factory=list)

    def _keep(self, name: str, **arguments: Any) -> None:
        # As the real one would take them.
        inspect.signature(vars(HfApi)[name]).bind(None, **arguments)
        self.calls.append((name, arguments))

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        self._keep("create_repo", repo_id=repo_id, repo_type=repo_type, private=private, exist_ok=exist_ok)
        if repo_id in self.there and not exist_ok:
            raise OSError("409 Client Error: Conflict\nYou already created this model repo")
        self.there.add(repo_id)

    def upload_folder(self, **arguments: Any) -> None:
        self._keep("upload_folder", **arguments)


def test_a_repository_is_made_private_and_the_folder_uploaded(tmp_path: Path) -> None:
    hub = FakeHub()
    assert push(tmp_path, "owner/name", hub=hub) == "https://huggingface.co/owner/name"
    (made, first), (uploaded, second) = hub.calls
    assert (made, uploaded) == ("create_repo", "upload_folder")
    assert (first["private"], first["exist_ok"], first["repo_type"]) == (True, False, "model")
    assert (second["repo_id"], second["folder_path"], second["delete_patterns"]) == ("owner/name", str(tmp_path), None)


def test_one_that_is_there_is_replaced_on_request_alone(tmp_path: Path) -> None:
    hub = FakeHub(there={"owner/name"})
    with pytest.raises(PushError, match=r"owner/name: not pushed \(OSError: 409 .*--replace") as refused:
        push(tmp_path, "owner/name", hub=hub)
    assert "\n" not in str(refused.value)
    assert [name for name, _ in hub.calls] == ["create_repo"]
    push(tmp_path, "owner/name", public=True, replace=True, hub=hub)
    assert hub.calls[-2][1]["private"] is False
    assert hub.calls[-1][1]["delete_patterns"] == "*"


@pytest.mark.parametrize("name", ["name", "a/b/c", "/name", "owner/", "owner/na me", "../name", "a/b..c", "o/n.git"])
def test_names_that_are_none_are_refused_before_anything_is_asked(tmp_path: Path, name: str) -> None:
    hub = FakeHub()
    with pytest.raises(UsageError, match="write OWNER/NAME"):
        push(tmp_path, name, hub=hub)
    assert not hub.calls


def test_the_real_one_without_a_network_ends_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(PushError, match="ConnectionError: no route to host"):
        push(tmp_path, "owner/name")
    assert issubclass(HfHubHTTPError, Exception)
