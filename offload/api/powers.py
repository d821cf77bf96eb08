"""Where a verb's power comes from: a meter, or what the user declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.errors import UsageError

if TYPE_CHECKING:
    from offload.profilers.energy.base import Meter


def check_powers(power_w: float | None, idle_power_w: float | None) -> None:
    """Refuse declared powers that contradict each other.

    Raises:
        UsageError: idling draws more than computing.
    """
    if power_w is not None and idle_power_w is not None and idle_power_w > power_w:
        raise UsageError(
            f"--idle-power {idle_power_w:g}W is above --power {power_w:g}W",
            hint="--power is the whole device's while computing, idle power included",
        )


def chosen_meter(meter: str | None, device: str, *, power_w: float | None, idle_power_w: float | None) -> Meter | None:
    """The meter to read, not yet entered; known to be there when it was asked for by name.

    Args:
        meter: What `--meter` says; None is `auto`, or `none` when a power is declared.
        device: `cpu`, or `cuda:N`.
        power_w: Declared power while computing.
        idle_power_w: Declared power while waiting.

    Raises:
        UsageError: what is declared and what is to be measured contradict each other.
        NoMeterError: the named meter is not here or cannot be read.
    """
    from offload.profilers.energy.choose import open_meter

    check_powers(power_w, idle_power_w)
    if power_w is not None and meter not in (None, "none"):
        raise UsageError(
            f"--power models the energy, --meter {meter} measures it", hint="give one of them, or --meter none"
        )
    return open_meter(meter or ("auto" if power_w is None else "none"), device)
