"""What a request that was timed comes to in joules, and in seconds between answers, by what its plan charges."""

from __future__ import annotations

from dataclasses import dataclass

from offload.artifacts.base import Positive, Seconds
from offload.artifacts.plan import Option


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What a plan charges for the time that a request is not computed on the device."""

    idle_w: Positive
    """Watts."""
    covered_uplink_s_per_byte: Seconds = 0.0
    """Of that time, what sending a byte takes with a radio whose power is the whole device's: no idle power then."""
    covered_downlink_s_per_byte: Seconds = 0.0
    """The same for receiving."""
    covered_message_s: Seconds = 0.0
    """The same for what a request and its answer carry beside tensors."""

    def joules(self, option: Option, *, away_s: float) -> float:
        """Joules of a request that was not computed on the device for `away_s` seconds."""
        covered_s = self.covered_message_s + option.uplink_bytes * self.covered_uplink_s_per_byte
        covered_s += option.downlink_bytes * self.covered_downlink_s_per_byte
        return self.idle_w * max(0.0, away_s - covered_s)


@dataclass(frozen=True, kw_only=True)
class Flight:
    """How long a message is under way without occupying the link."""

    uplink_s: Seconds
    downlink_s: Seconds


def request_energy_j(option: Option, waiting: Waiting | None, *, device_s: float, away_s: float) -> float | None:
    """Joules that the device draws for a request, by its times and the plan's powers.

    The power while computing is what was predicted of the option's own layers and encoder, joules by seconds. The
    radio's energy is as predicted: of the bytes at the link's rate.

    Args:
        option: How the model is divided, with its prediction.
        waiting: What is charged for waiting; None when nothing is.
        device_s: Seconds that computing on the device took, encoding included where a codec carries the tensor.
        away_s: All other seconds of the request.

    Returns:
        None when a figure is missing.
    """
    predicted = option.breakdown
    if predicted.device_j is None or predicted.radio_j is None:
        return None
    computing_j = predicted.device_j.value
    computing_s = predicted.device_s.value + (predicted.encode_s.value if option.coding is not None else 0.0)
    if computing_s > 0:
        computing_j *= device_s / computing_s
    if predicted.download_j is None:  # nothing but computing and sending is charged
        return computing_j + predicted.radio_j.value
    if waiting is None:
        return None
    return computing_j + predicted.radio_j.value + predicted.download_j.value + waiting.joules(option, away_s=away_s)


def slowest_stage_s(
    flight: Flight,
    *,
    device_s: float,
    encode_s: float,
    uplink_s: float,
    decode_s: float,
    server_s: float,
    downlink_s: float,
) -> float:
    """Seconds that the slowest of device, uplink, server and downlink is occupied by a request.

    Requests that are pipelined cannot be answered more often, and are as often where the stages do not disturb one
    another.
    """
    return max(device_s + encode_s, uplink_s - flight.uplink_s, decode_s + server_s, downlink_s - flight.downlink_s)
