"""Section: one part of the page, a template and what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from mixvel_core.stages.report.inputs import Inputs


@frozen(kw_only=True)
class Section:
    """``anchor``: its id in the page. ``stage``: whose results it shows, as the command line calls it.

    ``template``: a file of ``templates/``, which finds ``content`` under that name. Everything in ``content`` is text
    to be escaped: names come from recipes, provenance from data.
    """

    anchor: str
    title: str
    stage: str
    template: str
    content: object


MakeSection: TypeAlias = Callable[[Inputs], Section | None]
"""How a section is made; None where the run has nothing for it."""
