"""Kernels, networks and costs whose true times are known, so that no test has to measure anything."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx

from offload.artifacts.costs import Costs
from offload.artifacts.packed import pack
from offload.artifacts.profile import RuntimeIdentity
from offload.models.executed import Kernel, TimedNetwork, executed_kernels
from offload.models.onnx_graph import infer_types
from offload.models.operators import Operation
from offload.predictors import fitting
from offload.predictors.features import FEATURES, is_free, terms
from offload.profilers.kernels import KernelTimer
from offload.progress import NullProgress
from offload.runtimes.onnxruntime import OnnxRuntime
from tests.drawn import drawn_each

HARVESTED = {"image": 14, "dense": 2, "transformer": 2, "recurrent": 2, "speech": 1, "local": 1}
Law = Callable[[Kernel], float]
"""Seconds that a kernel truly takes."""

COEFFICIENTS = (2e-11, 1e-10, 3e-10, 3e-11, 1e-6, 4e-6, 0.0)
"""Of the law: 50 GFLOP/s, 10 GB/s, weights from slower memory and again from a cache, 1 µs a step, 4 µs a launch."""


def roofline_law(kernel: Kernel) -> float:
    """A sum of the roofline's terms."""
    return sum(a * b for a, b in zip(COEFFICIENTS, terms(kernel), strict=True)) if not is_free(kernel) else 1e-6


def gemm(rows: int, inner: int, columns: int, *, name: str = "gemm", item_bytes: int = 4) -> Kernel:
    """A dense layer."""
    return Kernel(
        name=name,
        runs="Gemm",
        operation=Operation(
            op="Gemm",
            inputs=((rows, inner), (inner, columns), (columns,)),
            outputs=((rows, columns),),
            constant=(False, True, True),
        ),
        item_bytes=item_bytes,
    )


def conv(
    channels: int, filters: int, size: int, *, window: int = 3, stride: int = 1, group: int = 1, name: str = "conv"
) -> Kernel:
    """A convolution over square images, padded so that only its stride shrinks them."""
    made = size // stride
    return Kernel(
        name=name,
        runs="nchwc.Conv",
        operation=Operation(
            op="Conv",
            inputs=((1, channels, size, size), (filters, channels // group, window, window), (filters,)),
            outputs=((1, filters, made, made),),
            constant=(False, True, True),
            attributes={"group": group, "strides": [stride, stride], "kernel_shape": [window, window]},
        ),
        item_bytes=4,
    )


def plain(op: str, *inputs: tuple[int, ...], to: tuple[int, ...] | None = None, **attributes: object) -> Kernel:
    """An operator without weights; its result has the first input's shape unless told."""
    operation = Operation(op=op, inputs=inputs, outputs=(to or inputs[0],), attributes=attributes)
    return Kernel(name=op.lower(), runs=op, operation=operation, item_bytes=4)


def timed(
    number: int, kernels: Sequence[Kernel], *, law: Law = roofline_law, noise: float = 0.0, rounds: int = 4
) -> TimedNetwork:
    """A network as if it had been measured: the law, a factor of its own for each kernel, and what a call takes."""
    generator = np.random.default_rng(number)
    seconds = [law(kernel) * float(np.exp(noise * generator.standard_normal())) for kernel in kernels]
    counted = sum(not is_free(kernel) for kernel in kernels)
    empty = 1e-6 * float(generator.uniform(40, 120))
    whole = sum(seconds) + 0.5e-6 * counted + 20e-6 + 0.6 * empty
    return TimedNetwork(
        number=number, style="made", reference_s=1e-3, empty_call_s=empty, whole_s=(whole,) * rounds,
        kernels=tuple(kernels), kernel_s=tuple((each,) * rounds for each in seconds),
    )  # fmt: skip


def dense_networks(
    count: int, *, each: int = 4, noise: float = 0.0, seed: int = 0, law: Law = roofline_law
) -> list[TimedNetwork]:
    """Networks of dense layers of many sizes."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        sizes = np.exp(generator.uniform(np.log(8), np.log(2000), (each, 3))).astype(int)
        kernels = [gemm(*map(int, one), name=f"gemm_{index}") for index, one in enumerate(sizes)]
        found.append(timed(number + 1000 * seed, kernels, law=law, noise=noise))
    return found


def costs_of(networks: Sequence[TimedNetwork], **changes: object) -> Costs:
    """Costs fitted on networks, without measuring."""
    fitted = fitting.fit_costs(networks, NullProgress())
    fields: dict[str, object] = {
        "runtime": OnnxRuntime(device="cpu").identity(threads=1),
        "precision": "fp32",
        "networks": len(networks),
        "measuring_s": 60.0,
        "stopped": "budget",
        "reference_s": tuple(network.reference_s for network in networks),
        "empty_call_s": tuple(network.empty_call_s for network in networks),
        "families": fitted.families,
        "call": fitted.call,
        "shared_error": fitted.shared_error,
        "whole_errors": fitted.whole_errors,
        "library": {"scikit-learn": "1"},
        "features": FEATURES,
        "samples": pack(fitted.rows, "<f4"),
    }
    return Costs.create(**(fields | changes))


@cache
def dense_costs() -> Costs:
    """Costs of dense layers, with trees."""
    return costs_of(dense_networks(25, each=2, noise=0.05))


@cache
def harvested(first: int = 0) -> tuple[TimedNetwork, ...]:
    """Random networks' real kernels, as ONNX Runtime lays them out, with the law's times; others by another number."""
    drawn = drawn_each(HARVESTED, first=first, scale=0.3)
    return tuple(timed(network.number, executed(network.onnx), noise=0.02) for network in drawn)


def executed(model: bytes) -> tuple[Kernel, ...]:
    """What ONNX Runtime would execute for a model."""
    with tempfile.TemporaryDirectory() as folder:
        timer = KernelTimer(model, OnnxRuntime(device="cpu"), threads=1, folder=Path(folder))
        optimised = timer.optimised()
        timer.finish(())
    return executed_kernels(optimised, infer_types(onnx.load_from_string(model)))


@cache
def law_costs() -> Costs:
    """Costs of all the kinds that some random networks hold, their truth the law; without trees, which take long."""
    fewest, fitting.FEWEST_FOR_TREES = fitting.FEWEST_FOR_TREES, 10**9
    try:
        return costs_of(harvested())
    finally:
        fitting.FEWEST_FOR_TREES = fewest


def runtime_identity(**changes: object) -> RuntimeIdentity:
    """Of what the costs here are of."""
    fields = {"name": "onnxruntime", "version": "1", "device": "cpu", "threads": 1}
    return RuntimeIdentity(**(fields | changes))  # type: ignore[arg-type]
