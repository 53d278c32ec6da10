"""Stage `report`: everything a run found, as one page that needs nothing else, and the same numbers as JSON."""

from mixvel_core.stages.report.stage import Report, report

__all__ = ["Report", "report"]
