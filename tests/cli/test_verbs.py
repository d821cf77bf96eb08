"""Each verb passes on what was asked, writes its artifact, and names the next command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offload import api
from offload.artifacts.base import Artifact
from offload.artifacts.plan import Plan
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from tests import synthetic
from tests.cli.conftest import Run
from tests.fake_link import link_profile

Answer = Callable[[str, Artifact], list[Any]]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Make a function of the library return an artifact; returns the list of requests it was given."""

    def patch(verb: str, artifact: Artifact) -> list[Any]:
        seen: list[Any] = []

        def function(request: Any, **_: object) -> Artifact:
            seen.append(request)
            return artifact

        monkeypatch.setattr(api, verb, function)
        return seen

    return patch


def test_profile_passes_on_every_option(run: Run, answer: Answer, tmp_path: Path) -> None:
    weights, authority = tmp_path / "w.safetensors", tmp_path / "ca.pem"
    weights.touch()
    authority.touch()
    seen = answer("profile", synthetic.profile())
    outcome = run(
        *("profile", "resnet50", "--device", "cpu", "--threads", "2", "--batch", "4", "--input", "data=1x3x8x8"),
        *("--input", "mask=1x8", "--precision", "5%", "--max-time", "2min", "--power", "3200mW"),
        *("--weights", str(weights), "--on", "10.0.0.1:8001", "--token", "secret", "--tls-ca", str(authority)),
    )
    assert outcome.code == 0, outcome.err
    assert seen == [
        api.ProfileRequest(
            model="resnet50", device="cpu", threads=2, batch=4, inputs={"data": (1, 3, 8, 8), "mask": (1, 8)},
            precision=0.05, max_time_s=120.0, power_w=3.2, weights=weights, on="10.0.0.1:8001", token="secret",
            tls_ca=authority,
        )
    ]  # fmt: skip


