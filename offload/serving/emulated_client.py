"""A client behind an emulated link that adds to a request what it says, and no more."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from offload.profilers.rests import PAUSE_S
from offload.serving.background_traffic import background_traffic
from offload.serving.client import ServerClient
from offload.serving.link_emulation import LinkEmulator, LinkShape

_ROUNDS, _CALLS = 3, 5
_LONGEST_DELAY_S = 0.005
"""Of the link on which the lateness is found: it does not depend on the delay, and that takes time."""
_NO_LIMIT_BPS = 1e12


@contextmanager
def emulated_client(
    direct: ServerClient,
    connect: Callable[[str], ServerClient],
    *,
    uplink: LinkShape,
    downlink: LinkShape,
    traffic: bool = False,
) -> Iterator[ServerClient]:
    """A connection to the server that `direct` reaches, through an emulated link.

    The link is as `on_time` has it.

    Args:
        direct: The server without the link.
        connect: Makes a client of an address.
        uplink: From the client to the server.
        downlink: The way back.
        traffic: Whether another client sends to the server all the time, over the same link.

    Raises:
        OffloadError: the emulation does not start, the server cannot be reached, or the traffic broke off.
    """
    shapes = on_time(direct, connect, uplink=uplink, downlink=downlink)
    with ExitStack() as stack:
        link = stack.enter_context(LinkEmulator(direct.address, uplink=shapes[0], downlink=shapes[1]))
        client = stack.enter_context(connect(link.address))
        if traffic:
            other = stack.enter_context(connect(link.address))
            stack.enter_context(background_traffic(direct, other, rate_bps=uplink.rate_bps))
        yield client


def on_time(
    direct: ServerClient, connect: Callable[[str], ServerClient], *, uplink: LinkShape, downlink: LinkShape
) -> tuple[LinkShape, LinkShape]:
    """What to emulate so that messages take what a link of these shapes would.

    The emulation is one more process to wake on the way, each way, which takes 0.1 to 0.4 ms. By how much it is late
    is measured beside the direct connection and taken off the link's delays, as far as they go.

    Args:
        direct: A server without the link.
        connect: Makes a client of an address.
        uplink: From the client to the server.
        downlink: The way back.
    """
    longest_s = max(uplink.delay_s, downlink.delay_s)
    late_s = lateness_s(direct, connect, delay_s=min(longest_s, _LONGEST_DELAY_S)) if longest_s else 0.0
    up, down = (dataclasses.replace(shape, delay_s=max(0.0, shape.delay_s - late_s)) for shape in (uplink, downlink))
    return up, down


def lateness_s(direct: ServerClient, connect: Callable[[str], ServerClient], *, delay_s: float) -> float:
    """By how many seconds each direction of an emulated link exceeds its delay, from calls that follow a rest."""
    shape = LinkShape(rate_bps=_NO_LIMIT_BPS, delay_s=delay_s)
    took: tuple[list[float], list[float]] = ([], [])
    with LinkEmulator(direct.address, uplink=shape, downlink=shape) as link, connect(link.address) as client:
        for _ in range(_ROUNDS):
            for one, samples in zip((direct, client), took, strict=True):
                samples.extend(one.rtt(_CALLS, rest_s=PAUSE_S))
    without_s, with_s = map(statistics.median, took)
    return max(0.0, (with_s - without_s) / 2 - delay_s)
