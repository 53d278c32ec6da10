"""The kit turned on broken components: what one check says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import pytest

from mixvel_core.errors import ConformanceError
from mixvel_core.plugin.kinds import Kind
from mixvel_core.testing import checks_of


def require_complaint(kind: Kind, check: str, component: object) -> None:
    """Passes if the check called ``check`` refuses the component, in one line and with a remedy; "": if none does."""
    if not check:
        assert failures(kind, component) == {}
        return
    (found,) = [one for one in checks_of(kind) if one.name == check]
    with pytest.raises(ConformanceError) as raised:
        found.run(component)
    assert raised.value.what
    assert raised.value.fix
    assert "\n" not in str(raised.value)


def failures(kind: Kind, component: object) -> dict[str, str]:
    """All that the checks of a kind say of a component, by the name of the check."""
    said = {}
    for check in checks_of(kind):
        try:
            check.run(component)
        except ConformanceError as error:
            said[check.name] = str(error)
    return said


Mutant: TypeAlias = tuple[str, object, str]
"""What is wrong, the broken component, and the check that must catch it; "" for a sound one."""


def each_mutant(tables: Mapping[Kind, Sequence[Mutant]]) -> pytest.MarkDecorator:
    """Runs a test of ``kind``, ``component`` and ``check`` for each row of the tables."""
    rows = [pytest.param(kind, *row[1:], id=f"{kind}: {row[0]}") for kind, table in tables.items() for row in table]
    return pytest.mark.parametrize(("kind", "component", "check"), rows)


def spoilt(sound: Any, **methods: Any) -> Any:
    """A component like ``sound`` but for some methods, each a function of self and the method's arguments."""
    made: Any = type("Spoilt", (type(sound),), methods)
    return made(**attrs.asdict(sound, recurse=False))
