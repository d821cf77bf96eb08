"""Parse and format quantities; the only place where units are converted.

Inside the program everything is in seconds, bytes, bits per second, watts and joules. SI prefixes are powers
of 1000, `Ki`/`Mi`/`Gi` powers of 1024, `b` is a bit and `B` a byte; `mbps` and `gbps` in lower case are bits.
"""

from __future__ import annotations

import math
import re

from offload.errors import UsageError

_NUMBER = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµ%/]*)\s*$")

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_BYTES = {
    "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
    "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3,
}  # fmt: skip
_JOULES = {"uJ": 1e-6, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3, "mWh": 3.6, "Wh": 3600.0}
_COULOMBS = {"mAh": 3.6, "Ah": 3600.0}
_VOLTS = {"mV": 1e-3, "V": 1.0}
_WATTS = {"mW": 1e-3, "W": 1.0, "kW": 1e3}
_BITS_PER_SECOND = {
    "bps": 1.0, "kbps": 1e3, "mbps": 1e6, "gbps": 1e9, "Kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9,
    "bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9,
    "B/s": 8.0, "kB/s": 8e3, "KB/s": 8e3, "MB/s": 8e6, "GB/s": 8e9,
    "KiB/s": 8 * 1024.0, "MiB/s": 8 * 1024.0**2, "GiB/s": 8 * 1024.0**3,
}  # fmt: skip


_LEAST, _MOST = 1e-15, 1e15
"""In base units; beyond these is no figure that can be true, and arithmetic overflows at last."""


def _parse(text: str, units: dict[str, float], what: str, example: str, *, allow_zero: bool) -> float:
    match = _NUMBER.match(text)
    if match is None:
        raise UsageError(f"{text!r} is not {what}", hint=f"write it like {example}")
    number, unit = float(match[1]), match[2]
    if not unit:
        raise UsageError(f"{text!r} has no unit, {what} needs one", hint=f"write it like {example}")
    if unit not in units:
        raise UsageError(
            f"{text!r}: {unit!r} is not a unit of {what.removeprefix('an ').removeprefix('a ')}",
            hint="use one of " + ", ".join(units),
        )
    return _possible(number * units[unit], text, what, example, allow_zero=allow_zero)


def _possible(value: float, text: str, what: str, example: str, *, allow_zero: bool) -> float:
    if not math.isfinite(value) or value < 0 or (value == 0 and not allow_zero):
        bound = "zero or more" if allow_zero else "above zero"
        raise UsageError(f"{text!r}: {what} must be finite and {bound}", hint=f"write it like {example}")
    if value > _MOST or 0 < value < _LEAST:
        extreme = "large" if value > 1 else "small"
        raise UsageError(f"{text!r}: {what} cannot be that {extreme}", hint=f"write it like {example}")
    return value


def parse_duration(text: str) -> float:
    """Seconds from text such as `20ms` or `1.5s`; raises UsageError on anything else."""
    return _parse(text, _SECONDS, "a duration", "20ms", allow_zero=True)


def parse_size(text: str) -> int:
    """Bytes from text such as `5MiB` or `200kB`; raises UsageError on anything else."""
    return round(_parse(text, _BYTES, "a size", "5MiB", allow_zero=True))


def parse_rate(text: str) -> float:
    """Bits per second from text such as `450mbps` or `56MB/s`; raises UsageError on anything else."""
    number = _NUMBER.match(text)
    example = f"{number[1]}mbps" if number and not number[2] else "450mbps or 56MB/s"
    return _parse(text, _BITS_PER_SECOND, "a rate", example, allow_zero=False)


def parse_power(text: str) -> float:
    """Watts from text such as `3.2W`; raises UsageError on anything else."""
    return _parse(text, _WATTS, "a power", "3.2W", allow_zero=False)


def parse_energy(text: str) -> float:
    """Joules from text such as `0.2J` or `15Wh`; raises UsageError on anything else."""
    return _parse(text, _JOULES, "an energy", "0.2J", allow_zero=False)


def parse_battery(text: str) -> float:
    """Joules in a full battery, from `3000mAh,3.85V` (charge times voltage) or `11.6Wh`; raises UsageError else."""
    charge, comma, voltage = text.partition(",")
    if not comma and any(text.strip().endswith(unit) for unit in _COULOMBS):
        raise UsageError(f"{text!r} is a charge, which is no energy without a voltage", hint=f"write {text},3.85V")
    if not comma:
        return _parse(text, _JOULES, "a battery", "3000mAh,3.85V", allow_zero=False)
    coulombs = _parse(charge, _COULOMBS, "a charge", "3000mAh,3.85V", allow_zero=False)
    volts = _parse(voltage, _VOLTS, "a voltage", "3000mAh,3.85V", allow_zero=False)
    return _possible(coulombs * volts, text, "a battery", "3000mAh,3.85V", allow_zero=False)


def parse_fraction(text: str, *, allow_zero: bool = False) -> float:
    """A fraction of one from text such as `2%`; raises UsageError on anything else."""
    return _parse(text, {"%": 0.01}, "a percentage", "2%", allow_zero=allow_zero)


def format_duration(seconds: float) -> str:
    """Seconds as people read them: `41.7 ms`, `312 µs`, `1.20 s`."""
    if not math.isfinite(seconds):
        return "∞"
    magnitude = abs(seconds)
    if magnitude >= 1:
        return f"{seconds:.2f} s"
    if magnitude >= 0.1:
        return f"{seconds * 1e3:.0f} ms"
    if magnitude >= 0.01:
        return f"{seconds * 1e3:.1f} ms"
    if magnitude >= 0.001:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.0f} µs"


def format_size(size_bytes: float) -> str:
    """Bytes as people read them, in powers of 1000: `802.8 kB`."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(size_bytes) >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def format_rate(bits_per_second: float) -> str:
    """Bits per second as people read them: `450 Mbit/s`."""
    for factor, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits_per_second >= factor:
            return f"{bits_per_second / factor:.4g} {unit}"
    return f"{bits_per_second:.4g} bit/s"


def format_energy(joules: float) -> str:
    """Joules as people read them: `134 mJ`."""
    if abs(joules) >= 10_000:
        return f"{joules / 1e3:.1f} kJ"
    if abs(joules) >= 1:
        return f"{joules:.2f} J"
    if abs(joules) < 1e-3:
        return f"{joules * 1e6:.3g} µJ"
    return f"{joules * 1e3:.3g} mJ"


def format_flops(flops: float) -> str:
    """Floating-point operations (a multiply-accumulate is two): `8.2 GFLOP`."""
    for factor, unit in ((1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP")):
        if flops >= factor:
            return f"{flops / factor:.1f} {unit}"
    return f"{flops:.0f} FLOP"
