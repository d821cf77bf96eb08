"""How long planning takes: DenseNet-121, and random graphs of 10,000 layers with far too many cuts to visit.

Costs are drawn at random (seeded) over three orders of magnitude, on both sides, so that the answer lies inside the
model. Target: the least cut in under 100 ms for DenseNet-121 and under 2 s for the random graphs. The median of some
runs is shown, and of a policy how many cuts it holds and by how much others may be better at some rate and load. Run:
`python benchmarks/planners.py`. Prints a Markdown table.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from offload.artifacts.link import Link
from offload.artifacts.profile import KernelGroup, ModelIdentity, Profile, RuntimeIdentity
from offload.graph.model_graph import Layer, ModelGraph, Tensor
from offload.models.load import load_model
from offload.planners.base import Problem
from offload.planners.costs import linear_costs
from offload.planners.legality import legality
from offload.planners.mincut import MinCut
from offload.planners.network import CutNetwork
from offload.planners.thresholds import policy

RUNS = 5
LAYERS = 10_000


def densenet() -> ModelGraph:
    """DenseNet-121 as it is profiled: batch norms folded."""
    with TemporaryDirectory() as folder:
        return load_model("densenet121", inputs={}, batch=1, weights=None, cache=Path(folder)).graph


def random_graph(rng: random.Random, *, reach: int) -> ModelGraph:
    """Layers that read one to three tensors, each made by one of the `reach` layers before them."""
    tensors = [Tensor(name="input", shape=(150_000,), dtype="float32")]
    layers = []
    for index in range(LAYERS):
        recent = tensors[-reach:]
        read = rng.sample(recent, min(len(recent), rng.randint(1, 3)))
        made = Tensor(name=f"t{index}", shape=(int(10 ** rng.uniform(2, 5)),), dtype="float32")
        layers.append(
            Layer(
                name=f"layer{index}",
                kind="other",
                op="Op",
                inputs=tuple(tensor.name for tensor in read),
                outputs=(made.name,),
                flops=1,
                weight_bytes=0,
            )
        )
        tensors.append(made)
    read_somewhere = {name for layer in layers for name in layer.inputs}
    outputs = tuple(tensor.name for tensor in tensors[1:] if tensor.name not in read_somewhere)
    return ModelGraph(tensors=tuple(tensors), layers=tuple(layers), inputs=("input",), outputs=outputs)


def profile(graph: ModelGraph, rng: random.Random, scale_s: float) -> Profile:
    """A profile whose layers take random times."""
    times = [scale_s * 10 ** rng.uniform(-3, 0) for _ in graph.layers]
    return Profile.create(
        model=ModelIdentity(
            spec="random", name="random", hash="0" * 64, batch=1, precision="fp32", weights="none", untrained=True,
            inputs={}, weights_file=None,
        ),
        graph=graph,
        source="measured",
        runtime=RuntimeIdentity(name="none", version="1", device="cpu", threads=1),
        whole_s=(sum(times),),
        profiled_s=(sum(times),),
        groups=tuple(KernelGroup(layers=(at,), kernels=1, samples_s=(seconds,)) for at, seconds in enumerate(times)),
        reference_s=(),
        stopped="not measured",
    )  # fmt: skip


def problem(graph: ModelGraph) -> Problem:
    """The device a little slower than the server, so that every layer's side is open."""
    rng = random.Random(1)
    return Problem(
        device=profile(graph, rng, 1e-3),
        server=profile(graph, rng, 7e-4),
        link=Link(uplink_bps=1e9, downlink_bps=1e9, rtt_s=0.002),
        target="latency",
    )


def least_cut(of: Problem) -> frozenset[int]:
    """From the problem to the cut of least latency, without its alternatives."""
    return CutNetwork(legality(of)).least(linear_costs(replace(of, target="latency")))


def median_s(run: Callable[[], object]) -> float:
    """Seconds of the median run; one more before it warms the imports."""
    run()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def policy_words(of: Problem) -> str:
    """How long the policy takes, and what it holds."""
    found, seconds = policy(of, tried=[least_cut(of)]), median_s(partial(policy, of, tried=[least_cut(of)]))
    exact = "exact" if found.gap == 0 else "not bounded" if found.gap is None else f"within {found.gap:.1%}"
    return f"{seconds * 1e3:.0f} ms, {len(found.choices)} cuts, {exact}"


def main() -> None:
    """Print the table."""
    rng = random.Random(0)
    cases = {
        "DenseNet-121": (densenet(), 0.1),
        "random, reads from the 20 layers before": (random_graph(rng, reach=20), 2.0),
        "random, reads from anywhere": (random_graph(rng, reach=LAYERS), 2.0),
    }
    print("| graph | layers | least cut | target | on the device | ranked with alternatives | policy | of throughput |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, (graph, target_s) in cases.items():
        of = problem(graph)
        least_s, ranked_s = median_s(partial(least_cut, of)), median_s(partial(MinCut().rank, of))
        throughput = policy_words(replace(of, target="throughput"))
        print(
            f"| {name} | {len(graph.layers)} | {least_s * 1e3:.0f} ms | {target_s * 1e3:.0f} ms "
            f"| {len(least_cut(of))} layers | {ranked_s * 1e3:.0f} ms | {policy_words(of)} | {throughput} |"
        )


if __name__ == "__main__":
    main()
