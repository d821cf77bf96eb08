"""Every conversion, with the factors that are easily mistaken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload import units
from offload.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bits_per_second"),
    [
        ("450mbps", 450e6),
        ("450Mbps", 450e6),
        ("56MB/s", 448e6),
        ("1gbps", 1e9),
        ("1MiB/s", 8 * 1024**2),
        ("0.5 Mbit/s", 0.5e6),
        ("20kbps", 20e3),
    ],
)
def test_rates_are_bits_per_second(text: str, bits_per_second: float) -> None:
    assert units.parse_rate(text) == bits_per_second


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("5MiB", 5 * 1024**2), ("5MB", 5_000_000), ("200kB", 200_000), ("1KiB", 1024), ("0B", 0)],
)
def test_sizes_are_bytes_si_and_binary(text: str, size_bytes: int) -> None:
    assert units.parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("20ms", 0.02), ("1.5s", 1.5), ("3us", 3e-6), ("3µs", 3e-6), ("2min", 120.0), ("1h", 3600.0)],
)
def test_durations_are_seconds(text: str, duration_s: float) -> None:
    assert units.parse_duration(text) == pytest.approx(duration_s, rel=1e-12)


def test_power_is_watts_and_a_percentage_is_a_fraction() -> None:
    assert units.parse_power("3.2W") == 3.2
    assert units.parse_power("250mW") == 0.25
    assert units.parse_fraction("2%") == 0.02


@pytest.mark.parametrize(
    ("text", "energy_j"), [("0.2J", 0.2), ("134mJ", 0.134), ("1Wh", 3600.0), ("500mWh", 1800.0), ("3kJ", 3000.0)]
)
def test_energy_is_joules(text: str, energy_j: float) -> None:
    assert units.parse_energy(text) == pytest.approx(energy_j)


@pytest.mark.parametrize(
    ("text", "energy_j"),
    [("3000mAh,3.85V", 41_580.0), ("3Ah, 3850mV", 41_580.0), ("11.55Wh", 41_580.0), ("1mAh,1V", 3.6)],
)
def test_a_battery_holds_its_charge_times_its_voltage(text: str, energy_j: float) -> None:
    assert units.parse_battery(text) == pytest.approx(energy_j)


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("3000mAh", "no energy without a voltage", "3000mAh,3.85V"),
        ("3000", "no unit", "3000mAh,3.85V"),
        ("3000mAh,3.85", "no unit", "3000mAh,3.85V"),
        ("3.85V,3000mAh", "'V' is not a unit of charge", "mAh"),
        ("-3000mAh,3.85V", "above zero", "3000mAh,3.85V"),
        ("nanmAh,3.85V", "not a charge", "3000mAh,3.85V"),
        ("11Wh,3.85V", "'Wh' is not a unit of charge", "mAh"),
    ],
)
def test_what_is_not_a_battery_is_refused(text: str, error: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        units.parse_battery(text)
    assert error in raised.value.message
    assert hint in raised.value.hint


def test_a_bare_rate_is_refused_with_the_fix() -> None:
    with pytest.raises(UsageError) as raised:
        units.parse_rate("450")
    assert "no unit" in raised.value.message
    assert "450mbps" in raised.value.hint


@pytest.mark.parametrize(
    "text", ["", "fast", "450 parsecs", "450mb ps", "-1mbps", "0mbps", "1e999mbps", "nanmbps", "450MW"]
)
def test_what_is_not_a_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        units.parse_rate(text)


@pytest.mark.parametrize(
    ("parse", "text", "error"),
    [
        (units.parse_rate, "1e300mbps", "a rate cannot be that large"),
        (units.parse_rate, "1e-300bps", "a rate cannot be that small"),
        (units.parse_duration, "1e300s", "a duration cannot be that large"),
        (units.parse_size, "1e16B", "a size cannot be that large"),
        (units.parse_battery, "1e300Wh", "a battery cannot be that large"),
        (units.parse_battery, "1e10Ah,1e10V", "a battery cannot be that large"),
    ],
)
def test_what_cannot_be_true_is_refused(parse: Callable[[str], float], text: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        parse(text)


@pytest.mark.parametrize(
    "parse", [units.parse_duration, units.parse_size, units.parse_power, units.parse_energy, units.parse_fraction]
)
@pytest.mark.parametrize("text", ["5", "five", "5 parsecs", "-5s", ""])
def test_every_quantity_needs_its_own_unit(parse: object, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)  # type: ignore[operator]
    assert "\n" not in raised.value.message


@given(st.floats(1e-3, 1e4))
def test_a_formatted_duration_reads_back(seconds: float) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == pytest.approx(seconds, rel=0.006)


@given(st.floats(1, 1e12))
def test_a_formatted_rate_reads_back(bits_per_second: float) -> None:
    assert units.parse_rate(units.format_rate(bits_per_second)) == pytest.approx(bits_per_second, rel=0.001)


@given(st.integers(0, 10**12))
def test_a_formatted_size_reads_back(size_bytes: int) -> None:
    assert units.parse_size(units.format_size(size_bytes)) == pytest.approx(size_bytes, rel=0.05)


@given(st.floats(0.001, 1e6))
def test_prefixes_are_powers_of_a_thousand(number: float) -> None:
    assert units.parse_rate(f"{number:f}gbps") == pytest.approx(1000 * units.parse_rate(f"{number:f}mbps"))
    assert units.parse_rate(f"{number:f}MB/s") == pytest.approx(8 * units.parse_rate(f"{number:f}Mbit/s"))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.format_duration(0.0417), "41.7 ms"),
        (units.format_duration(0.000312), "312 µs"),
        (units.format_duration(1.2), "1.20 s"),
        (units.format_duration(0.25), "250 ms"),
        (units.format_duration(float("inf")), "∞"),
        (units.format_size(802_816), "802.8 kB"),
        (units.format_size(40), "40 B"),
        (units.format_rate(450e6), "450 Mbit/s"),
        (units.format_rate(9600), "9.6 kbit/s"),
        (units.format_rate(12), "12 bit/s"),
        (units.format_energy(0.134), "134 mJ"),
        (units.format_energy(2.5), "2.50 J"),
        (units.format_energy(41_580), "41.6 kJ"),
        (units.format_energy(0.0000461), "46.1 µJ"),
        (units.format_flops(8.2e9), "8.2 GFLOP"),
        (units.format_flops(12), "12 FLOP"),
    ],
)
def test_display(shown: str, expected: str) -> None:
    assert shown == expected
