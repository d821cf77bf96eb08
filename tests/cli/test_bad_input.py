"""Every file, artifact, server and folder that cannot be used is one line, a hint, and exit code 1; never a bug."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from offload.artifacts.workspace import write_artifact
from offload.cli.main import main
from offload.serving.embedded import EmbeddedServer
from offload.serving.server import ServeSettings
from offload.serving.upload import UploadLimits
from tests import serving_models, synthetic
from tests.cli.conftest import Outcome, Run
from tests.fake_link import link_profile

QUICK = ("--threads", "1", "--max-time", "1s", "--precision", "50%")


def refused(outcome: Outcome) -> str:
    """The error of a command that ended as an error the user can mend, with nothing on stdout."""
    assert outcome.code == 1, outcome.err
    assert outcome.out == ""
    assert outcome.hint
    assert "Traceback" not in outcome.err
    return outcome.error


def not_onnx(folder: Path) -> bytes:
    return b"this is a text"


def truncated(folder: Path) -> bytes:
    model = serving_models.scale()
    return model[: len(model) // 2]


def data_outside(folder: Path) -> bytes:
    (folder.parent / "weights.bin").write_bytes(bytes(4))
    model = onnx.ModelProto.FromString(serving_models.scale())
    weight = model.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../weights.bin")
    data: bytes = model.SerializeToString()
    return data


def dynamic(folder: Path) -> bytes:
    model = onnx.ModelProto.FromString(serving_models.scale())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    data: bytes = model.SerializeToString()
    return data


def control_flow(folder: Path) -> bytes:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    branch (float[4] x, bool c) => (float[4] y) {
        y = If (c) <then_branch = yes () => (float[4] a) { a = Neg(x) },
                    else_branch = no () => (float[4] b) { b = Abs(x) }>
    }"""
    data: bytes = onnx.parser.parse_model(text).SerializeToString()
    return data


@pytest.mark.parametrize(
    ("content", "error", "hint"),
    [
        (not_onnx, "not an ONNX file", "exported to ONNX"),
        (truncated, "truncated or damaged", "again"),
        (data_outside, "outside the model's folder", "beside the model"),
        (dynamic, "dynamic dimensions", "--input x="),
        (control_flow, "captures tensor 'x'", "without it"),
    ],
)
def test_models_that_cannot_be_used(
    run: Run, tmp_path: Path, content: Callable[[Path], bytes], error: str, hint: str
) -> None:
    path = tmp_path / "models" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(content(path.parent))
    outcome = run("profile", str(path), *QUICK)
    assert error in refused(outcome)
    assert hint in outcome.hint


def changed(artifact: Any, *where: Any, to: Any) -> str:
    """The artifact's document with one value replaced."""
    document = json.loads(artifact.to_json())
    place = document
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = to
    return json.dumps(document)


