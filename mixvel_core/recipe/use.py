"""The slots of a recipe by the name that its readers know them by; they are ``mixvel_core.plugin.use``."""

from mixvel_core.plugin.use import (
    DataUse,
    ExpertUse,
    IntegratorUse,
    LauncherUse,
    MetricUse,
    PartitionerUse,
    RouterUse,
    ScheduleUse,
    SelectorUse,
    Use,
)

__all__ = [
    "DataUse",
    "ExpertUse",
    "IntegratorUse",
    "LauncherUse",
    "MetricUse",
    "PartitionerUse",
    "RouterUse",
    "ScheduleUse",
    "SelectorUse",
    "Use",
]
