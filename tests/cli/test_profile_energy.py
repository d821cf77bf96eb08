"""`offload profile` with meters and declared powers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.profilers.energy import choose
from offload.profilers.energy.choose import METER_NAMES
from offload.profilers.energy.jetson import JetsonMeter
from tests import synthetic
from tests.cli.conftest import Run


def test_meter_and_idle_power_are_passed_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def profile(request: api.ProfileRequest, **_: object) -> Profile:
        seen.append((request.meter, request.power_w, request.idle_power_w))
        return synthetic.profile()

    monkeypatch.setattr(api, "profile", profile)
    assert run("profile", "mnist").code == 0
    assert run("profile", "mnist", "--idle-power", "1200mW", "--power", "3W").code == 0
    for name in METER_NAMES:
        assert run("profile", "mnist", "--meter", name).code == 0
    assert seen == [(None, None, None), (None, 3.0, 1.2), *((name, None, None) for name in METER_NAMES)]


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("--meter", "wattmeter"), "--meter", "offload profile --help"),
        (("--idle-power", "1.2"), "'1.2' has no unit", "3.2W"),
        (("--idle-power", "-1W"), "must be finite and above zero", "3.2W"),
        (("--power", "3W", "--meter", "rapl"), "--power models the energy, --meter rapl measures it", "one of them"),
        (("--power", "1W", "--idle-power", "2W"), "--idle-power 2W is above --power 1W", "whole device's"),
        (("--meter", "nvml"), "--meter nvml does not measure cpu", "rapl, jetson"),
        (("--meter", "rapl", "--on", "127.0.0.1:1"), "--meter reads this machine", "leave it out"),
    ],
)
def test_what_contradicts_itself_is_a_usage_error(run: Run, arguments: tuple[str, ...], error: str, hint: str) -> None:
    outcome = run("profile", "mnist", *arguments)
    assert outcome.code == 2
    assert error in outcome.error
    assert hint in outcome.hint
    assert "Traceback" not in outcome.err


def test_a_meter_that_is_not_there_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(choose, "JetsonMeter", lambda: JetsonMeter(tmp_path))
    outcome = run("profile", "mnist", "--meter", "jetson")
    assert outcome.code == 1
    assert outcome.error.startswith("no INA3221 rail")
    assert "--power" in outcome.hint


def test_a_dry_run_tells_where_energy_would_come_from(run: Run) -> None:
    assert "energy by --meter auto" in run("profile", "mnist", "--dry-run").out
    assert "energy" not in run("profile", "mnist", "--dry-run", "--meter", "none").out
    assert "energy modelled from 3 W" in run("profile", "mnist", "--dry-run", "--power", "3W").out


def test_lost_energy_is_told_in_the_table(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = synthetic.profile(energy_lost="the counter went backwards")
    monkeypatch.setattr(api, "profile", lambda *_, **__: lost)
    outcome = run("profile", "mnist")
    assert outcome.code == 0
    assert "no energy: the counter went backwards" in " ".join(outcome.out.split())
    found = Workspace(home).newest(Profile)
    assert found is not None
    assert found[1].energy_lost == lost.energy_lost
