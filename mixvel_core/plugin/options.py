"""Options: the fields of a plugin or a recipe section, each with its type, range, default and one line of doc.

An options class is a frozen, keyword-only attrs class whose fields are made by ``option``. It is the only place
where an option is described: recipes are checked against it, ``mixvel plugins show`` and the docs print it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from attrs import NOTHING, Attribute, frozen


@frozen(kw_only=True)
class OptionCheck:
    """A range an option must lie in: ``text`` says it in words, ``holds`` decides.

    Called by attrs as a validator; None passes, because whether an option may be None is its type's business.
    """

    text: str
    holds: Callable[[Any], bool]

    def __call__(self, instance: object, attribute: Attribute[Any], value: Any) -> None:
        if value is not None and not self.holds(value):
            raise ValueError(f"must be {self.text}, not {value!r}")


def at_least(low: float) -> OptionCheck:
    """Accepts values >= low."""
    return OptionCheck(text=f"at least {low:g}", holds=lambda v: math.isfinite(v) and v >= low)


def above(low: float) -> OptionCheck:
    """Accepts values > low."""
    return OptionCheck(text=f"above {low:g}", holds=lambda v: math.isfinite(v) and v > low)


def between(low: float, high: float) -> OptionCheck:
    """Accepts low <= value <= high."""
    return OptionCheck(text=f"between {low:g} and {high:g}", holds=lambda v: low <= v <= high)


def inside(low: float, high: float) -> OptionCheck:
    """Accepts low < value < high."""
    return OptionCheck(text=f"above {low:g} and below {high:g}", holds=lambda v: low < v < high)


def above_up_to(low: float, high: float) -> OptionCheck:
    """Accepts low < value <= high."""
    return OptionCheck(text=f"above {low:g} and at most {high:g}", holds=lambda v: low < v <= high)


def from_up_to(low: float, high: float) -> OptionCheck:
    """Accepts low <= value < high."""
    return OptionCheck(text=f"at least {low:g} and below {high:g}", holds=lambda v: low <= v < high)


def each(check: OptionCheck) -> OptionCheck:
    """Accepts a non-empty list whose every entry passes ``check``."""
    return OptionCheck(
        text=f"a list, not empty, of values {check.text}",
        holds=lambda v: len(v) > 0 and all(check.holds(e) for e in v),
    )


def option(
    *,
    doc: str,
    default: Any = NOTHING,
    factory: Callable[[], Any] | None = None,
    check: OptionCheck | None = None,
    before: Any = NOTHING,
    matters: bool = True,
) -> Any:
    """One option of a plugin or of a recipe's section.

    Args:
        doc: what it does, in a line.
        default: its value where a recipe leaves it out; without it and ``factory`` a recipe must set it.
        factory: makes the default.
        check: its range.
        before: of an option that was added later, the value that does what was done before there was the option. With
            this value it is left out of the keys of artifacts, so that what was made before stays as it is. Never
            change it, whatever becomes of the default.
        matters: whether anything that is kept depends on it; else it is in no key, and may change at any time.
    """
    metadata = {"doc": doc, "range": check.text if check else "", BEFORE: before, MATTERS: matters}
    if factory is not None:
        return attrs.field(factory=factory, validator=check, metadata=metadata)
    return attrs.field(default=default, validator=check, metadata=metadata)


BEFORE = "before"
"""In the metadata of an attrs field: see ``option``. Without it, or with ``NOTHING``, a value is part of every key."""


MATTERS = "matters"
"""In the metadata of an attrs field: see ``option``."""


def key_values(options: Any) -> Iterator[tuple[str, Any]]:
    """Key and value of those fields of an attrs object that go into the keys of artifacts: not of options that were
    added later and have the value of what was done before, nor of those that nothing depends on."""
    for field in attrs.fields(type(options)):
        value = getattr(options, field.name)
        matters = field.metadata.get(MATTERS, True)
        if field.init and matters and value != field.metadata.get(BEFORE, NOTHING):
            yield option_key(field), value


def option_key(field: Attribute[Any]) -> str:
    """The key of an option in a recipe: the field's name, less an underscore at its end (``from_`` is `from`)."""
    return (field.alias or field.name).removesuffix("_")
