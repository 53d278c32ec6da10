"""The model card of an exported folder, README.md: how to load it, what it is, its scores, and the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import yaml

from mixvel_core import __version__
from mixvel_core.data.conditions import class_spec
from mixvel_core.data.pictures import is_image
from mixvel_core.export.choice import ExportChoice
from mixvel_core.export.scored import scores_section
from mixvel_core.pipeline.opened import Run
from mixvel_core.recipe.dump import to_plain

NEEDED = ("torch", "diffusers", "safetensors", "attrs", "pluggy", "PyYAML", "numpy", "scipy", "pillow")
"""The packages that an exported folder of mixvel's own plugins is loaded with, besides mixvel itself."""


def model_card(
    run: Run, choice: ExportChoice, classes: Mapping[str, str | None], plugins: Sequence[Mapping[str, str]]
) -> str:
    """The text of README.md.

    Args:
        run: what is exported.
        choice: with which router and settings.
        classes: the class of diffusers that reads each folder of ``experts/``; None: mixvel alone does.
        plugins: what has to be installed: kind, name, package and version of each.
    """
    sections = (
        _header(run),
        _title(run, choice),
        _loading(run, choice, plugins),
        _settings(run, choice),
        _experts(run, choice, classes),
        _conditions(run, choice),
        scores_section(run, choice.row),
        _of_the_data(run, choice),
        _recipe(run),
    )
    return "\n".join("\n".join(lines) + "\n" for lines in map(list, sections))


def _header(run: Run) -> Iterator[str]:
    yield "---"
    yield "library_name: diffusers"
    if is_image(run.shards.data_shape) and not run.models.conditions:
        yield "pipeline_tag: unconditional-image-generation"
    yield "tags: [mixvel, diffusion, mixture-of-experts]"
    yield "---"


def _title(run: Run, choice: ExportChoice) -> Iterator[str]:
    yield f"# {run.recipe.name}"
    yield ""
    if choice.router is None:
        yield "A diffusion model, one network trained on all data"
    else:
        yield f"A diffusion model of {len(run.models.experts)} experts, put together by a router"
    yield f"({'x'.join(map(str, run.shards.data_shape))} items), exported by mixvel {__version__}."
    if run.recipe.smoke:
        yield "**At toy size: it shows that all works, and nothing of quality.**"
    yield "Its licence is not stated: add `license:` to the first lines of this file."


