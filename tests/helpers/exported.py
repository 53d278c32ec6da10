"""The pipeline of an exported folder in the process of a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixvel_core.export.components import CodecPart, ExpertsPart, RouterPart, SamplerPart, SchedulePart
from mixvel_core.export.pipeline import MixvelPipeline


def pipeline(folder: Path) -> Any:
    """As ``from_pretrained`` puts it together, without its copies of modules."""
    router, codec = folder / "router", folder / "codec"
    made = MixvelPipeline(
        experts=ExpertsPart(folder / "experts"),
        router=RouterPart(router) if router.exists() else None,
        schedule=SchedulePart(folder / "schedule"),
        sampler=SamplerPart(folder / "sampler"),
        codec=CodecPart(codec) if codec.exists() else None,
    )
    made.set_progress_bar_config(disable=True)
    return made
