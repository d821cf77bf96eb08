"""Small artifacts made by hand, so that no test has to measure anything."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from hypothesis import strategies as st

from offload.artifacts.breakdown import TIME_FIELDS, Breakdown
from offload.artifacts.estimate import Estimate
from offload.artifacts.link import AffineCost, Link, ProtocolSample
from offload.artifacts.plan import Option, Party, Plan, Target
from offload.artifacts.profile import KernelGroup, ModelIdentity, Profile, RuntimeIdentity
from offload.artifacts.verification import Drift, Measurement, RequestSample, Verification
from offload.graph.model_graph import Layer, LayerKind, ModelGraph, Tensor
from offload.planners.base import Problem
from offload.planners.neurosurgeon import Neurosurgeon
from offload.planners.plan import make_plan
from offload.predictors.radios import load_radio

KINDS: tuple[LayerKind, ...] = ("conv", "activation", "linear")


def chain(floats: Sequence[int] = (1000, 600, 300, 10), flops: Sequence[int] = (2_000_000, 300, 6_000)) -> ModelGraph:
    """Layers in a row: `floats` are the tensors' sizes from the input on, `flops` the layers' operations."""
    names = ["input", *(f"t{number}" for number in range(len(flops)))]
    tensors = tuple(
        Tensor(name=name, shape=(1, size), dtype="float32") for name, size in zip(names, floats, strict=True)
    )
    layers = tuple(
        Layer(
            name=f"layer{number}",
            kind=KINDS[number % 3],
            op="Op",
            inputs=(names[number],),
            outputs=(names[number + 1],),
            flops=count,
            weight_bytes=400,
        )
        for number, count in enumerate(flops)
    )
    return ModelGraph(tensors=tensors, layers=layers, inputs=("input",), outputs=(names[-1],))


def identity(**changes: object) -> ModelIdentity:
    """A model's identity."""
    model = ModelIdentity(
        spec="toy", name="toy", hash="a" * 64, batch=1, precision="fp32", weights="seeded initialisation",
        untrained=False, inputs={}, weights_file=None,
    )  # fmt: skip
    return dataclasses.replace(model, **changes)  # type: ignore[arg-type]


def profile(
    graph: ModelGraph | None = None,
    times_s: Sequence[float] = (0.010, 0.001, 0.004),
    *,
    groups: Sequence[tuple[int, ...]] | None = None,
    rounds: int = 5,
    **changes: object,
) -> Profile:
    """A measured profile whose groups take `times_s` in every round and whose whole is their sum."""
    graph = graph or chain()
    groups = groups or [(index,) for index in range(len(graph.layers))]
    whole = max(sum(times_s), 1e-9)
    fields: dict[str, object] = {
        "model": identity(),
        "graph": graph,
        "source": "measured",
        "runtime": RuntimeIdentity(name="onnxruntime", version="1", device="cpu", threads=1),
        "whole_s": (whole,) * rounds,
        "profiled_s": (whole * 1.1,) * rounds,
        "groups": tuple(
            KernelGroup(layers=layers, kernels=1, samples_s=(time,) * rounds)
            for layers, time in zip(groups, times_s, strict=True)
        ),
        "reference_s": (0.002,) * rounds,
        "stopped": "precision",
        "precision_reached": 0.01,
    }
    return Profile.create(**(fields | changes))


def problem(**changes: object) -> Problem:
    """A device ten times slower than its server, at 450 Mbit/s."""
    fields: dict[str, object] = {
        "device": profile(),
        "server": profile(times_s=(0.001, 0.0001, 0.0004)),
        "link": Link(uplink_bps=450e6, downlink_bps=450e6, rtt_s=0.002),
        "target": "latency",
    }
    return Problem(**(fields | changes))  # type: ignore[arg-type]


def plan(*, battery_j: float | None = None, **changes: object) -> Plan:
    """The plan for `problem(**changes)`."""
    return make_plan(
        problem(**changes), planner=Neurosurgeon(), device_hash="d" * 64, server_hash="e" * 64, battery_j=battery_j
    )


def energy_plan(*, battery_j: float | None = None, **changes: object) -> Plan:
    """A plan for least energy over Wi-Fi."""
    fields: dict[str, object] = {
        "device": profile(power_w=3.2, idle_power_w=1.0),
        "link": Link(uplink_bps=18.88e6, downlink_bps=18.88e6, rtt_s=0.0),
        "target": "energy",
        "radio": load_radio("wifi"),
    }
    return plan(battery_j=battery_j, **(fields | changes))


def exact_breakdown(**times: float) -> Breakdown:
    """A Breakdown without uncertainty; fields not given are 0."""
    names = ("device_s", "encode_s", "uplink_s", "queue_s", "decode_s", "server_s", "downlink_s")
    values = {name: times.get(name, 0.0) for name in names}
    return Breakdown(
        **{name: Estimate.exactly(value) for name, value in values.items()},
        latency_s=Estimate.exactly(times.get("latency_s", sum(values.values()))),
        device_j=None, radio_j=None, energy_source="none",
    )  # fmt: skip


def measurement(option: Option, *, factor: float = 1.0, requests: int = 20) -> Measurement:
    """The option executed: every field takes `factor` times what was predicted."""
    times = {name: getattr(option.breakdown, name).value * factor for name in (*TIME_FIELDS, "latency_s")}
    samples = tuple(
        RequestSample(
            **times,
            compute_input_s=times["decode_s"] / 2,
            compute_output_s=times["downlink_s"] / 4,
            receive_s=times["downlink_s"] / 8,
            started_s=number / 2,
            round_number=number,
        )
        for number in range(requests)
    )
    return Measurement(option=option, samples=samples, stable=True)


