"""Where the levels of noise of a pipeline's two networks part: boundary_ratio as a time of a recipe's schedule."""

from __future__ import annotations

from pathlib import Path

import torch

from mixvel_core.errors import DataError
from mixvel_core.field.angle import match_snr
from mixvel_core.plugin.definition import ScheduleUse
from mixvel_foreign.folders import check_there, scheduler_file
from mixvel_foreign.levels import INDEX, RATIO, levelled_folder
from mixvel_foreign.scheduler import training_of
from mixvel_networks.weight_files import read_json_of

_DIGITS = 9
"""Of a boundary: entries of a table stay what they are, and a recipe the same on every machine."""


def boundaries_of(path: Path, scheduler: Path | None, schedule: ScheduleUse) -> tuple[float, ...] | None:
    """The time of ``schedule`` at which the levels of a folder's two networks part, as a list of one.

    boundary_ratio counts the timesteps of the folder's own training; under another schedule the same signal-to-noise
    ratio has another time.

    Args:
        path: the pipeline's folder.
        scheduler: where the scheduler's configuration is, if not in the folder.
        schedule: the recipe's.

    Returns:
        (t,), 0 < t < 1; None where the folder has one network, or no ratio.

    Raises:
        AbsentError: there is no such folder, or no scheduler's configuration.
        DataError: the ratio parts no timesteps, or none of this schedule.
    """
    check_there(path)
    folder = levelled_folder(path)
    if folder is None or folder.ratio is None:
        return None
    ratio, where = folder.ratio, f"{path / INDEX}: {RATIO} {folder.ratio!r:.60}"
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio < 1:
        raise DataError(f"{where} is no number above 0 and below 1; put back what diffusers wrote")
    file = scheduler_file(path, scheduler)
    training = training_of(read_json_of(file), str(file), clip=False)
    if training.style == "edm":
        raise DataError(f"{where} counts timesteps, and EDM has none; remove it, and give `boundaries`")
    # Entry j of a table, counted from 0, lies at t = (j + 1) / T.
    first = 1.0 if training.style == "table" else 0.0
    own = (ratio * training.length + first) / training.length
    met = match_snr(training.schedule, schedule.build(), torch.tensor([min(own, 1.0)], dtype=torch.float64))
    t = round(float(met.t), _DIGITS)
    if not (own < 1.0 and 0.0 < t < 1.0):
        raise DataError(
            f"{where} leaves one of the networks no times of schedule {schedule.name}; name the folder of the other"
        )
    return (t,)
