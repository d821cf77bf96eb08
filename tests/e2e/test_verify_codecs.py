"""Plans that carry a tensor in a codec, executed over real sockets: times, sizes, accuracy, and what can be wrong."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from offload import api
from offload.artifacts.breakdown import TIME_FIELDS
from offload.artifacts.codec import SymbolCoding
from offload.artifacts.estimate import Estimate
from offload.artifacts.plan import Coding, Option, Plan
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from offload.codecs.catalogue import make_codec
from offload.codecs.trained import TrainedFiles
from offload.errors import OffloadError, UsageError, VerdictError
from offload.graph.cuts import prefix_cuts
from offload.models.load import load_model
from offload.progress import NullProgress
from offload.reports.render import render
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.timing import InferResult
from tests.made_codecs import quantiser
from tests.serving_models import small_network

CUT = "r1"
"""What the second convolution's ReLU makes crosses."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a model, its plan without codecs and labelled data that it answers well."""
    folder = tmp_path_factory.mktemp("codecs")
    (folder / "small.onnx").write_bytes(small_network())
    workspace = Workspace(folder)
    profile = api.profile(
        api.ProfileRequest(model=str(folder / "small.onnx"), inputs={}, threads=1, max_time_s=2.0), workspace=workspace
    )
    path = workspace.save(profile, name="small")
    plan = api.plan(api.PlanRequest(profile=path, server=str(path), uplink_bps=100e6, rtt_s=0.002), workspace=workspace)
    (folder / "plan.json").write_text(plan.to_json())
    images, labels = labelled(folder / "small.onnx")
    np.savez(folder / "data.npz", x_test=images, y_test=labels)
    return folder


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server for verifications that are not about the emulated link: starting one takes longer than they do."""
    with EmbeddedServer(threads=1) as server:
        yield server.address


def labelled(path: Path, examples: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Images of few colours, each labelled with the model's own answer, one in ten wrongly."""
    generator = np.random.default_rng(5)
    colours = generator.standard_normal((examples, 3, 1, 1), dtype=np.float32)
    images = colours + 0.3 * generator.standard_normal((examples, 3, 64, 64), dtype=np.float32)
    session = OnnxRuntime().load(load_model(str(path)).whole, threads=1)
    labels = np.array([int(session.run({"image": image[None]})["scores"].argmax()) for image in images])
    labels[::10] = (labels[::10] + 1) % 10
    return images, labels


def coding(codec: str, *, change: float = 0.0, within: float = 0.0) -> Coding:
    """What a bench might have told of a codec."""
    return Coding(
        codec=codec, method=codec, payload_bytes=Estimate.exactly(1000.0), encode_s=Estimate.exactly(1e-4),
        decode_s=Estimate.exactly(1e-4), accuracy=0.9 + change,
        accuracy_change=Estimate(value=change, low=change - within, high=change + within),
    )  # fmt: skip


def coded_plan(folder: Path, *codings: Coding, tensor: str = CUT) -> Path:
    """The plan with the first coding chosen at a cut, and the others as its alternatives there."""
    plan = Plan.load(folder / "plan.json")
    options = (plan.chosen, plan.server_only, plan.device_only, *plan.alternatives)
    at = next(option for option in options if [sent.name for sent in option.sends] == [tensor])
    first, *others = (dataclasses.replace(at, coding=each) for each in codings)
    changed = plan.model_copy(
        update={
            "chosen": first, "alternatives": tuple(others), "codec": first.codec, "codec_data": "data.npz",
            "planner": "deepcod",
        }
    )  # fmt: skip
    return Workspace(folder).save(changed, name="coded")


def verify(folder: Path, plan: Path, **request: Any) -> Verification:
    return api.verify(api.VerifyRequest(plan=plan, **({"requests": 6} | request)), workspace=Workspace(folder))


