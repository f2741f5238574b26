"""Clock, temperature, power and throttling of an NVIDIA device, read with nvidia-ml-py where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

SLOWED = {
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


@dataclass(frozen=True)
class Reading:
    """The state of a device at one moment: MHz, degrees Celsius, watts, and the reasons that throttle its clock."""

    clock: float
    temperature: float
    power: float
    throttled: tuple[str, ...]


class Telemetry:
    """Reads one device. `read` returns None when that is not an NVIDIA device, or nvidia-ml-py is not installed.

    It never changes a clock. To lock one yourself, run `nvidia-smi --lock-gpu-clocks=MHZ` as root.
    """

    def __init__(self, device: torch.device) -> None:
        self.nvml: Any = None
        if device.type != "cuda" or torch.version.cuda is None:
            return
        try:
            import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]

            pynvml.nvmlInit()
            uuid = torch.get_device_module(device).get_device_properties(device).uuid
            self.handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            self.nvml = pynvml
        except Exception:  # no library, driver or permission: timing works without telemetry
            return

    def read(self) -> Reading | None:
        nvml = self.nvml
        if nvml is None:
            return None
        try:
            reasons = nvml.nvmlDeviceGetCurrentClocksEventReasons(self.handle)
            return Reading(
                clock=float(nvml.nvmlDeviceGetClockInfo(self.handle, nvml.NVML_CLOCK_SM)),
                temperature=float(nvml.nvmlDeviceGetTemperature(self.handle, nvml.NVML_TEMPERATURE_GPU)),
                power=nvml.nvmlDeviceGetPowerUsage(self.handle) / 1e3,
                throttled=tuple(name for bit, name in SLOWED.items() if reasons & bit),
            )
        except nvml.NVMLError:
            return None
