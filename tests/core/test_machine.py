"""Machines that lack what Linux has: macOS, Windows, containers without a home, names that are no text, few files."""

from __future__ import annotations

import errno
import os
import pwd
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
from command import Command, imported

from mixvel_core.artifacts.files import write_text
from mixvel_core.errors import AbsentError, RecipeError, UsageError
from mixvel_core.machine import allow_open_files, check_name, data_home, from_home, printable, usable_cpus
from mixvel_core.recipe.build import build

RECIPE = "recipes/mixture.yaml"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that runs as a number without a name."""

    def unknown(uid: int) -> Any:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "MIXVEL_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_processors_are_counted_where_the_system_does_not_say_which_may_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3}, raising=False)
    assert usable_cpus() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cpus() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == 1


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_line_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AbsentError, match="set MIXVEL_DATA to a folder, or `store`"):
        data_home(None)
    for path in ("~/faces.npz", "~nobody-is-called-so/x"):
        with pytest.raises(AbsentError, match="set HOME, or write the path without ~"):
            from_home(path)
    with pytest.raises(RecipeError, match="set HOME, or write the path without ~"):
        build("expert", "diffusers", {"path": "~/model"})
    monkeypatch.setenv("MIXVEL_DATA", str(tmp_path))
    assert data_home(None) == tmp_path


def test_prepared_data_go_where_it_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("MIXVEL_DATA", "~/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_home("~/store") == Path("/home/me/store")
    assert data_home(None) == Path("/home/me/data")
    monkeypatch.delenv("MIXVEL_DATA")
    assert data_home(None) == Path("/cache/mixvel")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_home(None) == Path("/home/me/.cache/mixvel")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "~/r.yaml"], "/home/me/r.yaml: no such file"),
        (["check", RECIPE, "--out=~/runs/x"], "run folder  /home/me/runs/x"),
        (["check", RECIPE, "data={use: numpy, path: ~/faces.npz}"], "/home/me/faces.npz: does not exist"),
        (["check", RECIPE, "expert={use: diffusers, path: ~/model}"], "/home/me/model: no such folder"),
        (["check", RECIPE, "schedule={use: diffusers, path: ~/model}"], "/home/me/model: no such folder"),
        (["sample", "~/runs/x"], "/home/me/runs/x: no run here"),
    ],
)
def test_the_home_folder_is_meant_in_every_path(
    mixvel: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    done = mixvel(*arguments)
    assert words in done.out + done.err


def test_windows_is_refused_in_a_line(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    done = mixvel("plugins")
    assert done.code == 2
    assert done.problems == [done.err.strip()]
    assert "install it inside WSL" in done.err
    # It gets as far as that line there: these need what Windows lacks.
    assert imported(["mixvel_core.artifacts.lock", "resource"], "import mixvel_core, mixvel_core.cli.main") == []


@pytest.mark.parametrize(("name", "shown"), [("tea", "tea"), ("café", "café"), ("caf\udce9", r"caf\xe9")])
def test_names_of_other_encodings_can_be_read_and_written(tmp_path: Path, name: str, shown: str) -> None:
    assert printable(name) == shown
    write_text(tmp_path / "x.txt", name)
    assert (tmp_path / "x.txt").read_text(encoding="utf-8").startswith(name[:3])


def test_a_run_folder_has_a_name_that_is_text(mixvel: Command) -> None:
    check_name(Path("café"))
    with pytest.raises(UsageError, match="not UTF-8 text; choose another one"):
        check_name(Path("caf\udce9"))
    for verb in ("check", "run"):
        done = mixvel(verb, RECIPE, "--out", "caf\udce9")
        assert (done.code, done.problems) == (
            2,
            [r"error: caf\xe9: the name is not UTF-8 text; choose another one, or rename the folder"],
        )


def test_as_many_files_may_be_open_as_the_machine_lets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    for limits in ((256, resource.RLIM_INFINITY), (256, 4096), (1024, 1024), (65536, 65536)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, found=limits: found)
        allow_open_files()
    assert asked == [(10240, resource.RLIM_INFINITY), (4096, 4096)]


def test_too_many_open_files_are_cured_in_a_line(mixvel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr("mixvel_core.cli.run.load", full)
    done = mixvel("check", RECIPE)
    assert done.code == 4
    assert "raise it with `ulimit -n 4096`" in done.err