PROFILE = synthetic.profile()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (PROFILE.to_json()[:200], "damaged"),
        ("[1]", "not an artifact"),
        (changed(PROFILE, "kind", to="verification"), "is a verification, not a profile"),
        (changed(PROFILE, "schema_version", to=0), "schema_version 0"),
        (changed(PROFILE, "schema_version", to=2), "schema_version 2"),
        (changed(PROFILE, "schema_version", to="1"), "schema_version '1'"),
        (changed(PROFILE, "whole_s", 0, to=float("nan")), "NaN is not JSON"),
        (changed(PROFILE, "whole_s", 0, to=-1.0), "damaged at whole_s.0"),
        (changed(PROFILE, "groups", 0, "samples_s", 0, to=-1.0), "damaged at groups.0.samples_s.0"),
        (changed(PROFILE, "whole_s", to=[]), "holds no samples"),
        (changed(PROFILE, "groups", to=[]), "do not cover each layer"),
        (changed(PROFILE, "runtime", "threads", to=0), "damaged at runtime.threads"),
        (changed(PROFILE, "model", "batch", to=2), "has batch"),
        (changed(PROFILE, "model", "hash", to="0" * 64), "has model hash"),
        (changed(PROFILE, "model", "name", to="other"), "has model"),
        (changed(PROFILE, "model", "precision", to="fp16"), "has precision"),
    ],
)
def test_server_profiles_that_cannot_be_used(run: Run, tmp_path: Path, text: str, error: str) -> None:
    device, server = tmp_path / "device.json", tmp_path / "server.json"
    write_artifact(PROFILE, device)
    server.write_text(text)
    assert error in refused(run("plan", "--bw", "1mbps", "--profile", str(device), "--server", str(server)))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "damaged"),
        (PROFILE.to_json(), "is a profile, not a link"),
        (changed(link_profile(), "transfers", 0, "seconds", to=-1.0), "damaged at transfers.0.seconds"),
        (changed(link_profile(), "rtts", to=[]), "holds no samples"),
        (changed(link_profile(), "schema_version", to=9), "schema_version 9"),
    ],
)
def test_links_that_cannot_be_used(run: Run, tmp_path: Path, text: str, error: str) -> None:
    device, link = tmp_path / "device.json", tmp_path / "link.json"
    write_artifact(PROFILE, device)
    link.write_text(text)
    assert error in refused(run("plan", "--profile", str(device), "--link", str(link)))


def test_energy_that_cannot_be_told(run: Run, tmp_path: Path) -> None:
    device = tmp_path / "device.json"
    for profile, missing, remedy in (
        (PROFILE, "needs the device's energy", "--power"),
        (synthetic.profile(power_w=3.2), "needs the device's idle power", "--paper-energy"),
    ):
        write_artifact(profile, device)
        for option in (("--target", "energy"), ("--max-energy", "1J"), ("--battery", "3000mAh,3.85V")):
            outcome = run("plan", "--bw", "1mbps", "--profile", str(device), *option)
            assert missing in refused(outcome)
            assert remedy in outcome.hint


