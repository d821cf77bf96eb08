"""The Breakdown: where the time and the energy of one request go, predicted or measured."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from offload.artifacts.estimate import Estimate

EnergySource = Literal["counter", "integrated", "modelled", "none"]
TIME_FIELDS = ("device_s", "encode_s", "uplink_s", "queue_s", "decode_s", "server_s", "downlink_s")


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """One request from input to answer; the times are in seconds, the energies in joules.

    `latency_s` is an estimate of its own rather than the sum of the fields: medians do not add.
    """

    device_s: Estimate
    """Computing on the device."""
    encode_s: Estimate
    """Turning the crossing tensors into what is sent."""
    uplink_s: Estimate
    """From the first byte sent to the server having the request."""
    queue_s: Estimate
    """Waiting on the server."""
    decode_s: Estimate
    """Turning what was received into tensors, on the server."""
    server_s: Estimate
    """Computing on the server."""
    downlink_s: Estimate
    """From the answer being ready to the device having it."""
    latency_s: Estimate
    """The whole request."""
    device_j: Estimate | None
    """Energy of computing on the device; None when there is no reading, which is not 0 J."""
    radio_j: Estimate | None
    """Energy of sending; None when no radio was given."""
    energy_source: EnergySource

    @property
    def energy_j(self) -> Estimate | None:
        """Device and radio together; None unless both are known."""
        if self.device_j is None or self.radio_j is None:
            return None
        return Estimate(
            value=self.device_j.value + self.radio_j.value,
            low=self.device_j.low + self.radio_j.low,
            high=self.device_j.high + self.radio_j.high,
        )

    def times(self) -> dict[str, Estimate]:
        """The time fields in the order a request passes them, without the total."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in TIME_FIELDS}
