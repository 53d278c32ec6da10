"""All that was asked of the models of a run: the rows of every question, each with its own settings and name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from mixvel_core.cost.flops import flops_of
from mixvel_core.pipeline.loaded import Models, models_key
from mixvel_core.pipeline.models import ModelStages, model_stages
from mixvel_core.pipeline.run_folder import asked_before
from mixvel_core.pipeline.sample import StoredSamples, stored_samples
from mixvel_core.pipeline.sample_specs import settings_of_all
from mixvel_core.pipeline.scores import ToScore
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import diff, keyed
from mixvel_core.recipe.model import Recipe, SampleOptions

_LONGEST = 60


@frozen(kw_only=True)
class Question:
    """``models``: those of ``recipe`` that are there. ``samples``: of its table, those that are there; their rows have
    names that no other settings have."""

    recipe: Recipe
    models: Models
    samples: tuple[StoredSamples, ...]


@frozen(kw_only=True)
class Questions:
    """``now``: what is asked now. ``earlier``: what was asked before. ``rows``: the names of all rows, in the order in
    which they were asked for."""

    now: Question
    earlier: tuple[Question, ...]
    rows: tuple[str, ...]

    @property
    def samples(self) -> tuple[StoredSamples, ...]:
        """All sets of samples, each once, those that are asked for now first."""
        every = [one for question in (self.now, *self.earlier) for one in question.samples]
        return tuple({one.artifact.key: one for one in every}.values())


def questions(recipe: Recipe, shards: Shards, folder: Path, progress: Progress) -> Questions:
    """What the run in ``folder``, whose models and samples by ``recipe`` are made, was asked so far.

    Rows of one method that have the same settings are one row, at whatever step counts and seeds they were asked for.
    """
    asked = asked_before(folder, recipe, progress)
    found = [there_of(one, model_stages(one, folder, shards), folder) for one in asked]
    names = _Names()
    labelled = [evolve(one, samples=tuple(names.named(s, one) for s in one.samples)) for one in found]
    now = asked.index(recipe)
    return Questions(
        now=labelled[now],
        earlier=tuple(one for place, one in enumerate(labelled) if place != now),
        rows=tuple(dict.fromkeys(s.row for one in labelled for s in one.samples)),
    )


def there_of(recipe: Recipe, stages: ModelStages, folder: Path) -> Question:
    """What is there of a question in the run ``folder``, all or not."""
    models = stages.there
    routed = set(models.routers)
    methods = {
        name: method
        for name, method in recipe.sample.methods.items()
        if (models.monolith is not None if method.model == "monolith" else _router_of(recipe, name) in routed)
        and (models.monolith is not None or not _by_weaker(recipe, name))
    }
    samples: Sequence[StoredSamples] = ()
    if models.experts:
        named = {
            name: method if method.model == "monolith" else evolve(method, router=_router_of(recipe, name))
            for name, method in methods.items()
        }
        samples = stored_samples(models, evolve(recipe.sample, methods=named), folder / "samples")
    return Question(recipe=recipe, models=models, samples=tuple(one for one in samples if one.artifact.is_done()))


def _router_of(recipe: Recipe, method: str) -> str:
    return recipe.sample.methods[method].router or next(iter(recipe.routers))


def _by_weaker(recipe: Recipe, method: str) -> bool:
    use = recipe.sample.methods[method].guidance or recipe.sample.guidance
    return use is not None and use.by_weaker


def to_score(question: Question, flops: Mapping[str, int]) -> ToScore | None:
    """An earlier question's samples, with the ``flops`` of models by their keys; None where some were never counted."""
    try:
        counted = flops_of(question.models, flops)
    except KeyError:
        return None
    return ToScore(samples=question.samples, options=question.recipe.evaluate, flops=counted)


class _Names:
    """Gives rows their names: the method's to its first settings, and to others what sets them apart from these."""

    def __init__(self) -> None:
        self._first: dict[str, Mapping[str, Any]] = {}
        self._labels: dict[tuple[str, str], str] = {}

    def named(self, samples: StoredSamples, question: Question) -> StoredSamples:
        """The samples with the label of their row."""
        settings = _settings(samples, question.recipe.sample, question.models)
        method = samples.draw.method
        first = self._first.setdefault(method, settings)
        if settings == first:
            return samples
        place = method, str(sorted(settings.items(), key=lambda item: item[0]))
        if place not in self._labels:
            taken = {*self._first, *self._labels.values()}
            label = f"{method} ({_apart(first, settings)})"
            self._labels[place] = (
                label if label not in taken else f"{label} {sum(one.startswith(label) for one in taken) + 1}"
            )
        return evolve(samples, label=self._labels[place])


def _settings(samples: StoredSamples, options: SampleOptions, models: Models) -> dict[str, Any]:
    """All that the samples depend on but steps and seed; a single expert is neither selected nor weighed."""
    draw: dict[str, Any] = keyed(samples.draw)
    idle = ("selector", "weights") if samples.draw.router is None else ()
    key = models_key(models, samples.draw.router, by_weaker=samples.draw.by_weaker)
    own = {name: value for name, value in draw.items() if name not in ("method", "steps", "seed", *idle)}
    return {**own, **settings_of_all(options), "models": key}


def _apart(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In words, what ``other`` settings have in place of the first ones, as in "count 512"."""
    lines = [line for line in diff(first, other) if not line.startswith("models: ")]
    changes = [(path.removesuffix(".use"), to) for path, _, to in (_parts(line) for line in lines) if to != "(absent)"]
    words = ", ".join(f"{path} {to}" for path, to in changes) or "of another router"
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _parts(line: str) -> tuple[str, str, str]:
    path, _, values = line.partition(": ")
    old, _, new = values.partition(" -> ")
    return path, old, new
