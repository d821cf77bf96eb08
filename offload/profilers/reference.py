"""What else the machine did while something was measured: fixed pieces of work, and time spent waiting for a core."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from offload.artifacts.estimate import median_estimate
from offload.models.segments import OnnxSegment, TorchSegment
from offload.profilers.rests import PAUSE_S
from offload.runtimes.base import Runtime, Session
from offload.runtimes.torch import TorchRuntime

if TYPE_CHECKING:
    from offload.runtimes.base import Array

_CHANNELS, _SIDE, _BLOCKS = 64, 28, 10
_TIMES_NOW = 9
DIRTY_FACTOR = 1.15
"""A round is dirty when its reference took this much longer than the median of all rounds."""
DIRTY_WAITING = 0.02
"""A round is dirty, too, when the model's threads waited for a core for this share of its time."""


class ReferenceKernel:
    """Ten residual blocks of a 1x1 convolution on 1x64x28x28 float32 (64 MFLOP), on the model's runtime and threads.

    Small dependent steps, as in real networks: what makes threads slower to hand work to each other shows in it,
    which one large matrix product would hide.
    """

    def __init__(self, runtime: Runtime, *, threads: int) -> None:
        self._session, self._feeds = _loaded(runtime, (1, _CHANNELS, _SIDE, _SIDE), _BLOCKS, threads=threads)

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


class EmptyCall:
    """A model of one activation of 64 numbers: what a call takes, after a rest, before anything is computed.

    It is a good part of what a small model takes, and on some machines it swings within seconds.
    """

    def __init__(self, runtime: Runtime, *, threads: int) -> None:
        self._session, self._feeds = _loaded(runtime, (1, 64), 0, threads=threads)

    def time_once(self) -> float:
        """Seconds of one call after a rest, timed as a profile times a model: the core is awake by then."""
        self._session.run(self._feeds)
        time.sleep(PAUSE_S)
        waited_s()
        started = time.perf_counter()
        self._session.run(self._feeds)
        return time.perf_counter() - started


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a machine is, in samples a few hundredths of a second apart."""

    reference_s: tuple[float, ...]
    """The reference kernel."""
    empty_call_s: tuple[float, ...]


def speed_now(runtime: Runtime, *, threads: int) -> Speed:
    """How fast the machine is now; no model is run for it."""
    kernel, call = ReferenceKernel(runtime, threads=threads), EmptyCall(runtime, threads=threads)
    reference_s, empty_call_s = [], []
    for _ in range(_TIMES_NOW):
        empty_call_s.append(call.time_once())
        reference_s.append(kernel.time_once())  # right after a run, as in a profile
    return Speed(reference_s=tuple(reference_s), empty_call_s=tuple(empty_call_s))


def _loaded(runtime: Runtime, shape: tuple[int, ...], blocks: int, *, threads: int) -> tuple[Session, dict[str, Array]]:
    """So many residual blocks, or for none an activation, and their input."""
    import numpy as np

    session: Session
    if isinstance(runtime, TorchRuntime):  # as it is, whatever is done to the model
        session = TorchRuntime(device=runtime.device).load(_torch_segment(shape, blocks), threads=threads)
    else:
        session = runtime.load(_onnx_segment(shape, blocks), threads=threads)
    return session, {"x0": np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}


def _onnx_segment(shape: tuple[int, ...], blocks: int) -> OnnxSegment:
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    generator = np.random.default_rng(0)
    weights, nodes = [], []
    for i in range(blocks):
        kernel = generator.standard_normal((shape[1], shape[1], 1, 1), dtype=np.float32) / shape[1]
        weights.append(numpy_helper.from_array(kernel, f"w{i}"))
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"c{i}"]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        nodes.append(helper.make_node("Add", [f"r{i}", f"x{i}"], [f"x{i + 1}"]))
    if not blocks:
        nodes.append(helper.make_node("Relu", ["x0"], ["r0"]))
    last = f"x{blocks}" if blocks else "r0"
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x0", last)]
    graph = helper.make_graph(nodes, "reference", ends[:1], ends[1:], weights)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return OnnxSegment(onnx=model.SerializeToString(), inputs=("x0",), outputs=(last,))


@cache
def _torch_segment(shape: tuple[int, ...], blocks: int) -> TorchSegment:
    import torch
    from torch import nn

    from offload.models.torch_capture import capture

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(shape[1], shape[1], 1, bias=False)
            nn.init.constant_(self.conv.weight, 1 / shape[1])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.conv(x)) + x

    network = nn.Sequential(*(Residual() for _ in range(blocks))) if blocks else nn.ReLU()
    program = capture(network, {"x0": torch.zeros(shape)}, name="reference")
    layers = tuple(range(len(program.calls)))
    return TorchSegment(program=program, layers=layers, inputs=program.graph.inputs, outputs=program.graph.outputs)


def waited_s() -> float:
    """Seconds that this process's threads, all together, were ready to run and had no core; 0 where no one tells.

    Linux tells it per thread as the second figure of `schedstat`.
    """
    total_ns = 0
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/schedstat", encoding="ascii") as file:
                total_ns += int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return total_ns / 1e9


def dirty_rounds(reference_s: Sequence[float], whole_s: Sequence[float], waited_s: Sequence[float]) -> tuple[int, ...]:
    """Indices of rounds in which something else used the machine.

    Args:
        reference_s: The reference kernel in each round.
        whole_s: The whole model in each round.
        waited_s: How long its threads had no core meanwhile.
    """
    if not reference_s:
        return ()
    limit = DIRTY_FACTOR * median_estimate(reference_s).value
    return tuple(
        i for i, reference in enumerate(reference_s) if reference > limit or waited_s[i] > DIRTY_WAITING * whole_s[i]
    )
