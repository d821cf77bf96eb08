"""Random planning problems of every shape, and all their legal cuts by brute force."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain, combinations

from hypothesis import strategies as st

from offload.artifacts.dividing import DividedRuns
from offload.artifacts.link import Link, ProtocolSample
from offload.artifacts.plan import Side, Target
from offload.artifacts.profile import Profile
from offload.environment import current_environment
from offload.graph.cuts import Cut, make_cut
from offload.graph.model_graph import Layer, ModelGraph, Tensor
from offload.planners.base import Constraints, Problem
from offload.planners.costs import tears_kernel
from offload.predictors.radios import load_radio
from tests import synthetic

_ENVIRONMENT = current_environment()
_SIZES = (1, 10, 1_000, 20_000, 300_000)


def graph(rng: random.Random, layers: int) -> ModelGraph:
    """A chain, or a DAG with several inputs, layers of several outputs, shared and unread tensors, outputs anywhere."""
    straight = rng.random() < 0.2
    inputs = ["in0", "in1"][: 1 if straight else rng.randint(1, 2)]
    names, made = list(inputs), []
    for index in range(layers):
        outputs = tuple(f"t{index}.{slot}" for slot in range(1 if straight or rng.random() < 0.7 else 2))
        recent = names[-4:] if rng.random() < 0.6 else names
        read = names[-1:] if straight else rng.sample(recent, min(len(recent), rng.randint(1, 3)))
        made.append(
            Layer(
                name=f"layer{index}", kind="conv", op="Op", inputs=tuple(read), outputs=outputs, flops=1,
                weight_bytes=rng.choice([0, 400, 50_000]),
            )
        )  # fmt: skip
        names += outputs
    read_somewhere = {name for layer in made for name in layer.inputs}
    ends = [name for name in names if name not in read_somewhere and name not in inputs] or [names[-1]]
    ends += rng.sample(names, rng.choice([0, 0, 1]))
    tensors = tuple(Tensor(name=name, shape=(rng.choice(_SIZES),), dtype="float32") for name in names)
    return ModelGraph(
        tensors=tensors, layers=tuple(made), inputs=tuple(inputs), outputs=tuple(dict.fromkeys(ends))
    )  # fmt: skip


def profile(rng: random.Random, of: ModelGraph, scale: float) -> Profile:
    """Costs over several magnitudes; kernels of one layer, of neighbours, or of layers far apart."""
    layers = list(range(len(of.layers)))
    fused = rng.random()
    if fused < 0.2:
        rng.shuffle(layers)
    groups: list[tuple[int, ...]] = []
    while layers:
        size = rng.choice([1, 1, 1, 2, 3]) if fused < 0.7 else 1
        groups.append(tuple(sorted(layers[:size])))
        layers = layers[size:]
    times = [rng.choice([0.0, 1.0, 1.0]) * scale * 10 ** rng.uniform(-3, 0) for _ in groups]
    message = [rng.choice([0, 135, 20_000]) for _ in range(2)]
    samples = [
        ProtocolSample(
            uplink_bytes=size, downlink_bytes=size, encode_s=1e-4 + size * 1e-10, uplink_s=2e-4 + size * 2e-10,
            decode_s=3e-4 + size * 3e-10, downlink_s=4e-4 + size * 4e-10,
            uplink_message_bytes=message[0], downlink_message_bytes=message[1],
        )
        for size in (1000, 1_000_000)
    ]  # fmt: skip
    return synthetic.profile(
        of, times, groups=groups, rounds=1, divided=divided_runs(rng, groups, sum(times)),
        power_w=rng.uniform(0.5, 10), idle_power_w=rng.uniform(0.1, 1),
        protocol=tuple(samples) if rng.random() < 0.5 else (), environment=_ENVIRONMENT,
    )  # fmt: skip


def divided_runs(rng: random.Random, groups: Sequence[tuple[int, ...]], whole_s: float) -> tuple[DividedRuns, ...]:
    """Runs in two parts that take more than their layers: none, or of a few sets of whole kernels."""
    parts = [sorted(chain.from_iterable(groups[:size])) for size in range(1, len(groups))]
    return tuple(
        DividedRuns(
            device_layers=tuple(part),
            whole_s=(whole_s,) * 2,
            head_s=(whole_s * rng.uniform(0.1, 1.5),) * 2,
            tail_s=(whole_s * rng.uniform(0.1, 1.5),) * 2,
        )
        for part in rng.sample(parts, min(len(parts), rng.choice([0, 2, 3])))
    )


def problem(seed: int, *, target: Target = "latency", most_layers: int = 8) -> Problem:
    """A problem without constraints; the same seed gives the same."""
    rng = random.Random(seed)
    of = graph(rng, rng.randint(1, most_layers))
    return Problem(
        device=profile(rng, of, 0.1),
        server=profile(rng, of, 0.1 * 10 ** rng.uniform(-2, 0.3)),
        link=Link(
            uplink_bps=10 ** rng.uniform(5, 9), downlink_bps=10 ** rng.uniform(5, 9), rtt_s=rng.choice([0.0, 0.02])
        ),
        target=target,
        radio=load_radio(rng.choice(["wifi", "lte", "3g"])),
        device_slowdown=rng.choice([1.0, 8.0]),
        server_load=rng.choice([1.0, 3.0]),
        paper_energy=rng.random() < 0.3,
    )


def pins_and_privacy(seed: int, of: ModelGraph) -> Constraints:
    """Some layers pinned, some of the model private, at random; they may contradict one another."""
    rng = random.Random(seed)
    layers = range(len(of.layers))
    pins: dict[int, Side] = {
        index: rng.choice(["device", "server"]) for index in rng.sample(layers, min(len(layers), rng.choice([0, 1, 2])))
    }
    return Constraints(pins=pins, private_depth=rng.choice([None, None, rng.choice(layers)]))


def allowed_cuts(of: Problem) -> Iterator[Cut]:
    """Every subset of the layers that is a legal cut, tears no kernel and keeps to pins and privacy."""
    model, constraints = of.graph, of.constraints
    layers = range(len(model.layers))
    depth = constraints.private_depth
    private = set() if depth is None else {*model.inputs, *(n for layer in model.layers[:depth] for n in layer.outputs)}
    for device in chain.from_iterable(combinations(layers, size) for size in range(len(layers) + 1)):
        here = frozenset(device)
        if any((index in here) != (side == "device") for index, side in constraints.pins.items()):
            continue
        if depth is not None and depth not in here:
            continue
        if any(private & set(model.layers[index].inputs) for index in layers if index not in here):
            continue
        if any(model.producer.get(name, index) not in here for index in here for name in model.layers[index].inputs):
            continue
        cut = make_cut(model, here)
        if not tears_kernel(of.device, cut) and not tears_kernel(of.server, cut):
            yield cut


seeds = st.integers(0, 2**32 - 1)
