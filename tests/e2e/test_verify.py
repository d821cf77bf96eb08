"""Plans proved over real sockets against real server processes, and everything that can go wrong on the way."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from onnx import helper

from offload import api
from offload.artifacts.breakdown import TIME_FIELDS
from offload.artifacts.estimate import Estimate
from offload.artifacts.link import Direction
from offload.artifacts.plan import Option, Plan
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError, VerdictError
from offload.graph.cuts import make_cut
from offload.models.load import load_model
from offload.models.segments import Segment
from offload.planners.words import describe
from offload.progress import NullProgress
from offload.runtimes.base import Session
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.background_traffic import background_traffic
from offload.serving.builtin_models import MODELS, PING, PROBE_DOWN, PROBE_UP, PROFILE
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_probes import Probes
from offload.serving.server import ServeSettings
from offload.serving.split_session import SplitSession
from offload.serving.timing import InferResult
from offload.serving.upload import UploadLimits
from offload.verification import deployment, execute
from offload.verification import verify as verification
from offload.verification.deployment import Deployed
from offload.verification.rounds import Contender
from offload.verification.verify import verdict_of
from tests.serving_models import floats, model_bytes, small_network


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    path.write_bytes(small_network())
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def plan_file(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan that divides the model after its second convolution, whatever this machine would choose."""
    workspace = Workspace(tmp_path_factory.mktemp("plans"))
    profile = api.profile(
        api.ProfileRequest(model=str(model_file), inputs={}, threads=1, max_time_s=2.0), workspace=workspace
    )
    profile_path = workspace.save(profile, name="small")
    plan = api.plan(
        api.PlanRequest(profile=profile_path, server=str(profile_path), uplink_bps=100e6, rtt_s=0.002),
        workspace=workspace,
    )
    return workspace.save(plan.model_copy(update={"chosen": divided(plan, model_file)}), name="small")


