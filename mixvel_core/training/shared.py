"""Whether an expert's options ask for one network for all shards. Free of torch, as recipes need it."""

from __future__ import annotations


def is_shared(options: object) -> bool:
    """Whether the option ``shared`` is there and true, which is how a ``SharedFamily`` is asked to be one."""
    return getattr(options, "shared", False) is True
