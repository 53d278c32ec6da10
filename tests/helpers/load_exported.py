"""Run as a program: loads an exported folder by diffusers where some packages cannot be imported, and keeps what it
samples in a file. Arguments: the folder, another one of vectors, the file, and the packages by comma."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class Without:
    """A finder that finds nothing of the packages that are blocked."""

    def __init__(self, finder: Any, blocked: frozenset[str]) -> None:
        self.finder = finder
        self.blocked = blocked

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        return None if name.partition(".")[0] in self.blocked else self.finder.find_spec(name, path, target)

    def find_distributions(self, *arguments: Any) -> Any:
        found = vars(type(self.finder)).get("find_distributions") or vars(self.finder).get("find_distributions")
        return () if found is None else self.finder.find_distributions(*arguments)


def import_what_samples() -> None:
    """Imports the module of every plugin that takes part in sampling."""
    from mixvel_core.plugin.definition import Target
    from mixvel_core.plugin.discovery import load_registry

    kinds = ("schedule", "expert", "router", "selector", "integrator", "guidance", "codec")
    for entry in load_registry().entries():
        if entry.kind in kinds and isinstance(entry.definition.build, Target):
            import_module(entry.definition.build.path.partition(":")[0])


def fake_hub(folder: Path, cache: Path) -> None:
    """Gives diffusers ``folder`` for whatever repository it asks: what it lists, and of its files those that it asks
    for, in ``cache``."""
    from diffusers.pipelines import pipeline_utils
    from diffusers.utils import dynamic_modules_utils

    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]

    def fetch(name: str) -> str:
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, cache / name)
        return str(cache / name)

    def info(repo: str, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names], sha="0" * 40)

    def download(repo: str, filename: str, **options: Any) -> str:
        return fetch(filename)

    def snapshot(repo: str, *, allow_patterns: list[str], ignore_patterns: list[str], **options: Any) -> str:
        for name in names:
            wanted, unwanted = (any(fnmatch(name, one) for one in few) for few in (allow_patterns, ignore_patterns))
            if wanted and not unwanted:
                fetch(name)
        return str(cache)

    for module in (pipeline_utils, dynamic_modules_utils):
        vars(module).update(model_info=info, hf_hub_download=download)
    vars(pipeline_utils)["snapshot_download"] = snapshot


def main(folder: str, vectors: str, file: str, packages: str) -> None:
    blocked = frozenset(packages.split(","))
    finders: list[MetaPathFinder] = [Without(finder, blocked) for finder in sys.meta_path]  # type: ignore[misc]  # they are one in all that is used
    sys.meta_path[:] = finders
    import numpy as np
    import torch
    from diffusers import DiffusionPipeline, UNet2DModel

    torch.set_num_threads(1)
    made: dict[str, Any] = {}
    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    made["raw"] = pipe(5, num_inference_steps=3, seed=4, output_type="raw").images
    made["np"] = pipe(5, num_inference_steps=3, seed=4, output_type="np").images
    made["pt"] = pipe(5, num_inference_steps=3, seed=4, output_type="pt", return_dict=False)[0]
    made["pil"] = np.stack([np.asarray(one) for one in pipe(5, num_inference_steps=3, seed=4).images])
    fresh = torch.Generator().manual_seed(4)
    made["generator"] = pipe(5, num_inference_steps=3, generator=fresh, output_type="raw").images
    made["generator again"] = pipe(5, num_inference_steps=3, generator=fresh, output_type="raw").images
    made["mixture"] = pipe(5, seed=4, selector="mixture", integrator="heun", output_type="raw").images
    each = [torch.Generator().manual_seed(seed) for seed in (4, 7)]
    made["each"] = pipe(2, num_inference_steps=3, generator=each, output_type="raw").images

    # The same with room for one expert, by the class that model_index.json names, and saved again.
    again = Path(file).with_name("saved")
    pipe.save_pretrained(again)
    few = DiffusionPipeline.from_pretrained(again, trust_remote_code=True, resident_experts=1)
    few.set_progress_bar_config(disable=True)
    made["few"] = few(5, num_inference_steps=3, seed=4, output_type="raw").images
    half = DiffusionPipeline.from_pretrained(
        folder, custom_pipeline=folder, trust_remote_code=True, torch_dtype=torch.bfloat16
    )
    half.set_progress_bar_config(disable=True)
    made["half"] = half(5, num_inference_steps=3, seed=4, output_type="raw").images

    # There is no other device everywhere, and on this one nothing can be computed.
    made["moved"] = np.array(str(half.to("meta").device))

    network = UNet2DModel.from_pretrained(folder, subfolder="experts/0")
    x, t = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8), torch.tensor([0.3, 0.8])
    with torch.no_grad():
        made["network"] = network(x, 1000.0 * t).sample

    fake_hub(Path(folder), Path(file).with_name("fetched"))
    fetched = DiffusionPipeline.from_pretrained("owner/name", custom_pipeline="owner/name", trust_remote_code=True)
    fetched.set_progress_bar_config(disable=True)
    made["hub"] = fetched(5, num_inference_steps=3, seed=4, output_type="raw").images

    other = DiffusionPipeline.from_pretrained(vectors, custom_pipeline=vectors, trust_remote_code=True)
    other.set_progress_bar_config(disable=True)
    made["vectors"] = other(5, seed=4).images
    import_what_samples()
    kept = {name.replace(" ", "_"): np.asarray(value) for name, value in made.items()}
    kept["imported"] = np.array(sorted({name.partition(".")[0] for name in sys.modules}))
    np.savez(file, **kept)  # type: ignore[arg-type]  # its types take every name for its own option


if __name__ == "__main__":
    main(*sys.argv[1:])
