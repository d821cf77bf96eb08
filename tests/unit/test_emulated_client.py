"""How late the link emulation is comes off its delays: arithmetic on clients and links that tell what they are told."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import pytest

from offload.serving import emulated_client as module
from offload.serving.emulated_client import emulated_client, lateness_s
from offload.serving.link_emulation import LinkShape

DIRECT_S, LATE_S = 0.0007, 0.0003


class FakeLink:
    """A link emulation that is late each way."""

    made: ClassVar[list[FakeLink]] = []

    def __init__(self, target: str, *, uplink: LinkShape, downlink: LinkShape) -> None:
        self.address, self.uplink, self.downlink = f"link to {target}", uplink, downlink
        self.made.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class FakeClient:
    """A client whose calls take what the link before it adds."""

    def __init__(self, address: str) -> None:
        self.address = address

    def rtt(self, samples: int, *, rest_s: float) -> tuple[float, ...]:
        assert rest_s > 0
        if not self.address.startswith("link"):
            return (DIRECT_S,) * samples
        link = FakeLink.made[-1]
        return (DIRECT_S + link.uplink.delay_s + link.downlink.delay_s + 2 * LATE_S,) * samples

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LinkEmulator", FakeLink)
    monkeypatch.setattr(FakeLink, "made", [])


def connected(uplink: LinkShape, downlink: LinkShape) -> Any:
    direct: Any = FakeClient("server")
    connect: Any = FakeClient
    with emulated_client(direct, connect, uplink=uplink, downlink=downlink) as client:
        return client


def test_the_lateness_of_one_direction_is_found() -> None:
    direct: Any = FakeClient("server")
    connect: Any = FakeClient
    assert lateness_s(direct, connect, delay_s=0.002) == pytest.approx(LATE_S)


def test_delays_are_shortened_by_it_and_rates_stay() -> None:
    client = connected(LinkShape(rate_bps=5e6, delay_s=0.010), LinkShape(rate_bps=450e6, delay_s=0.0001))
    up, down = FakeLink.made[-1].uplink, FakeLink.made[-1].downlink
    assert (up.rate_bps, down.rate_bps) == (5e6, 450e6)
    assert up.delay_s == pytest.approx(0.0097)
    assert down.delay_s == 0
    assert client.address == "link to server"
    assert FakeLink.made[0].uplink.rate_bps >= 1e12  # so that a call's bytes take no time


def test_a_link_without_delay_has_nothing_to_shorten() -> None:
    connected(LinkShape(rate_bps=5e6), LinkShape(rate_bps=5e6))
    assert len(FakeLink.made) == 1
