"""What a profile says about the runtime that ran it, and how far its layers can then be trusted."""

from __future__ import annotations

import dataclasses
import json

import pytest

from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.reports.profile_warnings import profile_warnings
from offload.reports.render import render_report, report_on
from tests import synthetic


def profile_on(**identity: object) -> Profile:
    made = synthetic.profile()
    return made.model_copy(update={"runtime": dataclasses.replace(made.runtime, **identity)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("identity", "title", "warning"),
    [
        ({"name": "torch", "channels_last": True}, "torch, channels last)", None),
        ({"name": "torch", "compiled": True}, "torch, compiled; layers as timed uncompiled)", "leave out --compile"),
        ({"name": "onnxruntime", "device": "cuda:0"}, "on cuda:0 (", "--runtime torch times each kernel"),
        ({"name": "torch", "device": "cuda:0"}, "on cuda:0 (", None),
    ],
)
def test_it_says_what_ran_and_what_that_means(identity: dict[str, object], title: str, warning: str | None) -> None:
    profile = profile_on(**identity)
    text = render_report(report_on(profile), "md")
    assert title in text.splitlines()[0]
    about_the_runtime = [line for line in profile_warnings(profile) if "--compile" in line or "--runtime" in line]
    assert [warning in line for line in about_the_runtime if warning] == [True] * bool(warning)
    assert len(about_the_runtime) == bool(warning)


def test_it_loads_back_and_an_old_one_loads() -> None:
    profile = profile_on(name="torch", device="cuda:1", channels_last=True, compiled=True)
    assert Profile.from_json(profile.to_json(), source="the same") == profile
    fields = json.loads(profile_on().to_json())
    for added in ("channels_last", "compiled"):
        del fields["runtime"][added]
    for added in ("gpus", "gpu_driver"):
        del fields["environment"][added]
    old = Profile.from_json(json.dumps(fields), source="an old one")
    assert not old.runtime.channels_last
    assert not old.runtime.compiled
    assert old.environment.gpus == ()


def test_a_precision_nobody_knows_is_damage() -> None:
    text = profile_on().to_json().replace('"fp32"', '"fp7"')
    with pytest.raises(OffloadError) as caught:
        Profile.from_json(text, source="damaged.json")
    assert "\n" not in caught.value.message