def _loading(run: Run, choice: ExportChoice, plugins: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield "## How to load it"
    yield ""
    yield "```python"
    yield "from diffusers import DiffusionPipeline"
    yield ""
    yield 'folder = "."  # this folder, or OWNER/NAME on the Hub'
    yield "pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)"
    spec = class_spec(run.models.conditions)
    given = "" if spec is None else f"class_labels={spec.labels[0] if spec.labels else 0!r}, "
    yield f"samples = pipe(4, {given}seed=0).images"
    yield "```"
    yield ""
    yield f"The code is mixvel's; the Python files here import it and do nothing else. mixvel {__version__} has to be"
    yield "installed, but nothing of what it takes to train. In a checkout of mixvel this is enough:"
    yield ""
    yield "```sh"
    yield f"pip install --no-deps . && pip install {' '.join(NEEDED)}"
    yield "```"
    yield ""
    others = {(one["package"], one["version"]) for one in plugins if one["package"] != "mixvel"}
    for package, version in sorted(others):
        names = [f"{one['kind']} {one['name']}" for one in plugins if one["package"] == package]
        yield f"**It needs the package `{package}` {version} too**, for {', '.join(names)}.\n"
    steps = choice.options.steps[0]
    yield f"`pipe(batch_size, num_inference_steps={steps}, seed=..., generator=..., output_type=...)`: sample i is a"
    yield "function of the seed and i, the same as that of `mixvel sample --seed`. `pil`, `np` and `pt` are as in all"
    yield "of diffusers, `raw` are the items as they are; `selector`, `integrator` and `grid` may be given too."
    yield '`pipe.to("cuda")` moves all, `torch_dtype=torch.bfloat16` lets networks compute in it, and'
    yield "`resident_experts=2` in `from_pretrained` keeps no more experts in memory than that."


def _settings(run: Run, choice: ExportChoice) -> Iterator[str]:
    options = choice.options
    rows: dict[str, object] = {"schedule": run.recipe.schedule.name}
    if (codec := run.shards.codec) is not None:
        rows |= {"latents": f"{'x'.join(map(str, run.shards.shape))}, by {codec.label}"}
    if choice.router is not None:
        rows |= {"router": f"{choice.router} ({run.models.routers[choice.router].family.name})"}
        rows |= {"selector": options.selector.name}
    if options.guidance is not None:
        rows |= {"guidance": options.guidance.name}
    rows |= {"integrator": options.integrator.name, "steps": options.steps[0], "grid": options.grid}
    rows |= {"last time": options.delta}
    yield "## How it is sampled"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in rows.items():
        yield f"| {name} | {value} |"
    yield ""
    yield "All settings are in `sampler/config.json`" + (f"; row `{choice.row}` of the recipe." if choice.row else ".")


def _experts(run: Run, choice: ExportChoice, classes: Mapping[str, str | None]) -> Iterator[str]:
    yield "## Experts"
    yield ""
    yield "| expert | items | fraction |"
    yield "|---|---|---|"
    parts = run.shards.parts
    if choice.router is None:
        yield f"| the only one | {sum(part.count for part in parts)} | 1 |"
    else:
        for part in parts:
            yield f"| {part.index} | {part.count or 'not known'} | {part.fraction:.4f} |"
    yield ""
    for name in sorted({one for one in classes.values() if one is not None}):
        first = next(folder for folder, one in classes.items() if one == name)
        yield f'`{name}.from_pretrained(folder, subfolder="experts/{first}")` of diffusers reads the network itself.'
    if None in classes.values():
        yield "Networks that are in no layout of diffusers are read by mixvel alone."


def _conditions(run: Run, choice: ExportChoice) -> Iterator[str]:
    yield "## Conditions"
    yield ""
    specs = run.models.conditions
    if not specs:
        yield "None: samples are made without a class or a text."
        return
    for spec in specs:
        what = f"{spec.classes} classes" if spec.classes else f"numbers of shape {spec.shape}"
        yield f"- `{spec.name}`: {what}{': ' + ', '.join(spec.labels) if spec.labels else ''}"
    yield ""
    yield "`pipe(..., class_labels=...)` takes a class, by number or name, for all samples or a list of one for each;"
    yield '`condition={name: rows}` every condition by name, and `condition="null"` none. Without either samples have'
    yield f"those of the recipe's `sample.condition`: {choice.options.condition!s}. `guidance_scale=3.0` strengthens"
    yield "the condition by classifier-free guidance."


def _of_the_data(run: Run, choice: ExportChoice) -> Iterator[str]:
    stored = run.models.experts if choice.router is not None else [run.models.monolith]
    known = any(one is not None and one.moments() is not None for one in stored)
    yield "## What of the data is here"
    yield ""
    yield "No item. " + ("Mean and variance of the items of each shard, and their number. " if known else "")
    if choice.router is not None:
        name = run.models.routers[choice.router].family.name
        yield f"What the router `{name}` was fitted to them: the tensors of `router/model.safetensors`."


def _recipe(run: Run) -> Iterator[str]:
    yield "## Recipe"
    yield ""
    yield "Absolute paths are shortened to their last name."
    yield ""
    yield "```yaml"
    yield yaml.safe_dump(without_places(to_plain(run.recipe)), sort_keys=False, allow_unicode=True, width=110).rstrip()
    yield "```"


def without_places(value: Any) -> Any:
    """Plain data whose absolute paths are their last names: where things are on a machine is nobody's business."""
    if isinstance(value, Mapping):
        return {key: without_places(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_places(one) for one in value]
    return f".../{PurePath(value).name}" if is_place(value) else value


def is_place(value: object) -> bool:
    """Whether it is a path that leads somewhere on one machine only."""
    return isinstance(value, str) and value.startswith(("/", "~", "file:/"))


def places_in(value: Any, path: str = "") -> Iterator[str]:
    """The absolute paths in plain data, as in ``expert.path: /models/0``."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from places_in(one, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from places_in(one, f"{path}.{index}")
    elif is_place(value):
        yield f"{path}: {value}"
