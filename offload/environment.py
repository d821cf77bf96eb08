"""What ran: software versions, processor and threads, recorded in every artifact."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from offload.errors import UsageError

_Answer = TypeVar("_Answer")
MOST_THREADS = 1024
"""Beyond any machine's cores; a pool of very many takes all memory."""
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnx", "torch", "numpy", "tritonclient", "grpcio")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine and software that an artifact was made with."""

    python: str
    system: str
    machine: str
    processor: str
    logical_cores: int
    load_average: float | None
    """Runnable processes over the last minute when the artifact was made; None where the system has no such figure."""
    packages: dict[str, str]
    gpus: tuple[str, ...] = ()
    """NVIDIA GPUs by number, each with its own memory; empty without one, or without a driver that answers."""
    gpu_driver: str | None = None
    """Version of the NVIDIA driver."""


@cache
def processor() -> str:
    """The processor's model name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of packages by name, from their metadata; those that are not installed are left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def current_environment() -> Environment:
    """The environment of this process; reads package metadata and imports none of the packages."""
    try:
        load = round(os.getloadavg()[0], 2)
    except OSError:
        load = None
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        processor=processor(),
        logical_cores=os.cpu_count() or 1,
        load_average=load,
        packages=package_versions(_PACKAGES),
        gpus=_gpus(),
        gpu_driver=_gpu_driver(),
    )


def physical_cores() -> int:
    """Cores without hyper-threads, at least 1: the runtime's usual number of threads."""
    import psutil

    return int(psutil.cpu_count(logical=False) or os.cpu_count() or 1)


def chosen_threads(asked: int | None) -> int:
    """As many threads as were asked for; one for each physical core when nobody asked.

    Raises:
        UsageError: so many would take all memory.
    """
    if asked is not None and asked > MOST_THREADS:
        raise UsageError(f"{asked} threads are more than any machine has cores", hint="leave --threads out")
    return asked or physical_cores()


def has_cuda_device() -> bool:
    """Whether an NVIDIA driver answers and has a GPU."""
    return bool(_gpus())


@cache
def _gpus() -> tuple[str, ...]:
    import pynvml

    def describe(number: int) -> str:
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        name = pynvml.nvmlDeviceGetName(handle)
        try:
            return f"{name}, {pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30:.0f} GiB"
        except pynvml.NVMLError:  # a Jetson's has none of its own
            return str(name)

    return _asked_of_nvml(lambda: tuple(describe(number) for number in range(pynvml.nvmlDeviceGetCount()))) or ()


@cache
def _gpu_driver() -> str | None:
    import pynvml

    return _asked_of_nvml(lambda: str(pynvml.nvmlSystemGetDriverVersion()))


def _asked_of_nvml(question: Callable[[], _Answer]) -> _Answer | None:
    """What NVIDIA's management library answers; None where there is no driver, or it does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return question()
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
