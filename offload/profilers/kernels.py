"""Run a model under ONNX Runtime's profiler and read the time of each kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.runtimes.onnxruntime import create_session, session_options
from offload.runtimes.placement import caller_off, worker_processors

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

    from offload.runtimes.base import Array

_EVENT = "_kernel_time"


def optimised_model(model: bytes, *, threads: int, folder: Path) -> onnx.ModelProto:
    """The graph as ONNX Runtime executes it; it passes through a file in `folder`."""
    import onnx

    path = folder / "optimised.onnx"
    options = session_options(threads=threads)
    options.optimized_model_filepath = str(path)
    create_session(model, options)
    proto = onnx.load(str(path), load_external_data=False)
    path.unlink()
    return proto


class ProfiledSession:
    """A session with the profiler on; every run adds one sample to every kernel."""

    def __init__(self, model: bytes, *, threads: int, folder: Path) -> None:
        """Load the model; the trace is written to `folder`."""
        options = session_options(threads=threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "trace")
        self._session: ort.InferenceSession | None = create_session(model, options)
        self._workers = worker_processors(threads)
        self._runs = 0
        self._kernel_s: dict[str, list[float]] = {}

    def run(self, feeds: Mapping[str, Array]) -> int:
        """Run once and say which run it was, from 0; the outputs are not looked at."""
        if self._session is None:
            raise ValueError("the session is finished")
        with caller_off(self._workers):
            self._session.run(None, dict(feeds))
        self._runs += 1
        return self._runs - 1

    def finish(self) -> dict[str, list[float]]:
        """Seconds of each kernel (by node name), one sample a run; asked again, the same. No run may follow."""
        if self._session is not None:
            trace = Path(self._session.end_profiling())
            self._session = None  # its copy of the weights is not needed any more
            for event in json.loads(trace.read_text(encoding="utf-8")):
                if event.get("cat") == "Node" and event["name"].endswith(_EVENT):
                    samples = self._kernel_s.setdefault(event["name"].removesuffix(_EVENT), [])
                    samples.append(event["dur"] * 1e-6)
        return self._kernel_s