def divided(plan: Plan, model_file: Path) -> Option:
    options = (plan.chosen, *plan.alternatives)
    return next(option for option in options if option.place == "both")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server for verifications that are not about starting one, nor about the emulated link."""
    with EmbeddedServer(threads=1) as server:
        yield server.address


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    left = set(psutil.Process().children(recursive=True)) - before
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive


def verify(plan_file: Path, workspace: Workspace, progress: NullProgress | None = None, **request: Any) -> Verification:
    return api.verify(
        api.VerifyRequest(plan=plan_file, **({"requests": 12} | request)), workspace=workspace, progress=progress
    )


def test_a_plan_is_executed_and_every_field_measured(plan_file: Path, workspace: Workspace) -> None:
    found = verify(plan_file, workspace)
    assert found.server == "embedded"
    assert found.network_split == "server clock"
    assert found.output_error < 1e-4
    assert len(found.chosen.samples) == 12
    assert found.chosen.option.place == "both"
    for sample in found.chosen.samples:
        parts = sum(getattr(sample, field) for field in TIME_FIELDS)
        assert parts == pytest.approx(sample.latency_s, abs=0.002)
        assert min(sample.device_s, sample.uplink_s, sample.server_s, sample.downlink_s) > 0
        assert sample.compute_input_s is not None
        assert sample.compute_output_s is not None
        assert sample.receive_s is not None
        assert sample.compute_input_s <= sample.decode_s
        assert sample.compute_output_s + sample.receive_s <= sample.downlink_s
        sent_bits = found.chosen.option.uplink_bytes * 8
        assert sample.uplink_s >= 0.9 * (0.001 + sent_bits / 100e6)
    assert found.device_only is not None
    assert found.server_only is not None
    assert all(sample.uplink_s == 0 and sample.server_s == 0 for sample in found.device_only.samples)
    assert found.server_only.option.place == "server"
    assert found.tail_bytes > 0
    assert found.upload_s > 0
    assert Verification.from_json(found.to_json(), source="it") == found
    assert found.verdict == verdict_of(found)
    assert not any("not the plan's" in warning for warning in found.warnings)


def test_a_slower_device_is_emulated_by_repeating_its_work(
    plan_file: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = []

    class CountedSession:
        def __init__(self, session: Session) -> None:
            self.session, self.runs = session, 0

        def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            self.runs += 1
            return self.session.run(feeds)

    def load(self: OnnxRuntime, segment: Segment, *, threads: int) -> Session:
        sessions.append(CountedSession(loaded(self, segment, threads=threads)))
        return sessions[-1]

    loaded = OnnxRuntime.load
    monkeypatch.setattr(OnnxRuntime, "load", load)
    slow = verify(plan_file, workspace, requests=6, device_slowdown=50.0, emulate_link="50mbps,2ms")
    assert any("slowed" in warning for warning in slow.warnings)
    assert any("emulated link is not the plan's" in warning for warning in slow.warnings)
    checked_and_warmed_up = 1 + 3
    whole, chosen, device_only, *_references = (session.runs for session in sessions)
    assert whole == 1
    assert slow.device_only is not None
    for runs, samples in ((chosen, slow.chosen.samples), (device_only, slow.device_only.samples)):
        requests, rest = divmod(runs - checked_and_warmed_up, 4)
        assert rest == 0
        assert len(samples) <= requests <= 2 * len(samples)


def test_background_traffic_shares_the_emulated_link(
    plan_file: Path, workspace: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def send(self: Probes, client: ServerClient, direction: Direction, payload: Any, **more: Any) -> InferResult:
        sent.append(payload.nbytes)
        return real(self, client, direction, payload, **more)

    real = Probes.send
    monkeypatch.setattr(Probes, "send", send)
    found = verify(plan_file, workspace, requests=4, server=address, emulate_link="20mbps", background_traffic=True)
    assert len(sent) > 1
    assert set(sent) == {250_000}  # a tenth of a second of 20 Mbit/s
    assert found.link.endswith("each way, beside background traffic")
    assert any("there was background traffic on the link" in warning for warning in found.warnings)


def test_background_traffic_that_breaks_off_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(self: Probes, client: Any, direction: Any, payload: Any) -> InferResult:
        assert payload.nbytes == 8 * 2**20  # of a tenth of a second there would be 1.25 GB
        tried.set()
        raise OffloadError("no more", hint="")

    tried = threading.Event()
    monkeypatch.setattr(Probes, "send", send)
    with (
        ServerClient(address) as client,
        pytest.raises(OffloadError, match="the background traffic broke off: no more"),
        background_traffic(client, client, rate_bps=1e11),
    ):
        assert tried.wait(10)


def test_background_traffic_needs_an_emulated_link(plan_file: Path, workspace: Workspace, address: str) -> None:
    with pytest.raises(UsageError, match="--background-traffic goes over an emulated link"):
        verify(plan_file, workspace, server=address, background_traffic=True)


def test_the_loads_that_a_plan_is_for_are_emulated(
    plan_file: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[dict[str, Any]] = []

    class Noted(SplitSession):
        def __init__(self, **arguments: Any) -> None:
            sessions.append(arguments)
            super().__init__(**arguments)

    monkeypatch.setattr(deployment, "SplitSession", Noted)
    plan = Plan.load(plan_file)
    busy = workspace.save(
        plan.model_copy(
            update={
                "device": dataclasses.replace(plan.device, slowdown=3.0, load=2.0),
                "server": dataclasses.replace(plan.server, load=50.0),
            }
        ),
        name="small",
    )
    found = verify(busy, workspace, requests=5)
    assert {(one["slowdown"], one["server_load"]) for one in sessions} == {(6.0, 50.0)}
    assert found.server_only is not None
    for sample in found.server_only.samples:
        parts = sum(getattr(sample, field) for field in TIME_FIELDS)
        assert parts == pytest.approx(sample.latency_s, abs=0.002)
    assert sum("computes" in warning and "so many times" in warning for warning in found.warnings) == 2
    sessions.clear()
    with EmbeddedServer(threads=1) as server:
        elsewhere = verify(busy, workspace, requests=3, server=server.address)
    assert {(one["slowdown"], one["server_load"]) for one in sessions} == {(6.0, 1.0)}
    assert sum("took the server's load as it was" in warning for warning in elsewhere.warnings) == 1


@pytest.mark.parametrize("role", ["chosen", "device_only", "server_only"])
@pytest.mark.parametrize(("field", "value"), [("latency_s", 0.0), ("latency_s", -1.0), ("device_s", -1.0)])
def test_a_plan_of_times_that_no_request_takes(
    plan_file: Path, workspace: Workspace, role: str, field: str, value: float
) -> None:
    plan = Plan.load(plan_file)
    option = getattr(plan, role)
    breakdown = dataclasses.replace(option.breakdown, **{field: Estimate.exactly(value)})
    edited = plan.model_copy(update={role: dataclasses.replace(option, breakdown=breakdown)})
    with pytest.raises(OffloadError, match="the plan is damaged: it predicts a time that no request takes") as caught:
        verify(workspace.save(edited, name="small"), workspace)
    assert caught.value.exit_code == 1


def test_a_running_server_is_used_as_it_is_and_left_clean(plan_file: Path, workspace: Workspace, address: str) -> None:
    found = verify(plan_file, workspace, server=address)
    assert found.link == "the network as it is"
    assert found.server == address
    assert loaded_by(address) <= BUILT_IN


def test_two_verifications_at_once_leave_each_other_alone(plan_file: Path, workspace: Workspace, address: str) -> None:
    def verify_again() -> None:
        verify(plan_file, workspace, server=address, requests=3)

    found = verify(plan_file, workspace, AtRequest(3, verify_again), server=address)
    assert len(found.chosen.samples) == 12


BUILT_IN = {PING, PROBE_UP, PROBE_DOWN, PROFILE, MODELS}


def loaded_by(address: str) -> set[str]:
    with triton.InferenceServerClient(address) as client:
        return {model.name for model in client.get_model_repository_index().models}


def test_a_server_that_tells_no_times_is_measured_by_its_statistics(
    plan_file: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerClient, "clock_offset", lambda self, samples=20: None)
    found = verify(plan_file, workspace)
    assert found.network_split == "predicted downlink"
    assert found.chosen.measured["server_s"].value > 0
    assert found.chosen.measured["uplink_s"].value > 0
    for sample in found.chosen.samples:
        parts = sum(getattr(sample, field) for field in TIME_FIELDS)
        assert parts == pytest.approx(sample.latency_s, abs=0.002)


class AtRequest(NullProgress):
    """Does something after some requests."""

    def __init__(self, number: int, action: Callable[[], None]) -> None:
        self.left, self.action = number, action

    def advance(self, steps: float = 1.0, *, total: float | None = None) -> None:
        self.left -= 1
        if not self.left:
            self.action()


def test_the_server_dying_in_the_middle_is_a_clear_error(plan_file: Path, workspace: Workspace) -> None:
    with EmbeddedServer(threads=1) as server, pytest.raises(OffloadError) as caught:
        verify(plan_file, workspace, AtRequest(3, server.kill), server=server.address)
    assert server.address in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 1


def test_alternatives_are_measured_in_the_same_rounds(plan_file: Path, workspace: Workspace, address: str) -> None:
    found = verify(plan_file, workspace, alternatives=2, server=address)
    plan = Plan.load(plan_file)
    assert [role for role in found.by_role() if role.startswith("alternative")] == ["alternative 1", "alternative 2"]
    measured = found.by_role().values()
    assert len({measurement.option.device_layers for measurement in measured}) == 5
    assert {measurement.option for measurement in found.alternatives} <= set(plan.alternatives)
    rounds = {sample.round_number for sample in found.chosen.samples}
    for measurement in measured:
        assert len(measurement.samples) >= 3
        assert {sample.round_number for sample in measurement.samples} <= rounds
    assert set(found.regret.over) == {"device-only", "server-only", "alternative 1", "alternative 2"}
    medians = {role: one.measured["latency_s"].value for role, one in found.by_role().items()}
    assert found.regret.fraction.value == pytest.approx(medians["chosen"] / min(medians.values()) - 1)
    assert Verification.from_json(found.to_json(), source="it") == found


def test_a_plan_for_energy_has_its_regret_in_joules(plan_file: Path, workspace: Workspace) -> None:
    newest = Workspace(plan_file.parent).newest(Profile)
    assert newest is not None
    profile = workspace.save(newest[1].model_copy(update={"power_w": 3.0, "idle_power_w": 1.0}), name="small")
    request = api.PlanRequest(
        profile=profile, server=str(profile), uplink_bps=10e6, rtt_s=0.002, target="energy", radio="wifi"
    )
    plan = api.plan(request, workspace=workspace)
    found = verify(workspace.save(plan, name="small"), workspace, requests=5, alternatives=3)
    for measurement in found.by_role().values():
        option, joules = measurement.option, found.costs(measurement, "energy")
        assert joules is not None
        sends = option.place != "device"
        up_bytes = option.uplink_bytes + sends * plan.uplink_message_bytes
        down_bytes = option.downlink_bytes + sends * plan.downlink_message_bytes
        up_j = (0.28317 * 10 + 0.13286) * up_bytes * 8 / 10e6
        down_j = (0.13701 * 10 + 0.13286) * down_bytes * 8 / 10e6
        for sample, energy_j in zip(measurement.samples, joules, strict=True):
            waited_j = 1.0 * (sample.latency_s - sample.device_s)
            assert energy_j == pytest.approx(3.0 * sample.device_s + waited_j + up_j + down_j, rel=1e-6)
    medians = {role: np.median(found.costs(one, "energy") or ()) for role, one in found.by_role().items()}
    assert found.target_regret is not None
    assert found.target_regret.fraction.value == pytest.approx(medians["chosen"] / min(medians.values()) - 1)


def test_more_alternatives_than_the_plan_names(plan_file: Path, workspace: Workspace, address: str) -> None:
    found = verify(plan_file, workspace, requests=3, alternatives=99, server=address)
    assert any("99 were asked for" in warning for warning in found.warnings)


def test_a_duration_ends_the_run(plan_file: Path, workspace: Workspace, address: str) -> None:
    found = verify(plan_file, workspace, requests=None, duration_s=1.0, server=address)
    assert found.stopped == "duration"
    assert found.measuring_s is not None
    starts = [sample.started_s for sample in found.chosen.samples]
    assert starts == sorted(starts)
    assert 0 <= starts[0] < starts[-1] < found.measuring_s


def test_an_option_much_slower_than_the_run_is_told_of(
    plan_file: Path, workspace: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contender(one: Deployed, feeds: Any) -> Contender:
        found = warmed_up(one, feeds)
        return dataclasses.replace(found, request_s=3600.0) if one.option.place == "device" else found

    warmed_up = execute.contender
    monkeypatch.setattr(verification, "contender", contender)
    plan = Plan.load(plan_file)
    on_the_server = workspace.save(plan.model_copy(update={"chosen": plan.server_only}), name="small")
    found = verify(on_the_server, workspace, requests=5, server=address)
    assert found.device_only is None
    assert [one.role for one in found.left_out] == ["device-only"]
    assert found.left_out[0].request_s == 3600.0
    assert found.regret.over == ()
    assert found.corrected_error is not None


def test_an_interrupt_keeps_what_was_measured(plan_file: Path, workspace: Workspace, address: str) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    found = verify(plan_file, workspace, AtRequest(7, press), server=address, requests=1000)
    assert loaded_by(address) <= BUILT_IN
    assert found.stopped == "interrupted"
    assert len(found.chosen.samples) == 7
    assert any("interrupted after 7 requests" in warning for warning in found.warnings)
    assert found.verdict == verdict_of(found)
    for one in found.left_out:
        assert one.interrupted


def test_an_interrupt_leaves_no_model_behind(plan_file: Path, workspace: Workspace, address: str) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(plan_file, workspace, AtRequest(3, press), server=address)
    assert loaded_by(address) <= BUILT_IN


def test_a_server_that_refuses_the_upload(plan_file: Path, workspace: Workspace) -> None:
    settings = ServeSettings(limits=UploadLimits(max_upload_bytes=1000))
    with EmbeddedServer(threads=1, settings=settings) as server, pytest.raises(OffloadError) as caught:
        verify(plan_file, workspace, server=server.address)
    assert caught.value.exit_code == 1
    assert "1000" in caught.value.message or "1.0 kB" in caught.value.message


def test_wrong_numbers_are_a_negative_verdict(
    plan_file: Path, workspace: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = ServerClient.infer

    def perturbed(self: ServerClient, name: str, feeds: Mapping[str, Any], **options: Any) -> InferResult:
        result = infer(self, name, feeds, **options)
        if not name.startswith("offload-probe"):
            for key, value in result.outputs.items():
                result.outputs[key] = value + 0.5  # type: ignore[index]
        return result

    monkeypatch.setattr(ServerClient, "infer", perturbed)
    with pytest.raises(VerdictError) as caught:
        verify(plan_file, workspace, server=address)
    assert "wrong numbers" in caught.value.message
    assert caught.value.exit_code == 4


def test_a_server_that_says_yes_and_ignores_the_upload(
    plan_file: Path, workspace: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerClient, "upload", lambda self, name, onnx, **options: None)
    with pytest.raises(OffloadError, match="does not have it ready"):
        verify(plan_file, workspace, server=address)


def test_no_server(plan_file: Path, workspace: Workspace) -> None:
    with pytest.raises(OffloadError) as caught:
        verify(plan_file, workspace, server="127.0.0.1:9")
    assert "127.0.0.1:9" in caught.value.message


def test_a_plan_for_another_model(plan_file: Path, workspace: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "small.onnx"
    other.write_bytes(small_network(seed=1))
    plan = Plan.load(plan_file)
    moved = plan.model_copy(update={"model": dataclasses.replace(plan.model, spec=str(other))})
    with pytest.raises(OffloadError, match="small had the content"):
        verify(workspace.save(moved, name="small"), workspace)


def test_a_prediction_that_is_far_off_is_out_of_tolerance(plan_file: Path, workspace: Workspace, address: str) -> None:
    found = verify(plan_file, workspace, tolerance=1e-9, server=address)
    assert found.verdict in {"out of tolerance", "cannot tell"}


def test_a_model_with_an_output_of_its_head(tmp_path: Path) -> None:
    """An output that the device computes is not fetched from the server."""
    nodes = [
        helper.make_node("Relu", ["x"], ["early"], name="early"),
        helper.make_node("Neg", ["early"], ["late"], name="late"),
    ]
    path = tmp_path / "two.onnx"
    path.write_bytes(model_bytes(nodes, [floats("x", 1, 4)], [floats("early", 1, 4), floats("late", 1, 4)]))
    model = load_model(str(path))
    cut = make_cut(model.graph, {0})
    assert "send 1 tensor, 16 B" in describe(model.graph, cut)
    from offload.runtimes.onnxruntime import OnnxRuntime

    segments = model.divide(cut)
    assert segments.head is not None
    assert segments.tail is not None
    with EmbeddedServer(threads=1) as server, ServerClient(server.address) as client:
        client.upload("late", segments.tail.onnx)
        session = SplitSession(
            head=(OnnxRuntime().load(segments.head, threads=1), segments.head.inputs),
            tail="late", client=client, cut=cut, outputs=model.graph.outputs, offset=client.clock_offset(),
        )  # fmt: skip
        x = np.array([[-1, 2, -3, 4]], np.float32)
        outputs, _ = session.run({"x": x})
    np.testing.assert_array_equal(outputs["early"], [[0, 2, 0, 4]])
    np.testing.assert_array_equal(outputs["late"], [[0, -2, 0, -4]])


def test_a_model_is_profiled_on_a_server(
    model_file: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `plan` profiles on the server with the defaults: few and rough rounds tell as much here.
    quick = functools.partial(api.ProfileRequest, max_time_s=1.0, precision=0.5)
    monkeypatch.setattr(api, "ProfileRequest", quick)
    with EmbeddedServer(threads=2) as server:
        request = api.ProfileRequest(model=str(model_file), inputs={}, on=server.address)
        profile = api.profile(request, workspace=workspace)
        assert profile.runtime.threads == 2
        assert profile.measured_on == server.address
        assert profile.model.hash == load_model(str(model_file)).hash
        assert profile.model.name == "small"
        local = api.profile(api.ProfileRequest(model=str(model_file), inputs={}, threads=1), workspace=workspace)
        assert local.measured_on is None
        device = workspace.save(local, name="d")
        plan = api.plan(api.PlanRequest(profile=device, server=server.address, uplink_bps=1e9), workspace=workspace)
    assert plan.server.source == "measured"
    assert plan.server.runtime.threads == 2
