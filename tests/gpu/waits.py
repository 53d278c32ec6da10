"""How often a loop waits for the device, counted by torch's profiler as the difference of two lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

SHORT, LONG = 3, 9
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
KERNELS = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")


def device_waits(work: Callable[[int], object], device: torch.device) -> dict[str, float]:
    """Calls that one more step makes: ``work`` is done for SHORT and for LONG steps, and the rest cancels.

    On a CPU there is nothing to wait for; numbers read by Python show where a GPU would be waited for.
    """
    work(SHORT)
    few, many = _events(work, SHORT, device), _events(work, LONG, device)
    steps = LONG - SHORT

    def each(*names: str) -> float:
        return (sum(many[n] for n in names) - sum(few[n] for n in names)) / steps

    found = {"numbers read by Python": each("aten::_local_scalar_dense")}
    if device.type == "cuda":
        copies = [name for name in many if name.startswith("Memcpy")]
        found["waits"] = each(*WAITS)
        found["copies to the host"] = each(*(name for name in copies if "DtoH" in name))
        found["copies to the device"] = each(*(name for name in copies if "HtoD" in name))
        found["kernels launched"] = each(*KERNELS)
    return found


def _events(work: Callable[[int], object], steps: int, device: torch.device) -> Counter[str]:
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as profiled:
        work(steps)
        if device.type == "cuda":
            torch.cuda.synchronize()
    return Counter({event.key: event.count for event in profiled.key_averages()})
