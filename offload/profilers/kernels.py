"""Run a model under ONNX Runtime's profiler and read the time of each kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.models.loaded import LoadedOnnxModel
from offload.profilers.instruments import GroupTimes
from offload.profilers.kernel_mapping import map_kernels
from offload.runtimes.onnxruntime import OnnxRuntime, create_session, session_options
from offload.runtimes.placement import caller_off, worker_processors

if TYPE_CHECKING:
    from offload.runtimes.base import Array

_EVENT = "_kernel_time"


class InstrumentedOnnxSession:
    """A session with the profiler on; every run adds one sample to every kernel."""

    def __init__(self, model: LoadedOnnxModel, runtime: OnnxRuntime, *, threads: int, folder: Path) -> None:
        """Load the model; the trace and the optimised model are written to `folder`."""
        options = session_options(threads=threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "trace")
        self._optimised = folder / "optimised.onnx"
        options.optimized_model_filepath = str(self._optimised)
        self._session = create_session(model.onnx, options, device=runtime.device)
        self._graph = model.graph
        self._workers = worker_processors(threads)
        self._runs = 0

    def run(self, feeds: Mapping[str, Array]) -> int:
        """Run once and say which run it was, from 0; the outputs are not looked at."""
        with caller_off(self._workers):
            self._session.run(None, dict(feeds))
        self._runs += 1
        return self._runs - 1

    def finish(self) -> tuple[GroupTimes, ...]:
        """See `InstrumentedSession.finish`."""
        import onnx

        optimised = onnx.load(str(self._optimised), load_external_data=False)
        kernel_s = self._kernel_times()
        return tuple(
            GroupTimes(
                layers=block.layers,
                kernels=len(block.kernels),
                samples_s=self._summed([kernel_s.get(name, []) for name in block.kernels]),
            )
            for block in map_kernels(self._graph, optimised)
        )

    def _kernel_times(self) -> dict[str, list[float]]:
        """Seconds of each kernel by node name, one sample a run."""
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        samples: dict[str, list[float]] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(_EVENT):
                samples.setdefault(event["name"].removesuffix(_EVENT), []).append(event["dur"] * 1e-6)
        return samples

    def _summed(self, per_kernel: list[list[float]]) -> list[float]:
        if any(len(samples) < self._runs for samples in per_kernel):
            raise OffloadError(
                "the runtime's profiler did not report every kernel in every run",
                hint="models whose work depends on their input cannot be profiled layer by layer",
            )
        return [sum(samples[run] for samples in per_kernel) for run in range(self._runs)]
