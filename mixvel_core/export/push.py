"""An exported folder to the Hugging Face Hub, through huggingface_hub, which comes with diffusers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from mixvel_core.errors import MixvelError, UsageError
from mixvel_core.recipe.problems import one_line

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class PushError(MixvelError):
    """The Hub refused, or could not be reached; what was written on this machine is kept."""


class Hub(Protocol):
    """What is used of ``huggingface_hub.HfApi``."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> object:
        """Makes a repository. Raises where it is there and may not be."""

    def upload_folder(
        self,
        *,
        repo_id: str,
        repo_type: str,
        folder_path: str,
        commit_message: str,
        delete_patterns: str | None,
    ) -> object:
        """Uploads a folder as one commit."""


def check_repo(repo: str) -> None:
    """Raises UsageError where ``repo`` is not OWNER/NAME."""
    if not _NAME.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith((".git", ".", "-")):
        raise UsageError(f"--push {repo}: no repository has this name; write OWNER/NAME, of letters, digits and - _ .")


def push(folder: Path, repo: str, *, public: bool = False, replace: bool = False, hub: Hub | None = None) -> str:
    """Makes the repository and uploads the folder, in one commit.

    Args:
        folder: as ``export_run`` wrote it.
        repo: OWNER/NAME.
        public: everybody may read it; else only its owner.
        replace: a repository that is there is taken, and its files that are not in ``folder`` are deleted.
        hub: in place of ``HfApi()``, which is who `hf auth login` says.

    Returns:
        Where it is.

    Raises:
        UsageError: ``repo`` is no name of a repository.
        PushError: the Hub refused, or could not be reached.
    """
    check_repo(repo)
    api = _api() if hub is None else hub
    try:
        api.create_repo(repo, repo_type="model", private=not public, exist_ok=replace)
        api.upload_folder(
            repo_id=repo,
            repo_type="model",
            folder_path=str(folder),
            commit_message="Export a pipeline by mixvel",
            delete_patterns="*" if replace else None,
        )
    # Any: huggingface_hub raises its own errors, those of its HTTP client, and OSError.
    except Exception as error:
        raise PushError(
            f"{repo}: not pushed ({type(error).__name__}: {one_line(str(error).strip())[:300]}); {folder} is whole: "
            f"log in with `hf auth login`, choose another name, or add --replace, then `hf upload {repo} {folder}`"
        ) from error
    return f"https://huggingface.co/{repo}"


def _api() -> Hub:
    from huggingface_hub import HfApi

    made: Hub = HfApi()
    return made
