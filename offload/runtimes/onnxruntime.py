"""ONNX Runtime on the CPU or a CUDA GPU: one place that says how every session of this project is set up.

Profiles, heads, tails and the server must run under the same settings, or measured times would not carry over.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from offload.artifacts.profile import RuntimeIdentity
from offload.errors import OffloadError
from offload.models.segments import OnnxSegment, Segment
from offload.runtimes.allocator import keep_large_buffers
from offload.runtimes.placement import caller_off, worker_processors

if TYPE_CHECKING:
    import onnxruntime as ort

    from offload.runtimes.base import Array

CUDA_PROVIDER = "CUDAExecutionProvider"
Optimisation = Literal["basic", "extended", "all"]

DTYPE_OF_ORT_TYPE: Mapping[str, str] = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16",
    "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(int16)": "int16", "tensor(int8)": "int8",
    "tensor(uint64)": "uint64", "tensor(uint32)": "uint32", "tensor(uint16)": "uint16", "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}  # fmt: skip


def session_options(*, threads: int, optimisation: Optimisation = "all") -> ort.SessionOptions:
    """Options shared by every session: sequential execution on `threads` threads, warnings off."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = {
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }[optimisation]
    # A pool whose threads spin after its run would slow whatever runs next: another session, or the network.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    workers = worker_processors(threads)
    if workers:
        affinities = ";".join(str(processor + 1) for processor in workers)
        options.add_session_config_entry("session.intra_op_thread_affinities", affinities)
    options.log_severity_level = 3
    return options


def create_session(model: bytes | Path, options: ort.SessionOptions, *, device: str = "cpu") -> ort.InferenceSession:
    """An ONNX Runtime session on `cpu` or `cuda:N`.

    Raises:
        OffloadError: ONNX Runtime refuses the model, or cannot use the device.
    """
    import onnxruntime as ort

    keep_large_buffers()
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = ort.InferenceSession(source, options, providers=_providers(device))
    except OffloadError:
        raise
    except Exception as error:  # onnxruntime raises classes of its own that share no public base
        if _out_of_memory(error):
            raise _no_memory("load") from error
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "it may lack an operator's kernel: export with another opset, or check with onnx.checker"
        raise OffloadError(f"ONNX Runtime cannot load the model: {first_line}", hint=hint) from error
    if device != "cpu" and CUDA_PROVIDER not in session.get_providers():  # it goes on without, with a log line only
        raise OffloadError(
            f"--device {device}: ONNX Runtime's CUDA provider does not start",
            hint="it needs the CUDA and cuDNN libraries it was built for; or use --runtime torch",
        )
    return session


def has_cuda_provider() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA."""
    import onnxruntime as ort

    return CUDA_PROVIDER in ort.get_available_providers()


def _providers(device: str) -> list[Any]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    import onnxruntime as ort

    if not has_cuda_provider():
        raise OffloadError(
            f"--device {device}: the installed ONNX Runtime has no CUDA provider",
            hint="install onnxruntime-gpu in its place, or use --runtime torch",
        )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        ort.preload_dlls()  # CUDA's libraries as pip installs them; without, they are found only where torch is in use
    number = int(device.partition(":")[2] or 0)
    # A convolution of 10-bit mantissas is another precision than fp32.
    return [(CUDA_PROVIDER, {"device_id": number, "use_tf32": 0}), "CPUExecutionProvider"]


def _out_of_memory(error: Exception) -> bool:
    return "out of memory" in str(error) or "Failed to allocate memory" in str(error)


def _no_memory(doing: str) -> OffloadError:
    return OffloadError(
        f"ONNX Runtime cannot {doing} the model: the device is out of memory",
        hint="use a smaller --batch, or stop what else runs on the device",
    )


class OnnxRuntimeSession:
    """A model loaded in ONNX Runtime with the options of `session_options` for as many threads."""

    def __init__(self, session: ort.InferenceSession, *, threads: int) -> None:
        self._session = session
        self._workers = worker_processors(threads)
        self.inputs = {value.name: value for value in session.get_inputs()}
        self.outputs = {value.name: value for value in session.get_outputs()}
        self._output_names = list(self.outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `Session.run`."""
        try:
            with caller_off(self._workers):
                values: list[Any] = self._session.run(self._output_names, dict(feeds))
        except Exception as error:  # as above
            if _out_of_memory(error):
                raise _no_memory("run") from error
            hint = "check that the model runs in ONNX Runtime by itself, with inputs of these shapes"
            raise OffloadError(f"ONNX Runtime cannot run the model: {str(error).splitlines()[0]}", hint=hint) from error
        return dict(zip(self._output_names, values, strict=True))

    def repeat(self, feeds: Mapping[str, Array], times: int) -> None:
        """See `Session.repeat`."""
        for _ in range(times):
            self.run(feeds)


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime:
    """Runs ONNX models with all of ONNX Runtime's optimisations."""

    device: str = "cpu"
    """`cpu` or `cuda:N`."""

    @property
    def name(self) -> str:
        """See `Runtime.name`."""
        return "onnxruntime"

    def identity(self, *, threads: int) -> RuntimeIdentity:
        """See `Runtime.identity`."""
        import onnxruntime as ort

        return RuntimeIdentity(name=self.name, version=ort.__version__, device=self.device, threads=threads)

    def load(self, segment: Segment, *, threads: int) -> OnnxRuntimeSession:
        """A session for an ONNX segment on `threads` threads; see `Runtime.load`."""
        if not isinstance(segment, OnnxSegment):
            raise OffloadError("ONNX Runtime runs ONNX models, not torch programs", hint="use the torch runtime")
        return self.load_onnx(segment.onnx, threads=threads)

    def load_onnx(self, model: bytes, *, threads: int) -> OnnxRuntimeSession:
        """A session for a serialised ONNX model of any origin; raises as `load` does."""
        return OnnxRuntimeSession(
            create_session(model, session_options(threads=threads), device=self.device), threads=threads
        )
