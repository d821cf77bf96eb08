"""Artifacts that are damaged, foreign, old or new are one-line errors; good ones survive the round trip."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from offload.artifacts.link import ProtocolSample
from offload.artifacts.plan import Plan
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace, write_artifact
from offload.errors import OffloadError
from tests import synthetic


def edited(**changes: Any) -> str:
    return json.dumps(json.loads(synthetic.profile().to_json()) | changes)


def changed(*where: Any, to: Any) -> str:
    """A profile's document with one value replaced."""
    sample = ProtocolSample(uplink_bytes=8, downlink_bytes=8, encode_s=0, uplink_s=0, decode_s=0, downlink_s=0)
    document = json.loads(synthetic.profile(protocol=(sample,)).to_json())
    place = document
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = to
    return json.dumps(document)


def test_a_profile_that_does_not_tell_what_messages_carry_counts_no_bytes() -> None:
    document = json.loads(changed("tool_version", to="0.1.0"))
    for field in ("uplink_message_bytes", "downlink_message_bytes"):
        del document["protocol"][0][field]
    (sample,) = Profile.from_json(json.dumps(document), source="x").protocol
    assert (sample.uplink_message_bytes, sample.downlink_message_bytes) == (0, 0)


@pytest.mark.parametrize(
    "artifact", [synthetic.profile(power_w=3.2), synthetic.energy_plan(), synthetic.verification()]
)
def test_json_round_trip(artifact: Profile | Plan | Verification) -> None:
    again = type(artifact).from_json(artifact.to_json(), source="x")
    assert again == artifact
    assert again.to_json() == artifact.to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("\x00\x01", "damaged"),
        ("[" * 100_000, "damaged"),
        ("[]", "not an artifact"),
        ('{"name": "something else"}', "not an artifact"),
        (edited(kind="plan"), "is a plan, not a profile"),
        (edited(schema_version="one"), "schema_version"),
        (edited(schema_version=None), "schema_version"),
        (edited(whole_s=[]), "damaged"),
        (edited(whole_s=["fast"] * 5), "whole_s"),
        (edited(whole_s=[-1.0] * 5), "whole_s"),
        (edited(whole_s=[0.0] * 5), "whole_s"),
        (edited(whole_s=[float("nan")] * 5), "NaN is not JSON"),
        (edited(whole_s=[float("inf")] * 5), "Infinity is not JSON"),
        (edited(whole_s=[1e308] * 5), "whole_s.0"),
        (edited(whole_s=[0.987654321] * 5).replace("0.987654321", "1e999"), "1e999 is beyond any figure"),
        (edited(precision_reached=0.987654321).replace("0.987654321", "-1e400"), "-1e400 is beyond any figure"),
        (edited(schema_version="9" * 100_000), "has schema_version '99999"),
        (edited(whole_s=[1.0]), "another number of samples"),
        (edited(groups=[]), "cover each layer"),
        (edited(groups=[{"layers": [0, 1, 2], "kernels": 1, "samples_s": [-1.0] * 5}]), "samples_s"),
        (changed("groups", 0, "kernels", to=-1), "groups.0.kernels"),
        (changed("groups", 0, "kernels", to=10**400), "groups.0.kernels"),
        (changed("runtime", "threads", to=10**400), "runtime.threads"),
        (changed("protocol", 0, "uplink_bytes", to=-1), "protocol.0.uplink_bytes"),
        (changed("graph", "layers", 0, "flops", to=-1), "number of operations that cannot be true"),
        (changed("graph", "tensors", 0, "shape", to=[-2, -2]), "size or a number"),
        (changed("graph", "tensors", 0, "shape", to=[10**400]), "size or a number"),
        (changed("graph", "tensors", 0, "dtype", to="float33"), "no known type"),
        (changed("graph", "layers", 0, "inputs", to=["elsewhere"]), "names a tensor"),
        (edited(invented=1), "invented"),
        (changed("model", "name", to="\ud800"), "surrogates not allowed"),
    ],
)
def test_what_is_not_a_profile_is_refused(text: str, message: str) -> None:
    with pytest.raises(OffloadError) as raised:
        Profile.from_json(text, source="p.json")
    assert raised.value.message.startswith("p.json ")
    assert message in raised.value.message
    assert "\n" not in raised.value.message
    assert "offload profile" in raised.value.hint


