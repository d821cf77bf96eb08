"""What dividing a model costs, recovered from runs made by hand."""

from __future__ import annotations

import pytest

from offload.artifacts.dividing import DividedRuns, DividingCosts, dividing_costs
from offload.artifacts.profile import ModelIdentity, Profile
from offload.errors import OffloadError
from offload.graph.cuts import make_cut
from offload.models.load import load_torch_model
from offload.models.loaded import LoadedModel
from offload.planners.costs import compute_energy, compute_time, predict, tears_kernel
from offload.profilers import layers
from offload.profilers.layers import profile_model
from offload.reports.profile_warnings import profile_warnings
from offload.runtimes.torch import TorchRuntime
from tests import synthetic

WHOLE_S = 0.010
SHARES = (0.125, 0.375, 0.625, 0.875)


def runs(call_s: float, head_s: float, tail_s: float, *, stray_s: float = 0.0) -> list[DividedRuns]:
    """Four cuts of a model of 10 ms that costs so much to divide; every second cut strays."""
    return [
        DividedRuns(
            device_layers=(0,),
            whole_s=(WHOLE_S,) * 3,
            head_s=(share * (WHOLE_S - call_s) + call_s + head_s + stray_s * (-1) ** number,) * 3,
            tail_s=((1 - share) * (WHOLE_S - call_s) + call_s + tail_s + stray_s * (-1) ** number,) * 3,
        )
        for number, share in enumerate(SHARES)
    ]


@pytest.mark.parametrize(
    ("call_s", "head_s", "tail_s"), [(0.0, 0.0, 0.0), (3e-4, 0.0, 0.0), (0.0, 1e-4, 4e-4), (2e-4, 1e-4, 3e-4)]
)
def test_the_costs_are_recovered(call_s: float, head_s: float, tail_s: float) -> None:
    found = dividing_costs(runs(call_s, head_s, tail_s), SHARES, WHOLE_S)
    assert found.call_s == pytest.approx(call_s, abs=1e-12)
    assert found.head_s.value == pytest.approx(head_s, abs=1e-12)
    assert found.tail_s.value == pytest.approx(tail_s, abs=1e-12)
    assert found.tail_s.high - found.tail_s.low == pytest.approx(0, abs=1e-9)


def test_no_cost_is_negative_and_what_strays_is_in_the_interval() -> None:
    found = dividing_costs(runs(0.0, -2e-4, 3e-4, stray_s=1e-4), SHARES, WHOLE_S)
    assert found.head_s.value == 0
    assert found.head_s.low < -2e-4
    assert found.tail_s.low < 2e-4 < 4e-4 < found.tail_s.high


def test_one_cut_tells_nothing_of_another() -> None:
    found = dividing_costs(runs(0.0, 1e-4, 3e-4)[:1], SHARES[:1], WHOLE_S)
    assert found.head_s.low <= 0
    assert found.tail_s.high >= 5e-4


def test_without_runs_nothing_is_known_to_cost_more() -> None:
    assert dividing_costs((), (), WHOLE_S) == DividingCosts()


def test_a_part_takes_its_layers_a_call_and_what_its_place_adds() -> None:
    plain = synthetic.profile(synthetic.chain(), (0.005, 0.003, 0.002), power_w=2.0)
    made = [
        DividedRuns(
            device_layers=layers,
            whole_s=(0.010,),
            head_s=(share * 0.009 + 0.001 + 0.0001,),
            tail_s=((1 - share) * 0.009 + 0.001 + 0.0004,),
        )
        for layers, share in (((0,), 0.5), ((0, 1), 0.8))
    ]
    profile = plain.model_copy(update={"divided": tuple(made)})
    assert compute_time(profile, [0, 1], "device").value == pytest.approx(0.8 * 0.009 + 0.001 + 0.0001)
    assert compute_time(profile, [2], "server").value == pytest.approx(0.2 * 0.009 + 0.001 + 0.0004)
    assert compute_time(profile, [], "device").value == 0
    for side in ("device", "server"):
        assert compute_time(profile, [0, 1, 2], side).value == pytest.approx(0.010)  # type: ignore[arg-type]
    energy = compute_energy(profile, [0, 1], "device")
    assert energy is not None
    assert energy.value == pytest.approx(2.0 * (0.8 * 0.009 + 0.001 + 0.0001))
    problem = synthetic.problem(device=profile, server=profile, device_slowdown=8.0, server_load=3.0)
    predicted = predict(problem, make_cut(problem.graph, [0, 1]))
    assert predicted.device_s.value == pytest.approx(8 * (0.8 * 0.009 + 0.001 + 0.0001))
    assert predicted.server_s.value == pytest.approx(3 * (0.2 * 0.009 + 0.001 + 0.0004))


@pytest.mark.parametrize(
    ("layers", "count", "message"),
    [
        ((), 1, "cannot be divided into"),
        ((0, 1, 2), 1, "cannot be divided into"),
        ((1,), 1, "cannot be divided into"),
        ((7,), 1, "cannot be divided into"),
        ((0, 1), 2, "another number of samples"),
    ],
)
def test_runs_that_cannot_be_are_refused(layers: tuple[int, ...], count: int, message: str) -> None:
    fused = synthetic.profile(times_s=(0.011, 0.004), groups=[(0, 1), (2,)])
    run = DividedRuns(device_layers=layers, whole_s=(0.015,) * count, head_s=(0.011,), tail_s=(0.004,))
    text = fused.model_copy(update={"divided": (run,)}).to_json()
    with pytest.raises(OffloadError, match=message):
        type(fused).from_json(text, source="a test")


@pytest.fixture(scope="module")
def branching() -> LoadedModel:
    return load_torch_model("tests.tiny_torch:branches", inputs={"x": (16, 8)})


def profiled(model: LoadedModel, max_time_s: float) -> Profile:
    identity = ModelIdentity(
        spec=model.spec, name=model.name, hash=model.hash, batch=model.batch, precision=model.precision,
        weights=model.weights, untrained=True, inputs={}, weights_file=None,
    )  # fmt: skip
    return profile_model(model, TorchRuntime(), identity, threads=1, precision=0.5, max_time_s=max_time_s)


def test_a_profile_runs_the_model_in_two_parts(branching: LoadedModel) -> None:
    profile = profiled(branching, 20.0)
    assert profile.divided
    for run in profile.divided:
        cut = make_cut(profile.graph, run.device_layers)
        assert not tears_kernel(profile, cut)
        assert len(run.whole_s) >= 3
    assert Profile.from_json(profile.to_json(), source="the same").dividing == profile.dividing


def test_without_time_for_it_the_profile_says_so(branching: LoadedModel) -> None:
    profile = profiled(branching, 0.5)
    assert profile.divided == ()
    assert any("dividing the model" in line for line in profile_warnings(profile))


def test_an_interrupt_meanwhile_keeps_the_times(branching: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object, **__: object) -> tuple[DividedRuns, ...]:
        raise KeyboardInterrupt

    monkeypatch.setattr(layers, "divided_runs", press)
    profile = profiled(branching, 20.0)
    assert profile.stopped == "interrupted"
    assert profile.whole.value > 0