def verification(*, factor: float = 1.05, **changes: object) -> Verification:
    """A verification of `plan()` where everything took `factor` times as long."""
    made = plan()
    fields: dict[str, object] = {
        "plan_hash": "f" * 64,
        "model": made.model,
        "server": "embedded",
        "link": "450 Mbit/s, 1 ms each way, emulated",
        "network_split": "server clock",
        "chosen": measurement(made.chosen, factor=factor),
        "device_only": measurement(made.device_only, factor=factor),
        "server_only": measurement(made.server_only, factor=factor),
        "output_error": 1e-6,
        "output_tolerance": 1e-4,
        "tolerance": 0.1,
        "device_drift": Drift(profiled_s=0.002, now_s=(0.002, 0.002)),
        "server_drift": None,
        "tail_bytes": 1_500_000,
        "upload_s": 0.25,
        "verdict": "within tolerance",
        "warnings": (),
    }
    return Verification.create(**(fields | changes))


def party(**changes: object) -> Party:
    """A plan's side."""
    fields: dict[str, object] = {
        "runtime": RuntimeIdentity(name="onnxruntime", version="1", device="cpu", threads=1),
        "source": "measured", "preset": None, "profile_hash": "0" * 64, "reference_s": 0.002,
    }  # fmt: skip
    return Party(**(fields | changes))  # type: ignore[arg-type]


@st.composite
def graphs(draw: st.DrawFn) -> ModelGraph:
    """Random directed acyclic graphs of one to seven layers with skips and several outputs."""
    count = draw(st.integers(1, 7))
    sizes = st.integers(1, 200_000)
    tensors = [Tensor(name="input", shape=(draw(sizes),), dtype="float32")]
    layers = []
    for number in range(count):
        read = draw(st.lists(st.sampled_from([t.name for t in tensors]), min_size=1, max_size=3, unique=True))
        made = Tensor(name=f"t{number}", shape=(draw(sizes),), dtype="float32")
        layers.append(
            Layer(
                name=f"layer{number}", kind="conv", op="Op", inputs=tuple(read), outputs=(made.name,),
                flops=draw(st.integers(0, 10**9)), weight_bytes=0,
            )
        )  # fmt: skip
        tensors.append(made)
    read_somewhere = {name for layer in layers for name in layer.inputs}
    outputs = tuple(t.name for t in tensors[1:] if t.name not in read_somewhere)
    return ModelGraph(tensors=tuple(tensors), layers=tuple(layers), inputs=("input",), outputs=outputs)


@st.composite
def problems(draw: st.DrawFn, targets: Sequence[Target] = ("latency", "energy")) -> Problem:
    """Random problems on random graphs; kernels of both sides fuse neighbouring layers at random."""
    graph = draw(graphs())
    radio = load_radio(draw(st.sampled_from(["wifi", "lte", "3g", "5g-mmwave"])))
    factor = st.floats(1, 10)
    return Problem(
        device=draw(_profiles(graph, 1.0)),
        server=draw(_profiles(graph, 0.1)),
        link=draw(_links()),
        target=draw(st.sampled_from(targets)),
        radio=radio,
        device_slowdown=draw(factor),
        device_load=draw(factor),
        server_load=draw(factor),
        paper_energy=draw(st.booleans()),
    )


@st.composite
def _links(draw: st.DrawFn) -> Link:
    rate, fixed = st.floats(1e5, 1e9), st.floats(0, 0.1)
    up, down = draw(rate), draw(rate)
    if draw(st.booleans()):
        return Link(uplink_bps=up, downlink_bps=down, rtt_s=draw(fixed))
    return Link(
        uplink_bps=up, downlink_bps=down, rtt_s=draw(fixed), source="measured",
        uplink_curve=AffineCost(fixed_s=draw(fixed), per_byte_s=8 / up, above_s=0.001),
        downlink_curve=AffineCost(fixed_s=draw(fixed), per_byte_s=8 / down, above_s=0.001),
    )  # fmt: skip


@st.composite
def _profiles(draw: st.DrawFn, graph: ModelGraph, scale: float) -> Profile:
    borders = [index for index in range(1, len(graph.layers)) if draw(st.booleans())]
    edges = [0, *borders, len(graph.layers)]
    groups = [tuple(range(first, last)) for first, last in itertools.pairwise(edges)]
    times = [draw(st.floats(1e-6, 0.1)) * scale for _ in groups]
    message = draw(st.tuples(*[st.sampled_from([0, 135, 20_000])] * 2))
    samples = [
        ProtocolSample(
            uplink_bytes=size, downlink_bytes=size, encode_s=1e-4 + size * 1e-10, uplink_s=2e-4 + size * 2e-10,
            decode_s=3e-4 + size * 3e-10, downlink_s=4e-4 + size * 4e-10,
            uplink_message_bytes=message[0], downlink_message_bytes=message[1],
        )
        for size in (1000, 1_000_000)
    ]  # fmt: skip
    return profile(
        graph, times, groups=groups, rounds=2, power_w=draw(st.floats(0.5, 10)),
        idle_power_w=draw(st.floats(0.1, 1)), protocol=tuple(samples) if draw(st.booleans()) else (),
    )  # fmt: skip