def test_older_and_newer_schemas_have_different_remedies() -> None:
    with pytest.raises(OffloadError) as newer:
        Profile.from_json(edited(schema_version=99, tool_version="9.9"), source="p.json")
    assert "9.9" in newer.value.hint
    with pytest.raises(OffloadError) as older:
        Profile.from_json(edited(schema_version=0), source="p.json")
    assert "offload profile" in older.value.hint


def test_a_missing_folder_and_bytes_that_are_not_text_are_errors(tmp_path: Path) -> None:
    with pytest.raises(OffloadError, match="is not there"):
        Plan.load(tmp_path / "none.json")
    with pytest.raises(OffloadError, match="cannot be read"):
        Plan.load(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OffloadError, match="cannot be read"):
        Plan.load(tmp_path / "binary.json")


def test_the_workspace_never_overwrites_and_finds_the_newest_that_fits(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    assert workspace.newest(Profile) is None
    paths = [workspace.save(synthetic.profile(model=synthetic.identity(name=name)), name=name) for name in "aab"]
    assert len(set(paths)) == 3
    for age, path in enumerate(paths):
        os.utime(path, (1000 + age, 1000 + age))
    newest = workspace.newest(Profile)
    assert newest is not None
    assert newest[0] == paths[2]
    fitting = workspace.newest(Profile, fits=lambda profile: profile.model.name == "a")
    assert fitting is not None
    assert fitting[0] == paths[1]
    paths[2].write_text("{")
    after_damage = workspace.newest(Profile)
    assert after_damage is not None
    assert after_damage[0] == paths[1]
    assert workspace.newest(Plan) is None


def test_names_become_safe_file_names(tmp_path: Path) -> None:
    path = Workspace(tmp_path).save(synthetic.profile(), name="../../etc/pass wd")
    assert path.parent == tmp_path
    assert "/" not in path.name
    assert " " not in path.name


def test_the_workspace_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OFFLOAD_HOME", str(tmp_path))
    assert Workspace().root == tmp_path
    monkeypatch.setenv("OFFLOAD_HOME", "")
    assert Workspace().root == Path(".offload")


def test_a_file_in_place_of_the_workspace_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(OffloadError, match="cannot write"):
        Workspace(tmp_path / "home").save(synthetic.profile(), name="toy")


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text("precious")
    with pytest.raises(OffloadError, match="there already"):
        write_artifact(synthetic.profile(), path, force=False)
    assert path.read_text() == "precious"
    write_artifact(synthetic.profile(), path)
    assert Profile.load(path).model.name == "toy"
    assert list(tmp_path.iterdir()) == [path]


def test_the_layers_sum_to_the_whole_after_closure() -> None:
    profile = synthetic.profile(times_s=(0.008, 0.001, 0.003), whole_s=(0.015,) * 5)
    assert profile.raw_gap == pytest.approx(0.012 / 0.015 - 1)
    assert profile.group_samples_s.sum(axis=1) == pytest.approx(0.015)


def test_dirty_rounds_are_left_out_unless_too_few_are_clean() -> None:
    rounds = (0.015, 0.015, 0.015, 0.9, 0.9)
    assert synthetic.profile(whole_s=rounds, dirty_rounds=(3, 4)).whole.high == 0.015
    assert synthetic.profile(whole_s=rounds, dirty_rounds=(0, 1, 2, 3, 4)).clean_rounds == (0, 1, 2, 3, 4)
    assert synthetic.profile(whole_s=rounds, dirty_rounds=(0, 1)).clean_rounds == (2, 3, 4)
    assert synthetic.profile(whole_s=rounds, dirty_rounds=(0, 1, 3)).clean_rounds == (0, 1, 2, 3, 4)


def test_only_imported_profiles_have_a_whole_that_was_declared() -> None:
    text = json.dumps(json.loads(synthetic.profile().to_json()) | {"whole_declared": True})
    with pytest.raises(OffloadError, match="only an imported profile"):
        Profile.from_json(text, source="p.json")
