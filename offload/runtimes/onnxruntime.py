"""ONNX Runtime on the CPU: one place that says how every session of this project is set up.

Profiles, heads, tails and the server must run under the same settings, or measured times would not carry over.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from offload.errors import OffloadError

if TYPE_CHECKING:
    import onnxruntime as ort

    from offload.runtimes.base import Array

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
        # Woken after a pause, a free worker often lands on its caller's core and waits there for milliseconds.
        affinities = ";".join(str(processor + 1) for processor in workers)
        options.add_session_config_entry("session.intra_op_thread_affinities", affinities)
    options.log_severity_level = 3
    return options


def worker_processors(threads: int) -> tuple[int, ...]:
    """Processors to pin a pool's `threads - 1` workers to: one a physical core, the first core left to the caller.

    Empty, for no pinning, when there are too few cores or the system does not tell which this process may use.
    ONNX Runtime does the same by itself when it is left to choose the number of threads.
    """
    try:
        allowed = sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return ()
    cores: dict[str, int] = {}
    for processor in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            siblings = topology.read_text(encoding="ascii").strip()
        except OSError:
            siblings = str(processor)
        cores.setdefault(siblings, processor)
    return tuple(cores.values())[1:threads] if len(cores) >= threads else ()


def create_session(model: bytes | Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """An ONNX Runtime session on the CPU.

    Raises:
        OffloadError: ONNX Runtime refuses the model.
    """
    import onnxruntime as ort

    source = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that share no public base
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise OffloadError(f"ONNX Runtime cannot load the model: {first_line}") from error


class OnnxRuntimeSession:
    """A model loaded in ONNX Runtime."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs = {value.name: value for value in session.get_inputs()}
        self.outputs = {value.name: value for value in session.get_outputs()}
        self._output_names = list(self.outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `Session.run`."""
        try:
            values: list[Any] = self._session.run(self._output_names, dict(feeds))
        except Exception as error:  # as above
            raise OffloadError(f"ONNX Runtime cannot run the model: {str(error).splitlines()[0]}") from error
        return dict(zip(self._output_names, values, strict=True))


class OnnxRuntime:
    """Runs ONNX models on the CPU with all of ONNX Runtime's optimisations."""

    name = "onnxruntime"

    def load(self, model: bytes, *, threads: int) -> OnnxRuntimeSession:
        """A session for a serialised ONNX model on `threads` threads; see `Runtime.load`."""
        return OnnxRuntimeSession(create_session(model, session_options(threads=threads)))
