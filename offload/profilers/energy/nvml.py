"""NVIDIA GPUs: the energy counter and the power sensor of the driver's management library (NVML).

`nvmlDeviceGetTotalEnergyConsumption` counts millijoules since the driver was loaded (Volta and later);
`nvmlDeviceGetPowerUsage` is milliwatts of the whole board. Both are in NVML's API reference, "Device Queries".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, Self

from offload.profilers.energy.base import Clock, CounterReader, MeterLostError, NoMeterError, PowerIntegrator

_J_PER_MJ = 1e-3
_W_PER_MW = 1e-3


class NvmlMeter:
    """One GPU's counter, with its power integrated beside it; that alone where the GPU does not count."""

    name = "nvml"

    def __init__(
        self, *, index: int = 0, uuid: str | None = None, nvml: Any = None, clock: Clock = time.monotonic
    ) -> None:
        """Find the GPU.

        Args:
            index: Which one in NVML's order, that of the PCI bus.
            uuid: Which one by its identity, `GPU-…`, whatever CUDA calls it; None goes by the index.
            nvml: The `pynvml` module, or one that behaves alike.
            clock: When a reading was taken.

        Raises:
            NoMeterError: no driver, no such GPU, or one that tells neither energy nor power.
        """
        if nvml is None:
            import pynvml

            nvml = pynvml
        self._nvml = nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            raise NoMeterError(f"NVML: {error}", hint="install the NVIDIA driver, or declare --power") from error
        try:
            self._open(index, uuid, clock)
        except BaseException:
            nvml.nvmlShutdown()
            raise

    def _open(self, index: int, uuid: str | None, clock: Clock) -> None:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid) if uuid else nvml.nvmlDeviceGetHandleByIndex(index)
            board = nvml.nvmlDeviceGetName(handle)
        except nvml.NVMLError as error:
            raise NoMeterError(f"NVML, {uuid or f'GPU {index}'}: {error}", hint="declare --power instead") from error
        counts = self._supported(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        senses = self._supported(nvml.nvmlDeviceGetPowerUsage, handle)
        if not counts and not senses:
            raise NoMeterError(f"{board} tells NVML neither energy nor power", hint="declare --power instead")
        self.source: Literal["counter", "integrated"] = "counter" if counts else "integrated"
        self.sensor = f"{board}, NVML {'energy counter' if counts else 'power'}"
        self._clock = clock
        self._read_j = self._reader(nvml.nvmlDeviceGetTotalEnergyConsumption, handle, _J_PER_MJ)
        read_w = self._reader(nvml.nvmlDeviceGetPowerUsage, handle, _W_PER_MW)
        self._counter: CounterReader | None = None
        self._integrator = PowerIntegrator(read_w, sensor=f"{board}, NVML power", clock=clock) if senses else None

    def reading(self) -> float:
        """See `Meter.reading`."""
        if self.source == "counter" or self._integrator is None:
            return self._read_j()
        return self._integrator.power_w()

    def energy_j(self) -> float:
        """See `Meter.energy_j`."""
        if self._counter is not None:
            return self._counter.energy_j()
        return self._integrator.energy_j() if self._integrator is not None else 0.0

    def integrated_j(self) -> float | None:
        """See `Meter.integrated_j`."""
        if self._counter is None or self._integrator is None:
            return None
        return self._integrator.energy_j()

    def __enter__(self) -> Self:
        """See `Meter`."""
        if self.source == "counter":
            self._counter = CounterReader(self._read_j, sensor=self.sensor, clock=self._clock)
        if self._integrator is not None:
            self._integrator.start()
        return self

    def __exit__(self, *unused: object) -> None:
        """See `Meter`."""
        if self._integrator is not None:
            self._integrator.stop()
        self._nvml.nvmlShutdown()

    def _supported(self, query: Callable[[Any], int], handle: Any) -> bool:
        nvml = self._nvml
        try:
            query(handle)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
                return False
            raise NoMeterError(f"NVML: {error}", hint="declare --power instead") from error
        return True

    def _reader(self, query: Callable[[Any], int], handle: Any, factor: float) -> Callable[[], float]:
        def read() -> float:
            try:
                return query(handle) * factor
            except self._nvml.NVMLError as error:
                raise MeterLostError(
                    f"NVML stopped to answer: {error}", hint="see dmesg for the GPU's errors, then profile again"
                ) from error

        return read