@pytest.fixture(scope="module")
def plan_of_a_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan for a model in a file, made by the command line; the model and its profile lie beside it."""
    folder = tmp_path_factory.mktemp("planned")
    model, profile, plan = folder / "net.onnx", folder / "profile.json", folder / "plan.json"
    model.write_bytes(serving_models.scale())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOAD_HOME", str(folder / "home"))
        assert main(["profile", str(model), *QUICK, "-o", str(profile)]) == 0
        sides = ("--profile", str(profile), "--server", str(profile))
        assert main(["plan", *sides, "--bw", "1mbps", "-o", str(plan)]) == 0
    return plan


def test_plans_that_cannot_be_executed(run: Run, plan_of_a_file: Path, tmp_path: Path) -> None:
    document = json.loads(plan_of_a_file.read_text())
    damaged = tmp_path / "damaged.json"
    for change, error in (
        ({"codec": "zip"}, "codec 'zip'"),
        ({"chosen": document["chosen"] | {"device_layers": [7]}}, "the plan is damaged"),
        ({"model": document["model"] | {"hash": "0" * 64}}, "net had the content 000000000000"),
        ({"schema_version": 2}, "schema_version 2"),
        ({"battery_j": -1.0}, "damaged at battery_j"),
        ({"server": document["server"] | {"load": 0.0}}, "damaged at server.load"),
    ):
        damaged.write_text(json.dumps(document | change))
        assert error in refused(run("verify", str(damaged)))


def test_a_plan_for_a_model_that_has_changed(run: Run, plan_of_a_file: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plan_of_a_file.parent, tmp_path / "changed")
    plan = json.loads(plan_of_a_file.read_text())
    plan["model"]["spec"] = str(folder / "net.onnx")
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "net.onnx").write_bytes(serving_models.scale(factor=3.0))
    outcome = run("verify", str(folder / "plan.json"))
    assert "net had the content" in refused(outcome)
    assert "profile and plan again" in outcome.hint


def test_a_link_that_is_none(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    write_artifact(synthetic.plan(), plan)
    for link in ("garbage", "450,2ms", "450mbps,-2ms", ","):
        outcome = run("verify", str(plan), "--emulate-link", link)
        assert outcome.code == 2
        assert outcome.error
        assert outcome.hint


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_in_use(run: Run, taken: int) -> None:
    outcome = run("serve", "--port", str(taken))
    assert refused(outcome) == f"port {taken} on 127.0.0.1 is in use"
    assert "--port" in outcome.hint


def test_a_server_that_is_not_there(run: Run, plan_of_a_file: Path) -> None:
    model, profile = (str(plan_of_a_file.with_name(name)) for name in ("net.onnx", "profile.json"))
    for arguments in (
        ("profile", model, "--on", "127.0.0.1:9"),
        ("plan", "--profile", profile, "--bw", "1mbps", "--server", "127.0.0.1:9"),
        ("verify", str(plan_of_a_file), "--server", "127.0.0.1:9"),
    ):
        outcome = run(*arguments)
        assert "cannot reach the server at 127.0.0.1:9" in refused(outcome)
        assert "offload serve" in outcome.hint


def test_an_upload_over_the_limit(run: Run, plan_of_a_file: Path) -> None:
    settings = ServeSettings(limits=UploadLimits(max_upload_bytes=10))
    with EmbeddedServer(threads=1, settings=settings) as server:
        outcome = run("verify", str(plan_of_a_file), "--server", server.address)
    assert "over a limit" in refused(outcome)
    assert "--max-upload" in outcome.hint


def test_threads_that_would_take_all_memory_are_a_usage_error(run: Run) -> None:
    outcome = run("profile", "resnet18", "--threads", "1000000")
    assert outcome.code == 2
    assert "1000000 threads are more than any machine has cores" in outcome.error
    assert "leave --threads out" in outcome.hint


def test_threads_belong_to_the_server_that_profiles(run: Run) -> None:
    outcome = run("profile", "resnet18", "--on", "127.0.0.1:9", "--threads", "2")
    assert outcome.code == 2
    assert "its own threads" in outcome.error
    assert "offload serve --threads" in outcome.hint


def test_a_file_that_is_no_certificate(run: Run, tmp_path: Path) -> None:
    model, authority = tmp_path / "net.onnx", tmp_path / "ca.pem"
    model.write_bytes(serving_models.scale())
    authority.write_text("no certificate")
    outcome = run("profile", str(model), "--on", "127.0.0.1:9", "--tls-ca", str(authority))
    assert f"cannot read the certificate {authority}" in refused(outcome)
    assert "PEM" in outcome.hint


def test_an_output_that_is_a_folder(run: Run, tmp_path: Path) -> None:
    for force in ((), ("--force",)):
        assert "is a folder" in refused(run("profile", "resnet18", "-o", str(tmp_path), *force))


def test_an_output_that_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    pipe, text = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: text.append(pipe.read_text()), daemon=True)
    reader.start()
    write_artifact(PROFILE, pipe)
    reader.join(timeout=10)
    assert text == [PROFILE.to_json()]
    assert pipe.is_fifo()


def test_an_output_that_is_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.touch()
    link.symlink_to(target)
    write_artifact(PROFILE, link)
    assert link.is_symlink()
    assert target.read_text() == PROFILE.to_json()


def test_quantities_out_of_range(run: Run) -> None:
    for arguments in (
        ("plan", "--bw", "1mbps", "--rtt", "-1ms"),
        ("plan", "--bw", "1e400mbps"),
        ("profile", "resnet18", "--max-time", "-1s"),
        ("profile", "resnet18", "--precision", "0%"),
    ):
        outcome = run(*arguments)
        assert outcome.code == 2
        assert "must be finite and" in outcome.error
        assert "write it like" in outcome.hint
