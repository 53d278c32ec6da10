"""Definitions and options of foreign experts; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import frozen

from mixvel_core.errors import RecipeError
from mixvel_core.plugin.definition import ExpertUse, PluginDef, ScheduleUse, hookimpl
from mixvel_core.plugin.options import OptionCheck, at_least, option
from mixvel_core.protocols import ExpertFamily, NoiseSchedule, RouterFamily

IMPORT_PATH = OptionCheck(
    text="an import path `package.module:name`",
    holds=lambda v: v.count(":") == 1 and all(p.isidentifier() for p in v.replace(":", ".").split(".")),
)
Argument: TypeAlias = bool | int | float | str
"""What a recipe can pass to a factory."""

CLIP = "keep the denoiser within [-1, 1], the range of images"
WEIGHTS = "a safetensors file, or a folder of some; {k} is the shard's number; absent: as the factory made it"
PARIS = "the folder that holds expert_0/, expert_1/, ... and router/"


@frozen(kw_only=True)
class ForeignFolderOptions:
    """Options of the schedule ``diffusers``."""

    path: Path = option(doc="a pipeline folder, a model folder beside its scheduler_config.json, or a scheduler folder")


@frozen(kw_only=True)
class DiffusersOptions:
    """Options of the expert ``diffusers``."""

    path: Path = option(
        doc="a folder with a UNet2DModel, UNet2DConditionModel or DiTTransformer2DModel, alone or in a pipeline, or "
        "two for two levels of noise; {k} in it is the shard's number"
    )
    scheduler: Path | None = option(
        default=None, doc="where scheduler_config.json is; absent: in the pipeline, or beside the model"
    )
    variant: str | None = option(
        default=None, before=None, doc="of the weights, as in their files' names: fp16, ema; absent: those without one"
    )
    timesteps: Literal["continuous", "rounded"] = option(
        default="continuous", doc="whether the network sees times between the entries of its table"
    )
    clip: bool | None = option(
        default=None, doc="keep the denoiser within [-1, 1]; absent: as the scheduler's clip_sample says"
    )
    label: int | None = option(
        default=None,
        check=at_least(0),
        doc="class given to a class-conditional network; absent: the shard's number, or with `condition` the sample's",
    )
    condition: Literal["class", "text"] | None = option(
        default=None,
        before=None,
        doc="what of each sample's condition the network reads: `class`, or `text`, embeddings (L, D); absent: nothing",
    )
    null_class: int | None = option(
        default=None,
        before=None,
        check=at_least(0),
        doc="with `condition: class`, the class that stands for none; absent: that of a DiT, or none at all",
    )
    null_text: Path | None = option(
        default=None,
        before=None,
        doc="with `condition: text`, a safetensors file of the embeddings of no text, (L, D); absent: zeros",
    )
    text_length: int = option(
        default=77,
        before=77,
        check=at_least(1),
        doc="with `condition: text`, L of embeddings where neither data nor `null_text` have any",
    )


@frozen(kw_only=True)
class FactoryOptions:
    """A network that a user's own code makes."""

    module: str = option(check=IMPORT_PATH, doc="the factory of the network, `package.module:name`")
    arguments: Mapping[str, Argument] = option(factory=dict, doc="arguments of the factory by name")


@frozen(kw_only=True)
class TimedOptions(FactoryOptions):
    """A network with a time convention of its own."""

    schedule: ScheduleUse | None = option(default=None, doc="the schedule it was trained under; absent: the recipe's")
    time: Literal["unit", "scaled", "entries"] = option(
        default="unit",
        doc="its time at t: t itself, T t, or T t - 1, the entry of a table counted from 0",
    )
    length: int = option(default=1000, check=at_least(1), doc="T of `scaled` and `entries`")
    timesteps: Literal["continuous", "rounded"] = option(
        default="continuous", doc="whether `scaled` and `entries` may lie between integers"
    )
    reversed_time: bool = option(
        default=False,
        before=False,
        doc="its time is 1 at the data and 0 at pure noise, and a flow leads from noise to data",
    )


@frozen(kw_only=True)
class PredictionOptions(TimedOptions):
    """A network that predicts the clean point, the noise or a velocity."""

    prediction: Literal["x0", "eps", "v", "flow"] = option(doc="what the network predicts")
    clip: bool = option(default=False, doc=CLIP)


@frozen(kw_only=True)
class TorchModuleOptions(PredictionOptions):
    """Options of the expert ``torch-module``."""

    weights: Path | None = option(default=None, doc=WEIGHTS)


@frozen(kw_only=True)
class ParisOptions(PredictionOptions):
    """Options of the expert ``paris``."""

    path: Path = option(doc=PARIS)


@frozen(kw_only=True)
class ParisRouterOptions(TimedOptions):
    """Options of the router ``paris``; the network answers with logits, (B, K)."""

    path: Path = option(doc=PARIS)


