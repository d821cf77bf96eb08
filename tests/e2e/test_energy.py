"""The energy of real models by real runtimes, read from a meter of the clock's own: so many watts, always."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pytest

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError
from offload.models.load import load_model, load_torch_model
from offload.models.loaded import LoadedModel
from offload.models.segments import side_of
from offload.profilers.energy import choose, measure
from offload.profilers.energy.base import MeterLostError
from offload.profilers.energy.jetson import JetsonMeter
from offload.profilers.energy.profile import with_energy
from offload.profilers.layers import random_feeds
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime
from offload.serving import protocol_cost
from tests import synthetic

WATTS = 25.0
BOTH = pytest.mark.parametrize(
    ("load", "runtime"),
    [(load_model, OnnxRuntime()), (load_torch_model, TorchRuntime())],
    ids=["onnxruntime", "torch"],
)
Load = Callable[[str], LoadedModel]


class ClockMeter:
    """A counter of a machine that draws the same power whatever it does; may fail after some readings."""

    name = "clock"
    sensor = "a clock"
    source: Literal["counter", "integrated"] = "counter"

    def __init__(self, *, fails_after: int | None = None, error: BaseException | None = None) -> None:
        self.left, self.error, self.entered = fails_after, error, 0

    def reading(self) -> float:
        return time.perf_counter() // 0.001 * 0.001 * WATTS

    def energy_j(self) -> float:
        if self.left is not None and self.error is not None:
            self.left -= 1
            if self.left < 0:
                raise self.error
        return time.perf_counter() * WATTS

    def integrated_j(self) -> float | None:
        return None

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    def __exit__(self, *unused: object) -> None:
        self.entered -= 1


@pytest.fixture(autouse=True)
def _short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_SHORTEST_S", 0.01)
    monkeypatch.setattr(measure, "_PERIODS", 2)


def one_group_a_layer(model: LoadedModel) -> Profile:
    return synthetic.profile(model.graph, [0.001] * len(model.graph.layers))


def metered(load: Load, runtime: Runtime, meter: ClockMeter, budget_s: float = 60.0) -> Profile:
    model = load("mnist")
    return with_energy(one_group_a_layer(model), model, runtime, meter, threads=1, budget_s=budget_s)


@BOTH
def test_every_kind_is_measured(load: Load, runtime: Runtime) -> None:
    meter = ClockMeter()
    profile = metered(load, runtime, meter)
    assert profile.energy is not None
    assert profile.energy_lost is None
    assert {profile.group_kinds[one.group] for one in profile.energy.groups} == set(profile.group_kinds)
    assert profile.idle_power_w == profile.energy.idle_power_w.value
    assert meter.entered == 0
    everything = profile.energy_of(range(len(profile.groups)))
    assert everything is not None
    assert everything.value == pytest.approx(profile.energy.whole_j.value)


@BOTH
def test_any_group_cut_out_computes_what_it_does_in_the_model(load: Load, runtime: Runtime) -> None:
    model = load("mnist")
    graph = model.graph
    everything = side_of(graph, range(len(graph.layers)))
    inner = tuple(name for layer in graph.layers for name in layer.outputs)
    feeds = random_feeds(graph)
    whole = model.segment(type(everything)(layers=everything.layers, inputs=graph.inputs, outputs=inner))
    values = feeds | runtime.load(whole, threads=1).run(feeds)
    for first in range(0, len(graph.layers), 2):
        side = side_of(graph, range(first, min(first + 2, len(graph.layers))))
        session = runtime.load(model.segment(side), threads=1)
        inputs = {name: values[name] for name in side.inputs}
        for name, value in session.run(inputs).items():
            np.testing.assert_allclose(value, values[name], rtol=1e-4, atol=1e-5)
        session.repeat(inputs, 3)


@pytest.mark.parametrize(
    ("error", "lost", "stopped"),
    [
        (MeterLostError("the sensor vanished", hint="x"), "the sensor vanished", "precision"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
    ],
)
def test_a_meter_that_fails_on_the_way_leaves_the_times(error: BaseException, lost: str, stopped: str) -> None:
    meter = ClockMeter(fails_after=4, error=error)
    profile = metered(load_model, OnnxRuntime(), meter)
    assert profile.energy is None
    assert profile.energy_lost is not None
    assert lost in profile.energy_lost
    assert profile.stopped == stopped
    assert profile.energy_source == "none"
    assert profile.whole_s
    assert meter.entered == 0
    assert Profile.from_json(profile.to_json(), source="x") == profile


def request(**changes: object) -> api.ProfileRequest:
    return api.ProfileRequest(model="mnist", threads=1, max_time_s=0.2, **changes)  # type: ignore[arg-type]


def test_profile_reads_the_meter_that_fits(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def open_meter(name: str, device: str) -> ClockMeter | None:
        asked.append((name, device))
        return None if name == "none" else ClockMeter()

    monkeypatch.setattr(choose, "open_meter", open_meter)
    monkeypatch.setattr(protocol_cost, "measure_protocol", lambda _: ())
    profile = api.profile(request(), workspace=workspace)
    assert profile.energy_source == "counter"
    declared = api.profile(request(power_w=5.0, idle_power_w=1.0), workspace=workspace)
    assert (declared.energy_source, declared.energy, declared.idle_power_w) == ("modelled", None, 1.0)
    idle = api.profile(request(idle_power_w=2.0), workspace=workspace)
    assert (idle.energy_source, idle.idle_power_w) == ("counter", 2.0)
    assert asked == [("auto", "cpu"), ("none", "cpu"), ("auto", "cpu")]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"power_w": 5.0, "meter": "rapl"}, "--power models the energy, --meter rapl measures it"),
        ({"power_w": 1.0, "idle_power_w": 2.0}, "--idle-power 2W is above --power 1W"),
        ({"meter": "nvml"}, "does not measure cpu"),
        ({"meter": "auto", "on": "127.0.0.1:1", "threads": None}, "--meter reads this machine"),
    ],
)
def test_wishes_that_contradict_each_other(workspace: Workspace, changes: dict[str, object], message: str) -> None:
    asked = {"model": "mnist", **changes}
    with pytest.raises(UsageError, match=message):
        api.profile(api.ProfileRequest(**asked), workspace=workspace)  # type: ignore[arg-type]


def test_a_meter_asked_for_by_name_must_be_there(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(choose, "JetsonMeter", lambda: JetsonMeter(tmp_path))
    with pytest.raises(OffloadError, match="no INA3221 rail"):
        api.profile(request(meter="jetson"), workspace=workspace)