def test_a_host_codec_is_executed_and_its_accuracy_measured_over_the_wire(folder: Path) -> None:
    plan = coded_plan(folder, coding("int8+zstd"), coding("fp16"), coding("int8"))
    found = verify(folder, plan, data=str(folder / "data.npz"), samples=40, alternatives=2)
    assert found.output_error < 1e-3
    assert [one.option.codec for one in found.alternatives] == ["fp16", "int8"]
    assert set(found.regret.over) >= {"alternative 1", "alternative 2"}
    tensor = found.chosen.option.sends[0]
    for measurement in (found.chosen, *found.alternatives):
        codec = make_codec(measurement.option.codec, tensor)
        for sample in measurement.samples:
            assert 0 < sample.payload_bytes <= codec.max_bytes
            assert sample.encode_s > 0
            assert 0 < sample.payload_decode_s <= sample.compute_input_s <= sample.decode_s
            parts = sum(getattr(sample, field) for field in TIME_FIELDS)
            assert parts == pytest.approx(sample.latency_s, abs=0.002)
        accuracy = measurement.accuracy
        assert accuracy is not None
        assert accuracy.task == "classification"
        assert len(accuracy.errors) == len(accuracy.payload_bytes) == 40
        assert accuracy.intact_accuracy == pytest.approx(0.9, abs=0.1)
        assert abs(accuracy.change.value) <= 0.05
    assert found.alternatives[0].accuracy.payload_bytes == (make_codec("fp16", tensor).max_bytes,) * 40
    assert found.server_only is not None
    assert found.server_only.accuracy is None
    assert all(sample.payload_bytes is None for sample in found.server_only.samples)
    assert not any("--data" in warning for warning in found.warnings)
    assert Verification.from_json(found.to_json(), source="it") == found
    text = render(found, "table", width=200)
    assert "Accuracy over the wire, 40 examples of" in text
    assert "int8+zstd" in text
    assert render(found, "csv").count("int8+zstd") == 1


def test_less_accurate_than_promised_is_a_negative_verdict(folder: Path, address: str) -> None:
    plan = coded_plan(folder, coding("interpolate:factor=16,bits=1"))
    asked: dict[str, Any] = {"data": str(folder / "data.npz"), "tolerance": 100.0, "server": address}
    found = verify(folder, plan, **asked)
    assert found.output_error < 1e-3
    assert found.chosen.accuracy is not None
    assert found.chosen.accuracy.change.high < 0
    assert found.verdict == "less accurate than promised"
    assert "this plan is less accurate than promised, beyond chance" in " ".join(render(found, "table").split())
    lossy = -found.chosen.accuracy.change.value
    foreseen = coded_plan(folder, coding("interpolate:factor=16,bits=1", change=-lossy))
    assert verify(folder, foreseen, **asked).verdict == "within tolerance"


def test_without_data_the_reader_is_told_what_is_missing(folder: Path, address: str) -> None:
    found = verify(folder, coded_plan(folder, coding("int8")), server=address)
    assert found.chosen.accuracy is None
    assert any("add --data data.npz" in warning for warning in found.warnings)


@pytest.mark.slow
def test_a_cut_at_the_input(folder: Path) -> None:
    found = verify(folder, coded_plan(folder, coding("jpeg:quality=80,mean=-3,std=6"), tensor="image"))
    assert found.chosen.option.place == "server"
    assert all(sample.device_s == 0 and sample.payload_bytes < 64 * 64 * 3 for sample in found.chosen.samples)
    assert found.server_only is not None
    assert found.server_only.option.coding is None


@pytest.mark.slow
def test_a_plan_without_codecs_can_be_asked_for_its_accuracy(folder: Path) -> None:
    found = verify(folder, folder / "plan.json", data=str(folder / "data.npz"), samples=10)
    assert found.chosen.accuracy is not None
    assert found.chosen.accuracy.change == Estimate.exactly(0.0)
    assert found.chosen.accuracy.payload_bytes == ()


def activations(folder: Path) -> float:
    """The largest value of the tensor at the cut, for the first example."""
    model = load_model(str(folder / "small.onnx"))
    image = np.load(folder / "data.npz")["x_test"][:1]
    head = model.divide(next(cut for cut in prefix_cuts(model.graph) if cut.crossing == (CUT,))).head
    assert head is not None
    return float(OnnxRuntime().load(head, threads=1).run({"image": image})[CUT].max())


def made(folder: Path, coding_of_symbols: SymbolCoding) -> TrainedFiles:
    """A trained codec for the cut, in the workspace."""
    model = load_model(str(folder / "small.onnx"))
    tensor = model.graph.tensor_by_name[CUT]
    step = activations(folder) / 8
    return quantiser(folder / "codecs", model, tensor, coding=coding_of_symbols, step=step)


