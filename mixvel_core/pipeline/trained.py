"""What in a run folder took training, and how long: it is thrown away only where it is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from attrs import frozen

from mixvel_core.artifacts.files import read_json
from mixvel_core.cost.quantities import duration
from mixvel_core.errors import ArtifactError
from mixvel_core.training.log import FILE, SPEED_FILE

ORIGIN = "origin.json"
"""In an expert's folder that `mixvel assemble` filled: its training is with its owner."""
_TRACES = (FILE, "trained.safetensors", "step-*.safetensors", ORIGIN)


@frozen(kw_only=True)
class TrainedModel:
    """A model that was trained, or has begun to be, in ``folder``.

    ``section``: what a recipe and ``--fresh`` call it: experts, monolith or routers.NAME. ``label``: in words.
    ``seconds``: its training took so far; None where that is not recorded.
    """

    section: str
    label: str
    folder: Path
    seconds: float | None


def trained_models(run: Path) -> tuple[TrainedModel, ...]:
    """All of the run folder ``run``, experts first."""
    # Absolute, as the folders of stages are.
    return tuple(
        TrainedModel(section=section, label=label, folder=folder, seconds=_seconds(folder))
        for section, label, folder in model_folders(run.absolute())
        if has_training(folder)
    )


def model_folders(run: Path) -> Iterator[tuple[str, str, Path]]:
    """Section, label and folder of every model that is there, trained or not."""
    for folder in _folders(run / "experts"):
        yield "experts", f"expert {folder.name}" if folder.name.isdecimal() else "the experts' network", folder
    if (run / "monolith").is_dir():
        yield "monolith", "the monolith", run / "monolith"
    for folder in _folders(run / "routers"):
        yield f"routers.{folder.name}", f"router {folder.name}", folder


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    found = [path for path in parent.iterdir() if path.is_dir()]
    return sorted(found, key=lambda path: (len(path.name), path.name) if path.name.isdecimal() else (99, path.name))


def has_training(folder: Path) -> bool:
    """Whether what lies in the folder of a model took training, here or with its owner."""
    return any(next(folder.rglob(pattern), None) is not None for pattern in _TRACES)


def _seconds(folder: Path) -> float | None:
    found = [_seconds_of_network(path.parent) for path in folder.rglob(FILE)]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if known and len(known) == len(found) else None


def _seconds_of_network(folder: Path) -> float | None:
    with suppress(ArtifactError, KeyError, TypeError, ValueError):
        return float(read_json(folder / SPEED_FILE)["seconds"])
    return None


def in_words(models: Sequence[TrainedModel]) -> str:
    """As in "experts 0 to 9, the monolith and router a"."""
    parts = []
    for section, group in groupby(models, key=lambda model: model.section):
        labels = [model.label for model in group]
        several = section == "experts" and len(labels) > 1
        parts.append(f"experts {numbers([int(label.split()[-1]) for label in labels])}" if several else labels[0])
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def numbers(found: Sequence[int]) -> str:
    """As in "0 to 6 and 9"."""
    runs: list[list[int]] = []
    for k in sorted(found):
        if runs and k == runs[-1][-1] + 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    *most, last = [f"{r[0]} to {r[-1]}" if len(r) > 2 else " and ".join(map(str, r)) for r in runs]
    return f"{', '.join(most)} and {last}" if most else last


def training_time(models: Sequence[TrainedModel]) -> str:
    """As in "1.2 h of training"."""
    known = [model.seconds for model in models if model.seconds is not None]
    if not known:
        return "training of a length that was not recorded"
    rest = len(models) - len(known)
    return f"{duration(sum(known))} of training" + (f" and that of {rest} models, not recorded," if rest else "")


def section_names(models: Sequence[TrainedModel]) -> str:
    """What ``--fresh`` discards them by."""
    return ",".join(dict.fromkeys(model.section for model in models))
