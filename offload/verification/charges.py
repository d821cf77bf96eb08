"""What a plan charges beside times, read off its predictions."""

from __future__ import annotations

from offload.artifacts.link import AffineCost
from offload.artifacts.plan import Option, Plan
from offload.artifacts.request_costs import Flight, Waiting


def waiting_of(plan: Plan) -> Waiting | None:
    """What the plan charges for the time a request is not computed on the device; None when that is nothing."""
    if plan.paper_energy or plan.radio is None:
        return None
    up = 8 / plan.link.uplink_bps if plan.radio.whole_device else 0.0
    down = 8 / plan.link.downlink_bps if plan.radio.whole_device else 0.0
    message_s = up * plan.uplink_message_bytes + down * plan.downlink_message_bytes
    charged = [
        (
            option.breakdown.idle_j.value,
            _away_s(option) - message_s - up * option.uplink_bytes - down * option.downlink_bytes,
        )
        for option in (plan.server_only, plan.chosen, *plan.alternatives)
        if option.breakdown.idle_j is not None and option.coding is None  # an encoder computes meanwhile
    ]
    joules, seconds = max(charged, key=lambda pair: pair[1], default=(0.0, 0.0))
    if joules <= 0 or seconds <= 0:
        return None
    return Waiting(
        idle_w=joules / seconds,
        covered_uplink_s_per_byte=up,
        covered_downlink_s_per_byte=down,
        covered_message_s=message_s,
    )


def flight_of(plan: Plan) -> Flight:
    """How long the plan's messages are under way without occupying the link: half a round trip, where there is one."""
    link, no_protocol = plan.link, AffineCost()
    return Flight(
        uplink_s=min(link.rtt_s / 2, link.uplink_s(0, no_protocol).value),
        downlink_s=min(link.rtt_s / 2, link.downlink_s(0, no_protocol).value),
    )


def _away_s(option: Option) -> float:
    return sum(each.value for field, each in option.breakdown.times().items() if field != "device_s")
