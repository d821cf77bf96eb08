"""The runtimes by name, and the one that a profile or plan was made with."""

from __future__ import annotations

from typing import Literal

from offload.artifacts.profile import RuntimeIdentity
from offload.errors import OffloadError
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime

RuntimeName = Literal["onnxruntime", "torch"]


def runtime_of(identity: RuntimeIdentity) -> Runtime:
    """The runtime that an artifact was made with, on the same device and set up alike.

    Raises:
        OffloadError: this program has none of that name.
    """
    if identity.name == "onnxruntime":
        return OnnxRuntime(device=identity.device)
    if identity.name == "torch":
        return TorchRuntime(device=identity.device, channels_last=identity.channels_last, compiled=identity.compiled)
    raise OffloadError(
        f"there is no runtime {identity.name!r} to run a model with", hint="profile the device with this version"
    )
