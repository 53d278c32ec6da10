"""The Python files of an exported folder. They hold no code of their own but imports of mixvel."""

from __future__ import annotations

MODULE, CLASS_NAME = "pipeline", "MixvelPipeline"

_MISSING = "this pipeline needs mixvel, which is not installed: see `How to load it` in README.md"


def _importing(module: str, name: str, docstring: str) -> str:
    return f'''"""{docstring}"""

try:
    from {module} import {name}
except ModuleNotFoundError as error:
    if (error.name or "").startswith("mixvel"):
        raise ImportError("{_MISSING}") from error
    raise

__all__ = ["{name}"]
'''


def pipeline_file() -> str:
    """``pipeline.py``, which diffusers loads."""
    return _importing("mixvel_core.export.pipeline", CLASS_NAME, "Samples of a mixture of experts, by mixvel.")


def component_file(part: str) -> str:
    """The file that diffusers loads a part by: on the Hub it takes classes from files beside them alone."""
    name = f"{part.capitalize()}Part"
    return _importing("mixvel_core.export.components", name, f"The {part} of this pipeline, read by mixvel.")
