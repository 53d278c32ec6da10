"""What the README says is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from command import Command
from whole_runs import registry

import mixvel_core as mx
from mixvel_core.recipe.resolve import load_recipe

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_example_runs_on_public_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = blocks("python")
    assert re.findall(r"^(?:import|from) .*$", example, re.MULTILINE) == ["import mixvel_core as mx"]
    assert set(re.findall(r"\bmx\.(\w+)", README)) <= set(mx.__all__)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    samples = names["samples"]
    assert samples.x.shape == (64, 16)
    assert samples.x.isfinite().all()
    assert (samples.evaluations == 50).all(), "one expert a step"
    assert capsys.readouterr().out == f"{torch.Size([64, 16])} tensor(50.)\n"


def test_the_recipes_it_names_are_there_and_right() -> None:
    named = set(re.findall(r"recipes/[\w-]+\.yaml", README))
    assert named
    for path in named:
        load_recipe(ROOT / path, [], registry())


def test_the_commands_it_names_are_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    mixvel = Command(monkeypatch=monkeypatch, capsys=capsys)
    lines = re.findall(r"^\| `mixvel (\w+)[^`]*` \|(.*)\|$", README, re.MULTILINE)
    assert {verb for verb, _ in lines} >= {"run", "check", "sample", "plugins", "recipes"}
    for verb, meaning in lines:
        done = mixvel(verb, "--help")
        assert done.code == 0
        for option in re.findall(r"`(--[\w-]+)", meaning):
            assert option in done.out


def test_the_files_it_installs_from_are_there() -> None:
    [install, *_] = blocks("sh")
    assert install == "pip install -c constraints.txt -e . && mixvel run recipes/digits.yaml\n"
    assert (ROOT / "constraints.txt").exists()
