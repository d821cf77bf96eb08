"""What measures the layers of one run: each runtime has its own way, and all answer alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from offload.errors import OffloadError
from offload.models.executed import ExecutedBlock
from offload.models.loaded import LoadedModel, LoadedOnnxModel, LoadedTorchModel
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime

if TYPE_CHECKING:
    from offload.runtimes.base import Array


@dataclass(frozen=True, kw_only=True)
class GroupTimes:
    """Layers that were executed as a unit, and how long that took."""

    layers: tuple[int, ...]
    """Indices into the graph's layers; each layer is in exactly one group."""
    kernels: int
    """Kernels the runtime executed for them; 0 when they were optimised away."""
    samples_s: Sequence[float]
    """One for every run, in order."""


class InstrumentedSession(Protocol):
    """A loaded model whose every run is timed layer by layer."""

    def run(self, feeds: Mapping[str, Array]) -> int:
        """Run once and say which run it was, from 0; the outputs are not looked at.

        Raises:
            OffloadError: the model cannot be run.
        """

    def finish(self) -> tuple[GroupTimes, ...]:
        """The times of all runs; the session cannot be used afterwards.

        Raises:
            OffloadError: not every layer was timed in every run.
        """


def instrumented(model: LoadedModel, runtime: Runtime, *, threads: int, folder: Path) -> InstrumentedSession:
    """The model loaded in the runtime with its instrument on; files it needs are written to `folder`.

    Raises:
        OffloadError: the runtime cannot load the model.
    """
    if isinstance(runtime, OnnxRuntime) and isinstance(model, LoadedOnnxModel):
        from offload.profilers.kernels import InstrumentedOnnxSession

        return InstrumentedOnnxSession(model, runtime, threads=threads, folder=folder)
    if isinstance(runtime, TorchRuntime) and isinstance(model, LoadedTorchModel):
        from offload.profilers.torch_layers import InstrumentedTorchSession

        return InstrumentedTorchSession(model, runtime, threads=threads)
    raise OffloadError(f"{runtime.name} cannot run this form of {model.name}", hint="use the other runtime")


def executed_blocks(model: LoadedModel, runtime: Runtime, *, threads: int) -> tuple[ExecutedBlock, ...]:
    """What the runtime would execute for a model, which is loaded and not run; no GPU is needed for torch on one.

    Raises:
        OffloadError: the runtime cannot load the model, or does not tell what it executes.
    """
    if isinstance(runtime, OnnxRuntime) and isinstance(model, LoadedOnnxModel):
        from offload.profilers.kernels import executed_blocks

        return executed_blocks(model, runtime, threads=threads)
    if isinstance(runtime, TorchRuntime) and isinstance(model, LoadedTorchModel) and not runtime.compiled:
        from offload.models.torch_kernels import executed_layers

        return executed_layers(model.program)
    raise OffloadError(
        f"{runtime.name} does not tell what it would execute for {model.name}", hint="profile the model itself"
    )