@frozen(kw_only=True)
class AzulaOptions(FactoryOptions):
    """Options of the expert ``azula``; schedule and prediction are the denoiser's own."""

    weights: Path | None = option(default=None, doc=WEIGHTS)
    clip: bool = option(default=False, doc=CLIP)


@frozen(kw_only=True)
class PerShardOptions:
    """Options of the expert ``per-shard``."""

    experts: tuple[ExpertUse, ...] = option(
        check=OptionCheck(text="a list, not empty", holds=lambda v: len(v) > 0),
        doc="the expert of each shard, in their order",
    )

    def __attrs_post_init__(self) -> None:
        for index, use in enumerate(self.experts):
            if use.is_shared:
                raise ValueError(f"experts[{index}].shared: one network is for all shards or for none; leave it out")


def place_of(path: Path, index: int, what: str) -> Path:
    """``path`` with the shard's number for {k}. Raises RecipeError where there is none, for the whole data set."""
    if "{k}" in str(path) and index < 0:
        raise RecipeError(f"{what}: {path} is a path for each shard; name one folder for the monolith")
    return Path(str(path).replace("{k}", str(index)))


_NETWORK, _DENOISER, _LOGITS = (f"mixvel_foreign.examples:{name}" for name in ("Shrink", "Denoiser", "Logits"))


def _boundaries(options: DiffusersOptions, schedule: ScheduleUse) -> Sequence[float] | None:
    from mixvel_foreign.boundary import boundaries_of

    # A folder for each expert, {k}, has one network.
    return None if "{k}" in str(options.path) else boundaries_of(options.path, options.scheduler, schedule)


# The folders of examples are written at the first call, not at import.
def _diffusers() -> Path:
    from mixvel_foreign.examples import diffusers_folder

    return diffusers_folder()


def _paris() -> Path:
    from mixvel_foreign.examples import paris_folder

    return paris_folder()


SCHEDULES: Sequence[PluginDef[Any, NoiseSchedule]] = (
    PluginDef(
        kind="schedule",
        name="diffusers",
        options=ForeignFolderOptions,
        target="mixvel_foreign.diffusers_family:folder_schedule",
        example_options=lambda: ForeignFolderOptions(path=_diffusers()),
        summary="the schedule of a diffusers folder, with the steps its scheduler takes (grid native)",
    ),
)

_EXAMPLE = TorchModuleOptions(module=_NETWORK, prediction="x0")
_TORCH_MODULE: PluginDef[TorchModuleOptions, ExpertFamily] = PluginDef(
    kind="expert",
    name="torch-module",
    options=TorchModuleOptions,
    target="mixvel_foreign.module_family:TorchModuleFamily",
    example_options=_EXAMPLE,
    of_latents={"clip": False},
    summary="your own network by import path, its schedule and prediction declared",
)

EXPERTS: Sequence[PluginDef[Any, ExpertFamily]] = (
    PluginDef(
        kind="expert",
        name="diffusers",
        options=DiffusersOptions,
        target="mixvel_foreign.diffusers_family:DiffusersFamily",
        example_options=lambda: DiffusersOptions(path=_diffusers()),
        of_latents={"clip": False},
        files=lambda options: () if options.null_text is None else (options.null_text,),
        boundaries=_boundaries,
        summary="a U-Net or a DiT of a diffusers folder, under the schedule of its own training",
    ),
    _TORCH_MODULE,
    PluginDef(
        kind="expert",
        name="azula",
        options=AzulaOptions,
        target="mixvel_foreign.module_family:AzulaFamily",
        example_options=AzulaOptions(module=_DENOISER),
        of_latents={"clip": False},
        summary="a denoiser of azula by import path, under its own schedule",
    ),
    PluginDef(
        kind="expert",
        name="paris",
        options=ParisOptions,
        target="mixvel_foreign.module_family:ParisFamily",
        example_options=lambda: ParisOptions(path=_paris(), module=_NETWORK, prediction="x0"),
        of_latents={"clip": False},
        summary="the experts of a Paris-style folder, their network given by import path",
    ),
    PluginDef(
        kind="expert",
        name="per-shard",
        options=PerShardOptions,
        target="mixvel_foreign.module_family:PerShardFamily",
        files=lambda options: [path for use in options.experts for path in use.files()],
        example_options=PerShardOptions(experts=(ExpertUse(definition=_TORCH_MODULE, options=_EXAMPLE),) * 3),
        summary="an expert of its own family for each shard",
    ),
)

ROUTERS: Sequence[PluginDef[Any, RouterFamily]] = (
    PluginDef(
        kind="router",
        name="paris",
        options=ParisRouterOptions,
        target="mixvel_foreign.paris_router:ParisRouterFamily",
        example_options=lambda: ParisRouterOptions(path=_paris(), module=_LOGITS),
        summary="the router of a Paris-style folder, its network given by import path",
    ),
)


@hookimpl
def mixvel_schedules() -> Sequence[PluginDef[Any, NoiseSchedule]]:
    """The noise schedules of this package."""
    return SCHEDULES


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return EXPERTS


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """The families of routers of this package."""
    return ROUTERS