def test_plan_passes_on_every_option(run: Run, answer: Answer, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.touch()
    seen = answer("plan", synthetic.plan())
    outcome = run(
        *("plan", "--profile", str(profile), "--server", "t4", "--bw", "56MB/s", "--down", "20mbps", "--rtt", "4ms"),
        *("--target", "energy", "--radio", "lte", "--emulate-slowdown", "8", "--planner", "neurosurgeon"),
        *("--pareto", "--server", "10.0.0.1:8001", "--server-load", "3", "--device-load", "1.5", "--paper-energy"),
        *("--battery", "3000mAh,3.85V", "--max-latency", "50ms", "--max-energy", "200mJ", "--device-memory", "512MiB"),
        *("--server-memory", "2GB", "--pin", "conv1=device", "--pin", "a=b=server", "--private-depth", "conv1"),
    )
    assert outcome.code == 0, outcome.err
    assert seen == [
        api.PlanRequest(
            profile=profile, server=("t4", "10.0.0.1:8001"), uplink_bps=448e6, downlink_bps=20e6, rtt_s=0.004,
            target="energy", radio="lte", device_slowdown=8.0, planner="neurosurgeon", server_load=3.0,
            device_load=1.5, paper_energy=True, battery_j=pytest.approx(41_580.0), max_latency_s=0.05,
            max_energy_j=pytest.approx(0.2), device_memory_bytes=512 * 1024**2, server_memory_bytes=2_000_000_000,
            pins={"conv1": "device", "a=b": "server"}, private_depth="conv1", pareto=True,
        )
    ]  # fmt: skip


def test_verify_passes_on_every_option(run: Run, answer: Answer, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.touch()
    seen = answer("verify", synthetic.verification())
    outcome = run(
        *("verify", str(plan), "--server", "[::1]:8001", "--requests", "7", "--tolerance", "15%"),
        *("--emulate-link", "450mbps,2ms", "--background-traffic", "--emulate-slowdown", "8", "--token", "secret"),
        *("--duration", "30s", "--alternatives", "3"),
    )
    assert outcome.code == 0, outcome.err
    assert seen == [
        api.VerifyRequest(
            plan=plan, server="[::1]:8001", requests=7, duration_s=30.0, alternatives=3,
            tolerance=pytest.approx(0.15), emulate_link="450mbps,2ms", background_traffic=True, device_slowdown=8.0,
            token="secret",
        )
    ]  # fmt: skip


def test_the_name_of_a_kind_stands_for_the_newest_of_it(
    run: Run, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    planned, verified = answer("plan", synthetic.plan()), answer("verify", synthetic.verification())
    assert run("plan", "--profile", "profile.json", "--link", "link.json").code == 0
    assert run("verify", "plan.json").code == 0
    assert (planned[0].profile, planned[0].link, verified[0].plan) == (None, None, None)
    assert run("verify", "other.json").error == "PLAN: other.json is not there"
    (tmp_path / "plan.json").touch()
    run("verify", "plan.json")
    assert verified[1].plan == Path("plan.json")


def test_the_token_may_come_from_the_environment_and_the_flag_beats_it(
    run: Run, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = answer("profile", synthetic.profile())
    monkeypatch.setenv("OFFLOAD_TOKEN", "from the environment")
    run("profile", "resnet18")
    run("profile", "resnet18", "--token", "from the flag")
    assert [request.token for request in seen] == ["from the environment", "from the flag"]


def test_a_profile_lands_in_the_workspace_and_the_next_command_is_named(run: Run, answer: Answer, home: Path) -> None:
    answer("profile", synthetic.profile())
    outcome = run("profile", "resnet18")
    saved = Workspace(home).newest(Profile)
    assert saved is not None
    assert f"written to {saved[0]}" in outcome.err
    assert "next: offload plan --bw" in outcome.err
    assert outcome.out.startswith("toy, batch 1")


def test_a_servers_profile_is_for_the_servers_side_of_a_plan(run: Run, answer: Answer, home: Path) -> None:
    answer("profile", synthetic.profile(measured_on="10.0.0.7:8001"))
    outcome = run("profile", "resnet18", "--on", "10.0.0.7:8001")
    saved = Workspace(home).newest(Profile)
    assert saved is not None
    assert f"next: offload plan --server {saved[0]} --bw" in outcome.err
    refused = run("plan", "--bw", "450mbps")
    assert refused.code == 1
    assert refused.error == (f"no profile in {home} was made on this device: {saved[0].name} was made on 10.0.0.7:8001")
    assert f"--server {saved[0]}" in refused.hint


def test_a_newer_profile_of_a_server_is_not_the_devices(run: Run, home: Path) -> None:
    device = Workspace(home).save(synthetic.profile(), name="toy")
    server = Workspace(home).save(synthetic.profile(times_s=(1e-3, 1e-4, 4e-4), measured_on="a:1"), name="toy")
    os.utime(device, ns=(1, 1))
    for arguments in ((), ("--server", str(server))):
        outcome = run("plan", "--bw", "450mbps", *arguments, "--json")
        assert outcome.code == 0, outcome.err
        assert f"device: took the newest profile, {device}" in outcome.err
        device_only = json.loads(outcome.out)["device_only"]["breakdown"]["device_s"]["value"]
        assert device_only == pytest.approx(0.015)
    assert run("plan", "--bw", "450mbps", "--profile", str(server)).code == 0, "a file that is named is taken"


def test_an_output_file_takes_its_place_and_is_never_replaced_by_accident(
    run: Run, answer: Answer, home: Path, tmp_path: Path
) -> None:
    seen = answer("profile", synthetic.profile())
    path = tmp_path / "deep" / "profile.json"
    assert run("profile", "resnet18", "-o", str(path)).code == 0
    assert Profile.load(path).model.name == "toy"
    assert not home.exists()
    again = run("profile", "resnet18", "-o", str(path))
    assert again.code == 1
    assert "there already" in again.error
    assert "--force" in again.hint
    assert len(seen) == 1, "nothing is measured that cannot be written"
    assert run("profile", "resnet18", "-o", str(path), "--force").code == 0


def test_a_dash_is_json_on_stdout_and_nothing_else(run: Run, answer: Answer, home: Path) -> None:
    answer("profile", synthetic.profile())
    outcome = run("profile", "resnet18", "-o", "-")
    assert json.loads(outcome.out)["kind"] == "profile"
    assert not home.exists()


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"]])
def test_json_on_stdout_is_the_artifact_that_was_saved(
    run: Run, answer: Answer, home: Path, arguments: list[str]
) -> None:
    answer("plan", synthetic.plan())
    outcome = run("plan", "--bw", "450mbps", *arguments)
    saved = Workspace(home).newest(Plan)
    assert saved is not None
    assert outcome.out == saved[0].read_text()


@pytest.mark.parametrize(("form", "start"), [("csv", "layers,kind,"), ("md", "# toy"), ("table", "toy, batch 1")])
def test_other_formats(run: Run, answer: Answer, form: str, start: str) -> None:
    answer("profile", synthetic.profile())
    assert run("profile", "resnet18", "--format", form).out.startswith(start)


def test_quiet_leaves_only_the_result(run: Run, answer: Answer) -> None:
    answer("profile", synthetic.profile())
    for arguments in (("-q", "profile", "resnet18"), ("profile", "resnet18", "--quiet")):
        outcome = run(*arguments)
        assert outcome.code == 0
        assert outcome.err == ""
        assert outcome.out


def test_an_interrupted_profile_is_kept_and_ends_with_130(run: Run, answer: Answer, home: Path) -> None:
    answer("profile", synthetic.profile(stopped="interrupted"))
    outcome = run("profile", "resnet18")
    assert outcome.code == 130
    assert Workspace(home).newest(Profile) is not None
    assert "toy" in outcome.out


def test_a_dry_run_measures_and_writes_nothing(run: Run, answer: Answer, home: Path) -> None:
    seen = answer("profile", synthetic.profile())
    outcome = run("profile", "resnet18", "--threads", "1", "--dry-run")
    assert outcome.code == 0
    assert "1 thread\n" in outcome.out
    assert "within 2 %" in outcome.out
    assert seen == []
    assert not home.exists()


def test_an_interrupted_verification_is_written_shown_and_ends_with_130(run: Run, answer: Answer, home: Path) -> None:
    answer("verify", synthetic.verification(stopped="interrupted", verdict="out of tolerance"))
    outcome = run("verify")
    assert outcome.code == 130
    assert "Regret" in outcome.out
    assert outcome.error == "interrupted"
    assert len(list(home.glob("*.verification.json"))) == 1


@pytest.mark.parametrize("verdict", ["out of tolerance", "cannot tell"])
def test_a_negative_verdict_is_written_shown_and_ends_with_4(
    run: Run, answer: Answer, home: Path, verdict: str
) -> None:
    answer("verify", synthetic.verification(verdict=verdict))
    outcome = run("verify")
    assert outcome.code == 4
    assert f"Verdict: {verdict}" in outcome.out
    assert outcome.error == f"verdict: {verdict}"
    assert len(list(home.glob("*.verification.json"))) == 1


def test_models_lists_the_zoo(run: Run) -> None:
    outcome = run("models")
    assert outcome.code == 0
    assert "resnet50" in outcome.out
    assert "3×224×224" in outcome.out
    assert max(map(len, run("models").out.splitlines())) <= 100
    listed = {entry["name"]: entry for entry in json.loads(run("models", "--json").out)}
    assert len(listed) == 24
    assert [name for name, entry in listed.items() if entry["trained"]] == ["digits_resnet", "digits_deepspeech"]
    assert listed["resnet18"] == {
        "name": "resnet18",
        "input_shape": "3x224x224",
        "input_dtype": "float32",
        "layers": 49,
        "parameters": 11_689_512,
        "flops": 3_633_038_848,
        "description": "ResNet-18",
        "trained": False,
    }
    assert listed["gru_tagger"]["input_dtype"] == "int64"


def test_plan_for_real_from_the_newest_profile(run: Run, home: Path) -> None:
    Workspace(home).save(synthetic.profile(power_w=3.2), name="toy")
    outcome = run("plan", "--bw", "450mbps", "--rtt", "2ms")
    assert outcome.code == 0, outcome.err
    assert "took the newest profile" in outcome.err
    assert "assumed" in outcome.err
    assert "server: t4, assumed from published peak rates" in outcome.out
    saved = Workspace(home).newest(Plan)
    assert saved is not None
    assert saved[1].link.uplink_bps == 450e6
    assert saved[1].link.rtt_s == 0.002


def test_plan_for_real_with_a_server_profile_and_for_energy(run: Run, home: Path, tmp_path: Path) -> None:
    device = Workspace(home).save(synthetic.profile(power_w=3.2), name="toy")
    server = tmp_path / "server.json"
    server.write_text(synthetic.profile(times_s=(0.001, 0.0001, 0.0004)).to_json())
    arguments = ("plan", "--profile", str(device), "--server", str(server), "--bw", "18.88mbps", "--target", "energy")
    refused = run(*arguments)
    assert refused.code == 1
    assert "idle power" in refused.error
    assert "--idle-power" in refused.hint
    outcome = run(*arguments, "--paper-energy", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["chosen"]["breakdown"]["radio_j"]["value"] == pytest.approx(
        5.479 * 4000 * 8 / 18.88e6, rel=1e-3
    )
    assert any("wifi is assumed" in warning for warning in json.loads(outcome.out)["warnings"])


def test_energy_and_battery_from_a_profile_with_idle_power(run: Run, home: Path) -> None:
    Workspace(home).save(synthetic.profile(power_w=3.2, idle_power_w=1.0), name="toy")
    outcome = run("plan", "--bw", "18.88mbps", "--target", "energy", "--battery", "3000mAh,3.85V", "--json")
    assert outcome.code == 0, outcome.err
    plan = json.loads(outcome.out)
    energy = plan["chosen"]["breakdown"]
    total = sum(energy[part]["value"] for part in ("device_j", "radio_j", "idle_j", "download_j"))
    assert plan["requests_per_charge"]["value"] == pytest.approx(41_580.0 / total)


def test_of_several_servers_the_best_is_taken_and_the_others_are_shown(run: Run, home: Path, tmp_path: Path) -> None:
    Workspace(home).save(synthetic.profile(), name="toy")
    server = tmp_path / "server.json"
    server.write_text(synthetic.profile(times_s=(1e-3, 1e-4, 4e-4)).to_json())
    for order in ((str(server), "t4"), ("t4", str(server))):
        outcome = run("plan", "--bw", "450mbps", "--server", order[0], "--server", order[1], "--json")
        assert outcome.code == 0, outcome.err
        plan = json.loads(outcome.out)
        assert plan["server"]["preset"] == "t4"
        (other,) = plan["other_servers"]
        assert other["server"]["source"] == "measured"
        assert (plan["server"]["name"], other["server"]["name"]) == ("t4", str(server))
        assert other["best"]["breakdown"]["latency_s"]["value"] > plan["chosen"]["breakdown"]["latency_s"]["value"]


def test_without_a_rate_the_newest_measured_link_is_taken(run: Run, home: Path, tmp_path: Path) -> None:
    Workspace(home).save(synthetic.profile(), name="toy")
    outcome = run("plan")
    assert outcome.code == 1
    assert "no --bw, and no measured link" in outcome.error
    assert "offload link" in outcome.hint
    path = Workspace(home).save(link_profile(), name="link")
    for arguments in (("plan", "--json"), ("plan", "--json", "--link", str(path))):
        outcome = run(*arguments)
        assert outcome.code == 0, outcome.err
        link = json.loads(outcome.out)["link"]
        assert link["source"] == "measured"
        assert link["uplink_bps"] == pytest.approx(20e6)
    assert f"took the newest one measured, {path}" in run("plan").err
    other = run("plan", "--server", "10.0.0.2:8001")
    assert other.code == 1
    assert "no measured link to 10.0.0.2:8001" in other.error


def test_each_server_is_planned_for_over_its_own_link(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Workspace(home).save(synthetic.profile(), name="toy")
    for address, overhead_s in (("near:8001", 1e-4), ("far:8001", 0.5)):
        Workspace(home).save(link_profile(overhead_s=overhead_s, server=address), name="link")
    server = synthetic.profile(times_s=(0.001, 0.0001, 0.0004))
    monkeypatch.setattr("offload.api.plans._server_profile", lambda *_: server)
    outcome = run("plan", "--server", "far:8001", "--server", "near:8001", "--json")
    assert outcome.code == 0, outcome.err
    plan = json.loads(outcome.out)
    assert (plan["server"]["name"], plan["chosen"]["place"]) == ("near:8001", "server")
    (other,) = plan["other_servers"]
    assert (other["server"]["name"], other["best"]["place"]) == ("far:8001", "device")


def test_a_link_and_a_rate_exclude_each_other(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "link.json"
    path.write_text(link_profile().to_json())
    both = run("plan", "--bw", "1mbps", "--link", str(path))
    assert both.code == 2
    assert "--bw and --link exclude each other" in both.error
    for extra in (("--rtt", "4ms"), ("--down", "1mbps")):
        outcome = run("plan", "--link", str(path), *extra)
        assert outcome.code == 2
        assert "belong to --bw" in outcome.error


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        (("--max-latency", "1ms"), "1.00 ms"),
        (("--device-memory", "1B", "--server-memory", "1B"), "1 B"),
        (("--max-energy", "1mJ"), "1 mJ"),
    ],
)
def test_a_plan_that_cannot_be_says_which_limit_binds_and_by_how_much(
    run: Run, home: Path, limit: tuple[str, ...], error: str
) -> None:
    Workspace(home).save(synthetic.profile(power_w=3.2, idle_power_w=1.0), name="toy")
    for servers in ((), ("--server", "t4", "--server", "tesla-k40")):
        outcome = run("plan", "--bw", "1mbps", *servers, *limit)
        assert outcome.code == 4
        assert outcome.out == ""
        assert error in outcome.error
        assert outcome.hint
        assert list(home.glob("*.plan.json")) == []


def test_pins_and_privacy_are_kept_to_and_told(run: Run, home: Path) -> None:
    Workspace(home).save(synthetic.profile(), name="toy")
    pinned = run("plan", "--bw", "1mbps", "--pin", "layer2=server", "--json")
    assert pinned.code == 0, pinned.err
    plan = json.loads(pinned.out)
    assert plan["limits"]["pins"] == {"layer2": "server"}
    assert 2 not in plan["chosen"]["device_layers"]
    private = json.loads(run("plan", "--bw", "10gbps", "--private-depth", "layer0", "--json").out)
    assert private["limits"]["private_depth"] == "layer0"
    assert 0 in private["chosen"]["device_layers"]
    assert private["chosen"]["sends"] != [] or private["chosen"]["place"] == "device"


def test_the_front_of_latency_against_energy(run: Run, home: Path) -> None:
    Workspace(home).save(synthetic.profile(power_w=0.1, idle_power_w=0.05), name="toy")
    outcome = run("plan", "--bw", "10mbps", "--rtt", "2ms", "--pareto", "--json")
    assert outcome.code == 0, outcome.err
    front = [option["breakdown"] for option in json.loads(outcome.out)["pareto"]]
    assert len(front) > 1
    assert [each["latency_s"]["value"] for each in front] == sorted(each["latency_s"]["value"] for each in front)
    text = run("plan", "--bw", "10mbps", "--rtt", "2ms", "--pareto")
    assert "no option beats these in both" in text.out
    assert "pareto 1," in run("plan", "--bw", "10mbps", "--pareto", "--format", "csv").out


def test_the_policy_table_is_in_the_artifact_and_shown(run: Run, home: Path) -> None:
    Workspace(home).save(synthetic.profile(), name="toy")
    policy = json.loads(run("plan", "--bw", "10mbps", "--json").out)["policy"]
    best = [policy["choices"][row["choice"]]["device_runs"] for row in policy["by_uplink"]]
    assert [] in best
    assert [[0, 2]] in best
    assert "Mbit/s up" in run("plan", "--bw", "10mbps").out


@pytest.mark.parametrize("option", ["--pin", "--private-depth"])
def test_a_layer_nobody_knows_names_near_ones(run: Run, home: Path, option: str) -> None:
    Workspace(home).save(synthetic.profile(), name="toy")
    outcome = run("plan", "--bw", "1mbps", option, "layr1" + ("=server" if option == "--pin" else ""))
    assert outcome.code == 1
    assert f"{option} layr1: the model has no layer of that name" in outcome.error
    assert "layer1" in outcome.hint


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--pin", "layr1=device"), "--pin layr1: the model has no layer of that name"),
        (("--private-depth", "layr1"), "--private-depth layr1: the model has no layer of that name"),
        (("--pin", "layer2=device", "--pin", "layer0=server"), "layer2 is pinned to the device but comes after layer0"),
        (("--pin", "layer0=server", "--private-depth", "layer0"), "--private-depth layer0 keeps it on the device"),
        (("--target", "energy"), "--target energy needs the device's energy"),
        (("--max-energy", "1J"), "--max-energy needs the device's energy"),
        (("--battery", "3000mAh,3.85V"), "--battery needs the device's energy"),
        (("--pareto",), "--pareto needs the device's energy"),
        (("--radio", "wify"), "no radio 'wify'"),
        (("--server", "t44"), "--server t44: no such file"),
    ],
)
def test_what_no_server_can_mend_is_found_before_one_is_asked(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], error: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("offload.api.plans.load_again", lambda *_, **__: asked.append("model"))
    monkeypatch.setattr("offload.api.plans.profile_on", lambda *_, **__: asked.append("server"))
    Workspace(home).save(synthetic.profile(), name="toy")
    outcome = run("plan", "--bw", "1mbps", "--server", "10.0.0.7:8001", *arguments)
    assert outcome.code == 1
    assert error in outcome.error
    assert asked == []


def test_a_server_named_twice_is_asked_once(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def profile_on(address: str, *_: object, **__: object) -> Profile:
        asked.append(address)
        return synthetic.profile(times_s=(1e-3, 1e-4, 4e-4), measured_on=address)

    monkeypatch.setattr("offload.api.plans.load_again", lambda *_, **__: None)
    monkeypatch.setattr("offload.api.plans.profile_on", profile_on)
    Workspace(home).save(synthetic.profile(), name="toy")
    outcome = run("plan", "--bw", "450mbps", "--server", "a:1", "--server", "a:1", "--json")
    assert outcome.code == 0, outcome.err
    assert asked == ["a:1"]
    assert json.loads(outcome.out)["other_servers"] == []


@pytest.mark.parametrize(
    ("option", "name", "error", "hint"),
    [
        ("--radio", "wify", "no radio 'wify'", "wifi"),
        ("--planner", "brain", "no planner 'brain'", "neurosurgeon"),
        ("--server", "t44", "t44", "t4"),
    ],
)
def test_names_nobody_knows(run: Run, home: Path, option: str, name: str, error: str, hint: str) -> None:
    Workspace(home).save(synthetic.profile(), name="toy")
    outcome = run("plan", "--bw", "450mbps", option, name)
    assert outcome.code in (1, 2)
    assert error in outcome.error
    assert hint in outcome.hint


def test_nothing_to_plan_or_verify(run: Run) -> None:
    for arguments, remedy in ((("plan", "--bw", "1mbps"), "offload profile"), (("verify",), "offload plan")):
        outcome = run(*arguments)
        assert outcome.code == 1
        assert remedy in outcome.hint


def test_damaged_foreign_and_newer_artifacts(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "artifact.json"
    document = json.loads(synthetic.profile().to_json())
    for text, error in (
        ("{", "damaged"),
        ('{"a": 1}', "not an artifact"),
        (synthetic.plan().to_json(), "is a plan, not a profile"),
        (json.dumps(document | {"schema_version": 99}), "schema_version 99"),
    ):
        path.write_text(text)
        outcome = run("plan", "--bw", "1mbps", "--profile", str(path))
        assert outcome.code == 1
        assert error in outcome.error
        assert str(path) in outcome.error
