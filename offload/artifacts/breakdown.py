"""The Breakdown: where the time and the energy of one request go, predicted or measured."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from offload.artifacts.estimate import Estimate, add, add_dependent

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
    """Energy of the radio while sending; None when no radio was given."""
    energy_source: EnergySource
    """Where `device_j` comes from; the other energies are modelled."""
    period_s: Estimate | None = None
    """Time between answers when requests are pipelined: that of the slowest of device, uplink, server and downlink."""
    idle_j: Estimate | None = None
    """Idle power for as long as the request is not computed here; None when not known or not charged."""
    download_j: Estimate | None = None
    """Energy of the radio while receiving; None when no radio was given or it is not charged."""

    @property
    def energy_j(self) -> Estimate | None:
        """All that is charged: computing and sending, and with receiving also idling; None unless all are known.

        A transfer that takes longer is paid in the radio's and in the idle energy.
        """
        if self.device_j is None or self.radio_j is None:
            return None
        if self.download_j is None:
            return add((self.device_j, self.radio_j))
        if self.idle_j is None:
            return None
        return add((self.device_j, add_dependent((self.radio_j, self.idle_j, self.download_j))))

    def times(self) -> dict[str, Estimate]:
        """The time fields in the order a request passes them, without the total."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in TIME_FIELDS}