@pytest.mark.parametrize("symbols", ["packed", "range"])
def test_a_trained_codec_is_executed_with_its_decoder_in_front_of_the_tail(folder: Path, symbols: SymbolCoding) -> None:
    files = made(folder, symbols)
    plan = coded_plan(folder, coding(files.manifest.text, change=-0.05, within=0.05))
    found = verify(folder, plan, data=str(folder / "data.npz"), samples=40, device_slowdown=3.0)
    assert found.output_error < 1e-3
    assert found.chosen.decoder_s is not None
    assert found.chosen.decoder_s > 0
    tensor = found.chosen.option.sends[0]
    for sample in found.chosen.samples:
        assert sample.payload_decode_s >= min(found.chosen.decoder_s, sample.server_s)
        assert sample.payload_decode_s <= sample.decode_s
        parts = sum(getattr(sample, field) for field in TIME_FIELDS)
        assert parts == pytest.approx(sample.latency_s, abs=0.002)
    assert found.chosen.accuracy is not None
    assert len(found.chosen.accuracy.errors) == 40
    if symbols == "packed":
        assert set(found.chosen.accuracy.payload_bytes) == {4 + tensor.size_bytes // 8}
    decoder_alone = len(files.decoder)
    assert found.tail_bytes > decoder_alone
    assert "measured apart" in " ".join(render(found, "table").split())
    assert found.verdict != "less accurate than promised"


@pytest.fixture
def like_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server passes over announcements, and tells times by its statistics only."""
    upload = ServerClient.upload

    def plain(self: ServerClient, name: str, onnx: bytes, *, coded: Any = None, **options: Any) -> None:
        upload(self, name, onnx, **options)
        if coded:
            self._check_decodes(name, coded)

    monkeypatch.setattr(ServerClient, "upload", plain)
    monkeypatch.setattr(ServerClient, "clock_offset", lambda self, samples=20: None)


@pytest.mark.usefixtures("like_triton")
def test_a_server_that_decodes_nothing_still_runs_packed_codecs(folder: Path, address: str) -> None:
    found = verify(folder, coded_plan(folder, coding(made(folder, "packed").manifest.text)), server=address)
    assert found.network_split == "predicted downlink"
    assert found.chosen.decoder_s is not None
    assert found.chosen.decoder_s > 0
    assert all(sample.payload_decode_s for sample in found.chosen.samples)


@pytest.mark.usefixtures("like_triton")
@pytest.mark.parametrize("codec", ["range", "int8"])
def test_a_server_that_decodes_nothing_is_told_of(folder: Path, address: str, codec: str) -> None:
    text = made(folder, "range").manifest.text if codec == "range" else codec
    with pytest.raises(OffloadError, match="does not decode payloads") as caught:
        verify(folder, coded_plan(folder, coding(text)), server=address)
    assert "offload serve" in caught.value.hint


class Interrupted(NullProgress):
    """Ctrl-C at the third labelled example."""

    measuring, told = False, 0

    def start(self, task: str, total: float | None = None) -> None:
        self.measuring = task == "measuring accuracy"

    def advance(self, steps: float = 1.0, *, total: float | None = None) -> None:
        self.told += self.measuring
        if self.told == 3:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_the_examples_so_far(folder: Path, address: str) -> None:
    request = api.VerifyRequest(
        plan=coded_plan(folder, coding("int8")), requests=6, data=str(folder / "data.npz"), server=address
    )
    found = api.verify(request, workspace=Workspace(folder), progress=Interrupted())
    assert found.stopped == "interrupted"
    assert len(found.chosen.samples) == 6
    assert found.chosen.accuracy is not None
    assert len(found.chosen.accuracy.errors) == 3


def test_wrong_numbers_behind_a_codec_are_a_negative_verdict(
    folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server decodes other bytes than the device has made of the tensor."""
    infer = ServerClient.infer

    def on_the_way(self: ServerClient, name: str, feeds: Any, **options: Any) -> InferResult:
        if "r1" in feeds and feeds["r1"].dtype == np.uint8:
            payload = feeds["r1"].copy()
            payload[-200:] ^= 0x40
            feeds = {"r1": payload}
        return infer(self, name, feeds, **options)

    monkeypatch.setattr(ServerClient, "infer", on_the_way)
    with pytest.raises(VerdictError, match="wrong numbers"):
        verify(folder, coded_plan(folder, coding("int8")), server=address)


@pytest.mark.slow
def test_no_model_is_left_on_the_server(folder: Path) -> None:
    with EmbeddedServer(threads=1) as server:
        verify(folder, coded_plan(folder, coding(made(folder, "packed").manifest.text)), server=server.address)
        with triton.InferenceServerClient(server.address) as client:
            names = [model.name for model in client.get_model_repository_index().models]
    assert not [name for name in names if not name.startswith(("offload-p", "offload-m"))]


def test_a_trained_codec_for_another_cut_or_with_damaged_files(folder: Path) -> None:
    files = made(folder, "packed")
    elsewhere = coded_plan(folder, coding(files.manifest.text), tensor="r2")
    with pytest.raises(OffloadError, match="was trained for the cut at r1, not at r2"):
        verify(folder, elsewhere)
    here = coded_plan(folder, coding(files.manifest.text))
    decoder = files.folder / "decoder.onnx"
    whole = decoder.read_bytes()
    decoder.write_bytes(whole[:-1])
    with pytest.raises(OffloadError, match=r"decoder\.onnx is damaged"):
        verify(folder, here)
    decoder.unlink()
    with pytest.raises(OffloadError, match=r"decoder\.onnx cannot be read"):
        verify(folder, here)
    shutil.rmtree(files.folder)
    with pytest.raises(OffloadError, match="there is no codec deepcod@"):
        verify(folder, here)


def test_a_trained_codec_for_another_model_or_shape(folder: Path) -> None:
    other = folder / "other.onnx"
    other.write_bytes(small_network(seed=1))
    model = load_model(str(folder / "small.onnx"))
    tensor = model.graph.tensor_by_name[CUT]
    foreign = quantiser(folder / "codecs", load_model(str(other)), tensor, coding="packed", step=0.5)
    with pytest.raises(OffloadError, match="was trained for other of content"):
        verify(folder, coded_plan(folder, coding(foreign.manifest.text)))
    smaller = dataclasses.replace(tensor, shape=(*tensor.shape[:2], 8, 8))
    reshaped = quantiser(folder / "codecs", model, smaller, coding="packed", step=0.25)
    with pytest.raises(OffloadError, match="was trained for 1x32x8x8 float32, r1 is 1x32x16x16 float32"):
        verify(folder, coded_plan(folder, coding(reshaped.manifest.text)))


def with_option(folder: Path, **changes: Any) -> Path:
    plan = Plan.load(coded_plan(folder, coding("int8")))
    option: Option = dataclasses.replace(plan.chosen, **changes)
    return Workspace(folder).save(plan.model_copy(update={"chosen": option}), name="changed")


@pytest.mark.parametrize(
    ("codec", "says"),
    [
        ("zip", "no codec is called 'zip'"),
        ("jpeg:quality=30", "jpeg"),
        ("deepcod@0123456789ab", "there is no codec deepcod@0123456789ab"),
    ],
)
def test_a_codec_that_cannot_be_made_is_one_line(folder: Path, codec: str, says: str) -> None:
    with pytest.raises(OffloadError) as caught:
        verify(folder, coded_plan(folder, coding(codec)))
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 1


def test_nothing_runs_on_the_server_behind_the_codec(folder: Path) -> None:
    layers = Plan.load(folder / "plan.json").device_only.device_layers
    with pytest.raises(OffloadError, match="int8"):
        verify(folder, with_option(folder, device_layers=layers))


@pytest.mark.parametrize("wrong", [{"samples": 3}, {"task": "ctc"}, {"samples": 0, "data": "x.npz"}])
def test_questions_about_examples_need_examples(folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        verify(folder, folder / "plan.json", **wrong)


def test_data_that_do_not_fit_the_model(folder: Path) -> None:
    np.savez(folder / "grey.npz", x_test=np.zeros((4, 1, 64, 64), np.float32), y_test=np.arange(4))
    with pytest.raises(OffloadError) as caught:
        verify(folder, folder / "plan.json", data=str(folder / "grey.npz"))
    assert "\n" not in caught.value.message
