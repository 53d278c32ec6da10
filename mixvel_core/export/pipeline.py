"""The pipeline of an exported folder. Loaded by diffusers, which takes seconds: import it late."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from attrs import evolve
from diffusers import DiffusionPipeline, ImagePipelineOutput
from PIL import Image
from torch import Tensor

from mixvel_core.data.pictures import is_image
from mixvel_core.errors import UsageError
from mixvel_core.export.components import CodecPart, ExpertsPart, RouterPart, SamplerPart, SchedulePart
from mixvel_core.export.conditions import ClassLabels, Conditions, condition_for
from mixvel_core.export.parts import ExportedParts, open_exported
from mixvel_core.export.seeds import seeds_of
from mixvel_core.pipeline.opened import Run, Slot
from mixvel_core.sampling.sampler import Sampler

OutputType: TypeAlias = Literal["pil", "np", "pt", "raw", "latent"]


class MixvelPipeline(DiffusionPipeline):  # type: ignore[misc]  # diffusers is followed by no checker: its imports take seconds
    """Samples of a mixture of experts: ``DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder,
    trust_remote_code=True)``.

    ``resident_experts``: most experts in memory at once; as exported if None.
    """

    _optional_components = ["router", "codec"]  # noqa: RUF012  # diffusers' own declaration

    def __init__(
        self,
        experts: ExpertsPart,
        schedule: SchedulePart,
        sampler: SamplerPart,
        router: RouterPart | None = None,
        codec: CodecPart | None = None,
        resident_experts: int | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(experts=experts, router=router, schedule=schedule, sampler=sampler, codec=codec)
        self.register_to_config(resident_experts=resident_experts)
        self._opened: dict[str, Run] = {}

    def sampler_of(
        self,
        *,
        num_inference_steps: int | None = None,
        selector: Slot | None = None,
        integrator: Slot | None = None,
        grid: str | Sequence[float] | Mapping[str, float] | None = None,
        guidance: Slot | float | None = None,
    ) -> Sampler:
        """The sampler that a call with these arguments goes by, on the pipeline's device.

        Raises UsageError where the pipeline's type is neither float32 nor bfloat16.
        """
        dtype = self.experts.dtype
        if dtype not in (torch.float32, torch.bfloat16):
            raise UsageError(f"networks compute in float32 or, by autocast, in bfloat16, and not in {dtype}")
        made = self._run().sampler(
            selector=selector,
            integrator=integrator,
            monolith=self.router is None,
            steps=num_inference_steps,
            grid=grid,
            guidance=guidance,
            device=self.experts.device,
        )
        return evolve(made, autocast=True) if dtype is torch.bfloat16 else made

    def _run(self) -> Run:
        """The run of the parts, opened again where they have changed or moved."""
        experts, router = self.experts, self.router
        parts = ExportedParts(
            experts=experts.folder,
            router=None if router is None else router.folder,
            schedule=self.schedule.folder,
            sampler=self.sampler.folder,
            codec=None if self.codec is None else self.codec.folder,
        )
        place = f"{experts.device} {parts}"
        if place not in self._opened:
            # One at a time: what was loaded for another device would stay in its memory.
            self._opened = {place: open_exported(parts, resident_experts=self.config.resident_experts)}
        return self._opened[place]

    def __call__(
        self,
        batch_size: int = 1,
        *,
        num_inference_steps: int | None = None,
        seed: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        class_labels: ClassLabels | None = None,
        condition: Conditions | None = None,
        guidance_scale: float | None = None,
        guidance: Slot | None = None,
        selector: Slot | None = None,
        integrator: Slot | None = None,
        grid: str | Sequence[float] | Mapping[str, float] | None = None,
        output_type: OutputType | None = None,
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[list[Image.Image] | np.ndarray | Tensor]:
        """Samples 0 to ``batch_size - 1`` of a seed, those of ``mixvel sample --seed``.

        Args:
            batch_size: how many; those that are moved together are as many as the run moved.
            num_inference_steps: N, as exported if None.
            seed: of noise and selections; drawn from ``generator``, or from torch's own, if None.
            generator: one that is fresh stands for its own seed; a list of them, one for each sample, gives sample 0
                of each.
            class_labels: classes by number or name, one for each sample or one for all.
            condition: of runs with other conditions than a class, values by name; ``null``: none. Where nothing is
                given, samples have those of ``mixvel sample``.
            guidance_scale: w of classifier-free guidance.
            guidance: another guidance, as a recipe writes it.
            selector, integrator, grid: in place of those exported, as a recipe writes them.
            output_type: ``pil``, or ``np``, (B, H, W, C), or ``pt``, (B, C, H, W), in [0, 1]; ``raw``: the items as
                they are, (B, *data); ``latent``: as the experts sample them, which is another thing where there is a
                codec. None: ``pil`` for images, else ``raw``.
            return_dict: an ``ImagePipelineOutput``, or a tuple of its only element.

        Returns:
            The samples, as ``images``.

        Raises:
            UsageError: an argument is none of these.
            MixvelError: the folder is damaged, or a package is missing.
        """
        if guidance_scale is not None and guidance is not None:
            raise UsageError("guidance_scale is that of guidance cfg; give it or a guidance, not both")
        made = self.sampler_of(
            num_inference_steps=num_inference_steps,
            selector=selector,
            integrator=integrator,
            grid=grid,
            guidance=guidance_scale if guidance is None else guidance,
        )
        if isinstance(condition, str):
            made = evolve(made, guidance=None)  # There is no condition to lead to.
        run = self._run()
        shape = made.shape if run.shards.codec is None else run.shards.codec.shape
        kind = _output_type(output_type, shape)
        seeds = seeds_of(seed, generator, batch_size)
        first = seeds if isinstance(seeds, int) else seeds[0]
        given = condition_for(run, made, batch_size, seed=first, class_labels=class_labels, condition=condition)
        with self.progress_bar(total=batch_size * made.steps) as bar:

            def on_step(done: int) -> None:
                bar.update(done - bar.n)

            if isinstance(seeds, int):
                batch = run.recipe.sample.batch
                x = made.sample(batch_size, condition=given, seed=seeds, batch=batch, on_step=on_step).x
            else:
                rows = [None if given is None else given.rows(slice(i, i + 1)) for i in range(batch_size)]
                parts = [made.sample(1, condition=c, seed=one).x for one, c in zip(seeds, rows, strict=True)]
                x = torch.cat(parts)
                on_step(batch_size * made.steps)
        images = x if kind == "latent" else _output(run.decode(x), kind)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Copies the folder that the pipeline was loaded from. Raises UsageError where something is there."""
        if Path(save_directory).exists():
            raise UsageError(f"{save_directory}: is there already; choose another folder")
        shutil.copytree(self.experts.folder.parent, save_directory)


def _output_type(wanted: OutputType | None, shape: tuple[int, ...] | None) -> OutputType:
    drawn = shape is not None and is_image(shape)
    kind: OutputType = wanted or ("pil" if drawn else "raw")
    if kind not in get_args(OutputType):
        raise UsageError(f"output_type {kind!r} is not known; there are {', '.join(get_args(OutputType))}")
    if kind in ("pil", "np", "pt") and not drawn:
        raise UsageError(f"samples of shape {shape} are no images of 1 or 3 channels; take output_type='raw'")
    return kind


def _output(x: Tensor, kind: OutputType) -> list[Image.Image] | np.ndarray | Tensor:
    if kind == "raw":
        return x
    pixels = (x.float() / 2 + 0.5).clamp(0, 1)
    if kind == "pt":
        return pixels
    array: np.ndarray = pixels.permute(0, 2, 3, 1).cpu().numpy()
    if kind == "np":
        return array
    made: list[Image.Image] = DiffusionPipeline.numpy_to_pil(array)
    return made
