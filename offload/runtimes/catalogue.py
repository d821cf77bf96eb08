"""The runtimes: which one a user asks for, and which one a profile or plan was made with."""

from __future__ import annotations

import re
from typing import Literal, get_args

from offload.artifacts.profile import Precision, RuntimeIdentity
from offload.environment import has_cuda_device
from offload.errors import OffloadError, UsageError
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime, torch_device

RuntimeName = Literal["onnxruntime", "torch"]
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def choose_runtime(
    name: RuntimeName | None,
    *,
    device: str,
    precision: Precision,
    channels_last: bool,
    compiled: bool,
    onnx_file: bool,
    present: bool = True,
) -> Runtime:
    """The runtime for what a user asks for; it is known to have the device.

    Args:
        name: None takes ONNX Runtime on a CPU and for ONNX files, and torch otherwise: ONNX Runtime's profiler tells
            when a GPU's kernels were launched, not how long they ran.
        device: `cpu`, `cuda` or `cuda:N`.
        precision: Only torch casts a model.
        channels_last: Only torch does that.
        compiled: Only torch does that.
        onnx_file: Whether the model is an ONNX file, which torch cannot run.
        present: Whether anything is to be run; what is only predicted may be about a device that is elsewhere.

    Raises:
        UsageError: the wishes contradict each other.
        OffloadError: the device is not there, or the runtime cannot use it.
    """
    if not _DEVICE.fullmatch(device):
        raise UsageError(f"--device {device}: there is no such device", hint="devices are cpu, cuda and cuda:0")
    wishes = {f"--dtype {precision}": precision != "fp32", "--channels-last": channels_last, "--compile": compiled}
    only_torch = next((wish for wish, asked in wishes.items() if asked), None)
    if name == "onnxruntime" and only_torch:
        raise UsageError(f"{only_torch} needs the torch runtime", hint=f"leave out --runtime or {only_torch}")
    if onnx_file and (name == "torch" or only_torch):
        raise UsageError(
            f"{only_torch or '--runtime torch'}: the torch runtime needs a torch module, not an ONNX file",
            hint="leave it out, or name the module as package.module:callable",
        )
    if present and device != "cpu" and not _has_gpu():
        raise OffloadError(
            f"--device {device}: this machine has no NVIDIA GPU, or its driver does not answer",
            hint="use --device cpu",
        )
    if name is None:
        name = "onnxruntime" if onnx_file or (device == "cpu" and not only_torch) else "torch"
    if name == "torch":
        if present:
            torch_device(device)
        return TorchRuntime(device=device, channels_last=channels_last, compiled=compiled)
    return OnnxRuntime(device="cuda:0" if device == "cuda" else device)


def _has_gpu() -> bool:
    """The driver tells at once, but not on every Jetson; torch does after seconds of loading."""
    if has_cuda_device():
        return True
    import torch

    return torch.cuda.is_available()


def can_run(identity: RuntimeIdentity) -> bool:
    """Whether `runtime_of` knows such a runtime and such a device; a preset's or another tool's is none of ours."""
    return identity.name in get_args(RuntimeName) and _DEVICE.fullmatch(identity.device) is not None


def loading_runtime(identity: RuntimeIdentity) -> Runtime:
    """A runtime that takes the model in the form in which the artifact is about it, whatever it was made with."""
    return TorchRuntime() if identity.name == "torch" else OnnxRuntime()


def runtime_of(identity: RuntimeIdentity) -> Runtime:
    """The runtime that an artifact was made with, on the same device and set up alike.

    Raises:
        OffloadError: this program has no such runtime, or knows no such device.
    """
    if not can_run(identity):
        raise OffloadError(
            f"there is no runtime {identity.name!r} on {identity.device!r} to run a model with",
            hint="make a profile of a device that can be run on: `offload profile MODEL`",
        )
    if identity.name == "onnxruntime":
        return OnnxRuntime(device=identity.device)
    return TorchRuntime(device=identity.device, channels_last=identity.channels_last, compiled=identity.compiled)
