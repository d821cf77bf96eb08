"""Which meter fits a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from offload.errors import UsageError
from offload.profilers.energy.base import Meter, NoMeterError
from offload.profilers.energy.jetson import JetsonMeter
from offload.profilers.energy.nvml import NvmlMeter
from offload.profilers.energy.rapl import RaplMeter

MeterName = Literal["auto", "nvml", "rapl", "jetson", "none"]
METER_NAMES: tuple[MeterName, ...] = get_args(MeterName)


def open_meter(name: str, device: str) -> Meter | None:
    """The meter of that name for a device; for `auto` the first that fits and can be read, None when none can.

    Args:
        name: One of METER_NAMES.
        device: `cpu`, or `cuda:N`.

    Raises:
        UsageError: there is no such meter, or it does not measure the device.
        NoMeterError: the named meter is not here or cannot be read.
    """
    if name not in METER_NAMES:
        raise UsageError(f"there is no meter {name!r}", hint="meters: " + ", ".join(METER_NAMES))
    if name == "none":
        return None
    fitting = _fitting(device)
    if name != "auto":
        if name not in fitting:
            raise UsageError(
                f"--meter {name} does not measure {device}", hint=f"for {device}: auto, none, " + ", ".join(fitting)
            )
        return fitting[name]()
    for opened in fitting.values():
        try:
            return opened()
        except NoMeterError:
            continue
    return None


def _fitting(device: str) -> dict[str, Callable[[], Meter]]:
    """Meters that include what the device draws, the closest first: a Jetson's rails feed its GPU, too."""
    if device.startswith("cuda"):
        return {"nvml": lambda: _nvml(device), "jetson": JetsonMeter}
    return {"rapl": RaplMeter, "jetson": JetsonMeter}


def _nvml(device: str) -> NvmlMeter:
    """The meter of the GPU that torch calls by this name; CUDA may number GPUs in an order of its own."""
    import torch

    index = int(device.partition(":")[2] or 0)
    uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}" if torch.cuda.is_available() else None
    return NvmlMeter(index=index, uuid=uuid)
