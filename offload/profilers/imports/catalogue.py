"""The tools whose traces can be imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from offload.errors import OffloadError
from offload.profilers.imports.base import ToolName, TraceReader
from offload.profilers.imports.onnxruntime import OnnxRuntimeReader
from offload.profilers.imports.torch_trace import TorchReader
from offload.profilers.imports.trtexec import TrtexecReader

READERS: Mapping[ToolName, TraceReader] = {
    "trtexec": TrtexecReader(),
    "onnxruntime": OnnxRuntimeReader(),
    "torch": TorchReader(),
}


def tool_of(document: object, tool: ToolName | None, *, source: Path) -> ToolName:
    """What wrote a document: the tool that was named, or the one whose reader recognises it.

    Raises:
        OffloadError: it is not the named tool's, or none recognises it.
    """
    found = next((name for name, reader in READERS.items() if reader.recognises(document)), None)
    if found is None:
        raise OffloadError(
            f"{source} is JSON, but no trace that can be imported",
            hint="trtexec --exportProfile, ONNX Runtime's enable_profiling and torch's export_chrome_trace write one",
        )
    if tool is not None and found != tool:
        raise OffloadError(f"{source} is a trace of {found}, not of {tool}", hint="leave out --tool")
    return found
