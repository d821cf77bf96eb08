"""A fixed piece of work whose time shows what the machine did while something else was measured."""

from __future__ import annotations

import time

from offload.artifacts.estimate import median_estimate
from offload.runtimes.onnxruntime import OnnxRuntime

_SIDE = 320
DIRTY_FACTOR = 1.15
"""A round is dirty when its reference took this much longer than the median of all rounds."""


class ReferenceKernel:
    """A matrix product of 320 x 320 float32 (65.5 MFLOP) on the same runtime and threads as the model."""

    def __init__(self, *, threads: int) -> None:
        import numpy as np
        import onnx
        from onnx import helper

        value = helper.make_tensor_value_info
        shape = [_SIDE, _SIDE]
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["a", "b"], ["c"])],
            "reference",
            [value("a", onnx.TensorProto.FLOAT, shape), value("b", onnx.TensorProto.FLOAT, shape)],
            [value("c", onnx.TensorProto.FLOAT, shape)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        self._session = OnnxRuntime().load(model.SerializeToString(), threads=threads)
        matrix = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        self._feeds = {"a": matrix, "b": matrix}

    def time_once(self) -> float:
        """Seconds of one run, the median of three after one that refills the caches.

        What ran before must not show: the same machine is to give the same time in a profile and in a verification.
        """
        seconds = []
        for _ in range(4):
            started = time.perf_counter()
            self._session.run(self._feeds)
            seconds.append(time.perf_counter() - started)
        return sorted(seconds[1:])[1]


def dirty_rounds(reference_s: list[float]) -> tuple[int, ...]:
    """Indices of rounds in which the reference was much slower than in the typical round."""
    if not reference_s:
        return ()
    limit = DIRTY_FACTOR * median_estimate(reference_s).value
    return tuple(i for i, seconds in enumerate(reference_s) if seconds > limit)
