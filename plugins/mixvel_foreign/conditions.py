"""What of a sample's condition a network of a diffusers folder reads: which classes, which texts, and their null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import AbsentError, DataError, RecipeError
from mixvel_core.protocols import CLASS, ConditionSpec
from mixvel_foreign.hooks import DiffusersOptions
from mixvel_foreign.network_configs import classes_of, null_class_of, text_width
from mixvel_networks.checked_weights import read_only

TEXT = "text"
NULL_TEXT = "null_text"
"""In an expert's file: the embeddings of no text."""


@frozen(kw_only=True)
class ConditionReading:
    """What the network with the configuration ``model`` reads, by ``options``. ``where``: for errors."""

    options: DiffusersOptions
    model: Mapping[str, Any]
    where: str

    def own(self) -> tuple[ConditionSpec, ...]:
        """The condition, as far as the network itself says what it is; empty where it reads none.

        Raises RecipeError where options and network do not go together.
        """
        self._check()
        if self.options.condition == CLASS:
            null, rows = self.null_class(), classes_of(self.model) or 0
            # The last row is no class of its own where it stands for none.
            return (ConditionSpec(name=CLASS, classes=rows - 1 if null == rows - 1 else rows),)
        if self.options.condition == TEXT:
            found = self.null_text()
            length = self.options.text_length if found is None else len(found)
            return (ConditionSpec(name=TEXT, shape=(length, int(text_width(self.model)))),)
        return ()

    def of_items(self, conditions: Sequence[ConditionSpec]) -> ConditionSpec | None:
        """The condition, as items of a data set have it, or else as the network has it; None where it reads none.

        Raises RecipeError where those of the items are none that it reads.
        """
        own = next(iter(self.own()), None)
        if own is None:
            return None
        found = next((spec for spec in conditions if spec.name == own.name), None)
        if found is None:
            return own
        if own.name == CLASS and not 0 < found.classes <= own.classes:
            raise RecipeError(
                f"{self.where} has classes 0 to {own.classes - 1}, and the condition class of the data "
                f"{found.classes} of them; give labels of its classes"
            )
        width = own.shape[1:]
        if own.name == TEXT and (found.shape[1:] != width or (self.options.null_text and found.shape != own.shape)):
            raise RecipeError(
                f"{self.where} reads embeddings of texts (L, {own.shape[1]}), L = {own.shape[0]} in null_text, and the "
                f"condition text of the data is {found.shape}; give the embeddings of its own text encoder"
            )
        return found

    def null_class(self) -> int | None:
        """The row that stands for no class; None where there is none."""
        return null_class_of(self.model) if self.options.null_class is None else self.options.null_class

    def null_text(self) -> Tensor | None:
        """The embeddings of no text in the file of the options, (L, D) float32; None where they name none."""
        path = self.options.null_text
        if path is None or self.options.condition != TEXT:
            return None
        if not path.is_file():
            raise AbsentError(f"{path}: no such file; save the embeddings of the empty text there, (L, D)")
        found = read_only(path)
        found = found[0] if found.ndim == 3 and len(found) == 1 else found
        if found.ndim != 2 or found.shape[1] != text_width(self.model):
            raise DataError(
                f"{path}: embeddings of shape {tuple(found.shape)}; {self.where} reads (L, {text_width(self.model)})"
            )
        return found.float()

    def label(self, index: int) -> int | None:
        """The one class that expert ``index`` is given; None where it reads that of each sample, or has none."""
        rows = classes_of(self.model)
        if rows is None or self.options.condition == CLASS:
            return None
        label = index if self.options.label is None else self.options.label
        if not 0 <= label < rows:
            raise RecipeError(
                f"{self.where} has classes 0 to {rows - 1}, and {label} is none; name a `label`, or `condition: class`"
            )
        return label

    def network(self, inner: nn.Module, index: int, spec: ConditionSpec | None, null_text: Tensor | None) -> nn.Module:
        """The network of (x, time), or of (x, time, c) where it reads a condition ``spec``."""
        from mixvel_foreign.networks import ClassNetwork, ForeignNetwork, TextNetwork

        if spec is None:
            return ForeignNetwork(inner, label=self.label(index))
        if spec.name == CLASS:
            return ClassNetwork(inner, classes=spec.classes, null=self.null_class())
        return TextNetwork(inner, null=torch.zeros(spec.shape) if null_text is None else null_text)

    def _check(self) -> None:
        """Raises RecipeError where the options name what the network does not read, or leave out what it must have."""
        wanted, rows, width = self.options.condition, classes_of(self.model), text_width(self.model)
        if wanted == CLASS and rows is None:
            raise RecipeError(f"{self.where}: reads no classes; leave `condition` out")
        if wanted == TEXT and width is None:
            raise RecipeError(f"{self.where}: reads no text; leave `condition` out")
        if wanted is None and width is not None:
            raise RecipeError(f"{self.where}: reads a text; set `condition: text`")
        if wanted == CLASS and self.options.label is not None:
            raise RecipeError(f"{self.where}: `label` is one class for all, `condition` each sample's; leave one out")
        for name, value, kind in (
            ("null_class", self.options.null_class, CLASS),
            (NULL_TEXT, self.options.null_text, TEXT),
        ):
            if value is not None and wanted != kind:
                raise RecipeError(f"{self.where}: `{name}` goes with `condition: {kind}`; leave it out, or set that")
        null = self.options.null_class
        if null is not None and rows is not None and null >= rows:
            raise RecipeError(f"{self.where} has classes 0 to {rows - 1}, and null_class {null} is none")
