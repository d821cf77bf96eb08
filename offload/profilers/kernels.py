"""Run a model under ONNX Runtime's profiler and read the time of each kernel."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.models.executed import ExecutedBlock, executed_kernels
from offload.models.loaded import LoadedOnnxModel
from offload.models.onnx_graph import infer_types
from offload.profilers.instruments import GroupTimes
from offload.profilers.kernel_mapping import map_kernels
from offload.runtimes.onnxruntime import OnnxRuntime, create_session, session_options
from offload.runtimes.placement import caller_off, worker_processors

if TYPE_CHECKING:
    import onnx

    from offload.runtimes.base import Array

_EVENT = "_kernel_time"


class KernelTimer:
    """A model loaded with the profiler on; every run adds one sample to every kernel."""

    def __init__(self, model: bytes, runtime: OnnxRuntime, *, threads: int, folder: Path) -> None:
        """Load the model; the trace and the optimised model are written to `folder`."""
        options = session_options(threads=threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "trace")
        self._optimised = folder / "optimised.onnx"
        options.optimized_model_filepath = str(self._optimised)
        self._session = create_session(model, options, device=runtime.device)
        self._workers = worker_processors(threads)
        self.runs = 0
        """How often it ran."""

    def run(self, feeds: Mapping[str, Array]) -> int:
        """Run once and say which run it was, from 0; the outputs are not looked at."""
        with caller_off(self._workers):
            self._session.run(None, dict(feeds))
        self.runs += 1
        return self.runs - 1

    def optimised(self) -> onnx.ModelProto:
        """The model as ONNX Runtime executes it; nodes without a name get one."""
        import onnx

        model = onnx.load(str(self._optimised), load_external_data=False)
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        return model

    def finish(self, kernels: Iterable[str]) -> dict[str, list[float]]:
        """Seconds of each of the named kernels, one sample a run; the timer cannot be used afterwards.

        Raises:
            OffloadError: the profiler did not tell of a kernel in every run.
        """
        trace = Path(self._session.end_profiling())
        events = json.loads(trace.read_text(encoding="utf-8"))
        trace.unlink()
        samples: dict[str, list[float]] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(_EVENT):
                samples.setdefault(event["name"].removesuffix(_EVENT), []).append(event["dur"] * 1e-6)
        named: dict[str, list[float]] = {name: [] for name in kernels}
        told = {name: times for name, times in samples.items() if name not in named}
        for name in named:
            if name not in samples:  # the profiler numbers nodes without a name by itself, in the same order
                stem = name.rpartition("_")[0]
                alias = next((other for other in told if other.rpartition("_")[0] == stem), name)
                samples[name] = told.pop(alias, [])
            named[name] = samples[name]
        if any(len(one) < self.runs for one in named.values()):
            raise OffloadError(
                "the runtime's profiler did not report every kernel in every run",
                hint="models whose work depends on their input cannot be profiled layer by layer",
            )
        return named


def executed_blocks(model: LoadedOnnxModel, runtime: OnnxRuntime, *, threads: int) -> tuple[ExecutedBlock, ...]:
    """What ONNX Runtime would execute for a model, which is loaded and not run.

    Raises:
        OffloadError: the runtime refuses the model.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix="offload-predict-") as folder:
        timer = KernelTimer(model.onnx, runtime, threads=threads, folder=Path(folder))
        optimised = timer.optimised()
        timer.finish(())
    kernels = executed_kernels(optimised, infer_types(onnx.load_from_string(model.onnx)))
    by_name = {kernel.name: kernel for kernel in kernels}
    return tuple(
        ExecutedBlock(layers=block.layers, kernels=tuple(by_name[name] for name in block.kernels))
        for block in map_kernels(model.graph, optimised)
    )


class InstrumentedOnnxSession:
    """A session with the profiler on; see `InstrumentedSession`."""

    def __init__(self, model: LoadedOnnxModel, runtime: OnnxRuntime, *, threads: int, folder: Path) -> None:
        """Load the model; files it needs are written to `folder`."""
        self._timer = KernelTimer(model.onnx, runtime, threads=threads, folder=folder)
        self._graph = model.graph

    def run(self, feeds: Mapping[str, Array]) -> int:
        """See `InstrumentedSession.run`."""
        return self._timer.run(feeds)

    def finish(self) -> tuple[GroupTimes, ...]:
        """See `InstrumentedSession.finish`."""
        blocks = map_kernels(self._graph, self._timer.optimised())
        kernel_s = self._timer.finish(name for block in blocks for name in block.kernels)
        runs = self._timer.runs
        return tuple(
            GroupTimes(
                layers=block.layers,
                kernels=len(block.kernels),
                samples_s=[sum(kernel_s[name][run] for name in block.kernels) for run in range(runs)],
            )
            for block in blocks
        )
