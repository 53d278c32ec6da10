"""The kit turned on broken components: what one check says of them."""

from __future__ import annotations

import pytest

from mixvel_core.errors import ConformanceError
from mixvel_core.plugin.kinds import Kind
from mixvel_core.testing import checks_of


def complaint(kind: Kind, check: str, component: object) -> str:
    """What the check called ``check`` says of a component that it must refuse."""
    (found,) = [one for one in checks_of(kind) if one.name == check]
    with pytest.raises(ConformanceError) as raised:
        found.run(component)
    assert raised.value.what
    assert raised.value.fix
    assert "\n" not in str(raised.value)
    return str(raised.value)


def failures(kind: Kind, component: object) -> dict[str, str]:
    """All that the checks of a kind say of a component, by the name of the check."""
    said = {}
    for check in checks_of(kind):
        try:
            check.run(component)
        except ConformanceError as error:
            said[check.name] = str(error)
    return said
