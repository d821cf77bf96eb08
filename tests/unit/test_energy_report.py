"""The report on a profile that has energy, or has lost it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from offload.artifacts.energy import EnergyWindow, GroupEnergy, ProfileEnergy
from offload.artifacts.profile import Profile
from offload.reports.document import human
from offload.reports.profile import profile_report
from offload.reports.profile_warnings import profile_warnings
from offload.reports.render import render_report
from tests import synthetic


def window(runs: int, seconds: float, power_w: float, off: float | None = None) -> EnergyWindow:
    gross_j = seconds * power_w
    integrated_j = None if off is None else gross_j * (1 + off)
    return EnergyWindow(runs=runs, seconds=seconds, gross_j=gross_j, integrated_j=integrated_j)


def readings(*, seconds: float = 1.5, whole_w: float = 200.0, off: float | None = 0.01) -> ProfileEnergy:
    """Of the synthetic profile, whose whole takes 15 ms and whose first group 10 ms."""
    return ProfileEnergy(
        source="counter",
        sensor="Test GPU, NVML energy counter",
        sensor_period_s=0.05,
        idle=(window(0, seconds, 50.0),) * 3,
        whole=(window(round(seconds / 0.015), seconds, whole_w, off),) * 3,
        groups=(GroupEnergy(group=0, windows=(window(round(seconds / 0.01), seconds, whole_w),) * 3),),
    )


def metered(**changes: object) -> Profile:
    return synthetic.profile(energy=readings(), **({"idle_power_w": 50.0} | changes))


def table(profile: Profile) -> list[str]:
    return [" ".join(line.split()) for line in render_report(profile_report(profile), "table").splitlines()]


def test_totals_tell_gross_net_power_idle_and_sensor() -> None:
    rows = {human(row[0]): human(row[1]) for section in profile_report(metered()).sections for row in section.rows}
    assert rows["energy, counter, run after run"] == "3.00 J"
    assert rows["energy above idle"] == "2.25 J"
    assert rows["mean power"] == "200 W"
    assert rows["idle power"] == "50 W"
    assert rows["measured period of Test GPU, NVML energy counter"] == "50.0 ms"
    assert rows["shortest of 9 energy windows, 30 periods"] == "1.50 s"
    assert rows["time in the 1 of 3 groups metered alone"] == "66.7 %"
    assert rows["energy of the groups against the whole, closed"] == "+0.0 %"
    assert rows["integrated power against the counter"] == "+1.0 %"
    assert "idle power, declared: what plans take" not in rows


def test_every_group_has_joules_in_the_table_and_in_records() -> None:
    assert any(line.startswith("layer0 conv") and line.endswith("2.00 J") for line in table(metered()))
    records = json.loads(render_report(profile_report(metered(), all_layers=True), "json"))
    assert sum(record["energy_j"] for record in records) == pytest.approx(3.0)
    assert all(record["energy_low_j"] <= record["energy_j"] <= record["energy_high_j"] for record in records)
    assert {record["energy_source"] for record in records} == {"counter"}


def test_no_reading_is_not_nothing() -> None:
    records = json.loads(render_report(profile_report(synthetic.profile()), "json"))
    assert {record["energy_j"] for record in records} == {None}
    assert {record["energy_source"] for record in records} == {"none"}
    assert not any(" J" in line or "energy" in line for line in table(synthetic.profile()))


def test_declared_idle_power_is_shown_with_where_it_is_from() -> None:
    assert any(line.startswith("idle power, declared 1 W") for line in table(synthetic.profile(idle_power_w=1.0)))
    text = table(metered(idle_power_w=45.0))
    assert any(line.startswith("idle power, declared: what plans take 45 W") for line in text)


@pytest.mark.parametrize(
    ("profile", "warning"),
    [
        (synthetic.profile(power_w=3.2), "declared power times time"),
        (synthetic.profile(energy_lost="the counter went backwards"), "no energy: the counter went backwards"),
        (synthetic.profile(energy=readings(seconds=0.5)), "only 10 sensor periods long"),
        (synthetic.profile(energy=dataclasses.replace(readings(), groups=())), "no time to meter layers"),
        (synthetic.profile(energy=readings(whole_w=51.0)), "cannot be told from idle"),
        (synthetic.profile(energy=readings(off=-0.4)), "-40.0 % off the energy counter"),
    ],
)
def test_doubtful_energy_is_warned_of(profile: Profile, warning: str) -> None:
    assert any(warning in line for line in profile_warnings(profile))


def test_good_energy_needs_no_warning() -> None:
    assert not any("energy" in line for line in profile_warnings(metered()))
