"""Imports: profiles from the traces of other tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.models import identity_of, load
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.environment import MOST_THREADS
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.profilers.imports.base import ToolName

_LONGEST_NAME = 64
_LONGEST_TOTAL_S = 1e6


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What `import` is asked for."""

    trace: Path
    """What the tool wrote."""
    model: str
    """What the trace is of, as `ProfileRequest.model`."""
    tool: ToolName | None = None
    """What wrote the trace; None looks."""
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Input shapes by name, as the model ran."""
    batch: int = 1
    weights: Path | None = None
    device: str | None = None
    """A name for where it ran; None takes what the trace tells."""
    threads: int | None = None
    """On how many threads it ran; None takes what the trace tells, or 1."""
    total_s: float | None = None
    """What the whole model takes without a profiler, in seconds: layers are closed against it; None leaves them."""


def import_trace(request: ImportRequest, *, workspace: Workspace, progress: Progress | None = None) -> Profile:
    """A profile from the trace that another tool recorded of a model.

    Raises:
        OffloadError: the file is no trace, or not of that model.
    """
    from offload.profilers.imports.catalogue import READERS, tool_of
    from offload.profilers.imports.document import read_document
    from offload.profilers.imports.profile import imported_profile
    from offload.runtimes.onnxruntime import OnnxRuntime
    from offload.runtimes.torch import TorchRuntime

    progress = progress or NullProgress()
    device = request.device
    if device is not None and not (device.isprintable() and 0 < len(device.strip()) <= _LONGEST_NAME):
        raise UsageError("--device is no name", hint="write it like --device cuda:0 or --device jetson-nano")
    if request.threads is not None and not 1 <= request.threads <= MOST_THREADS:
        raise UsageError(f"--threads {request.threads} is not possible", hint="leave --threads out")
    if request.total_s is not None and not 0 < request.total_s <= _LONGEST_TOTAL_S:
        raise UsageError(f"--total {request.total_s:g}s is not possible", hint="write it like --total 12.5ms")
    document = read_document(request.trace)
    tool = tool_of(document, request.tool, source=request.trace)
    takes_torch = READERS[tool].takes_torch
    if takes_torch and Path(request.model).suffix == ".onnx":
        raise OffloadError(
            f"{request.trace} is a trace of {tool}, whose operators are a module's, not those of {request.model}",
            hint="name the module that ran, as package.module:callable",
        )
    model = load(
        request.model,
        TorchRuntime() if takes_torch else OnnxRuntime(),
        inputs=request.inputs,
        batch=request.batch,
        weights=request.weights,
        precision="fp32",
        workspace=workspace,
        progress=progress,
    )
    return imported_profile(
        document,
        tool,
        model,
        identity_of(model, inputs=request.inputs, weights=request.weights),
        source=request.trace,
        device=device,
        threads=request.threads,
        total_s=request.total_s,
    )
