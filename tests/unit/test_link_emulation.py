"""The emulated link: its arithmetic on a clock of the test's own, and its bytes over real sockets."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.errors import UsageError
from offload.serving.link_emulation import LinkEmulator, LinkShape, parse_link
from offload.serving.pacing import VirtualLine


def test_links_are_parsed() -> None:
    assert parse_link("450mbps,2ms") == LinkShape(rate_bps=450e6, delay_s=0.002)
    assert parse_link(" 1MB/s , 0ms ") == LinkShape(rate_bps=8e6, delay_s=0.0)
    assert parse_link("20mbps") == LinkShape(rate_bps=20e6, delay_s=0.0)


@pytest.mark.parametrize(
    "text", ["", ",", "2ms", "450", "450mbps,", "450mbps,2", ",2ms", "0mbps", "450mbps,2ms,3ms", "-1mbps"]
)
def test_what_is_not_a_link_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_link(text)


rates = st.floats(1e3, 1e9)
delays = st.floats(0, 1)
sizes = st.lists(st.integers(1, 100_000), min_size=1, max_size=30)


@given(rates, delays, sizes, st.data())
def test_no_more_bytes_arrive_than_the_rate_allows(
    rate: float, delay: float, chunks: list[int], data: st.DataObject
) -> None:
    line = VirtualLine(LinkShape(rate_bps=rate, delay_s=delay))
    now, arrivals = 0.0, []
    for size in chunks:
        now += data.draw(st.floats(0, 0.5))
        arrivals.append((now, line.admit(size, now), size))
    for index, (sent, arrived, size) in enumerate(arrivals):
        assert arrived >= sent + size * 8 / rate + delay - 1e-9
        for later in range(index, len(arrivals)):  # over every stretch of chunks
            carried_bits = 8 * sum(size for _, _, size in arrivals[index + 1 : later + 1])
            assert arrivals[later][1] - arrived >= carried_bits / rate * (1 - 1e-9) - 1e-9


@given(rates, delays, sizes)
def test_a_message_takes_its_serialisation_and_the_delay_however_it_is_cut(
    rate: float, delay: float, chunks: list[int]
) -> None:
    line = VirtualLine(LinkShape(rate_bps=rate, delay_s=delay))
    last = [line.admit(size, 100.0) for size in chunks][-1]
    assert last - 100.0 == pytest.approx(sum(chunks) * 8 / rate + delay, rel=1e-6, abs=1e-9)
    assert line.backlog_s(100.0) == pytest.approx(sum(chunks) * 8 / rate, rel=1e-6, abs=1e-9)


@given(rates, st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_late_readers_cost_nothing_while_the_line_is_busy(rate: float, lateness: list[float]) -> None:
    line, size = VirtualLine(LinkShape(rate_bps=rate)), 1500
    line.admit(size, 0.0)
    for index, late in enumerate(lateness):  # each chunk is read while the one before is on the line
        line.admit(size, (index + late) * size * 8 / rate)
    assert line.backlog_s(0.0) == pytest.approx((len(lateness) + 1) * size * 8 / rate, rel=1e-6)


def test_an_idle_line_owes_no_burst() -> None:
    line = VirtualLine(LinkShape(rate_bps=8e3))
    line.admit(1000, 0.0)
    assert line.backlog_s(1000.0) == 0
    assert line.admit(1000, 1000.0) == pytest.approx(1001.0)


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Starts a server that handles each connection with the given function; its address."""
    listeners: list[socket.socket] = []

    def start(handle: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def connect(link: LinkEmulator) -> socket.socket:
    host, _, port = link.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def receive_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


FAST = parse_link("200mbps,1ms")


def test_several_servers_behind_one_link_are_told_apart_and_share_its_rate(peer) -> None:
    sizes = (30_000, 50_000)
    sizes_come = peer(lambda connection: connection.sendall(b"%d" % len(receive_all(connection))))
    twice_come = peer(lambda connection: connection.sendall(b"%d" % (2 * len(receive_all(connection)))))
    told: dict[int, bytes] = {}

    def talk(index: int) -> None:
        host, _, port = link.addresses[index].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(bytes(sizes[index]))
            connection.shutdown(socket.SHUT_WR)
            told[index] = connection.recv(64)

    with LinkEmulator(sizes_come, twice_come, uplink=parse_link("1mbps"), downlink=FAST) as link:
        assert len(set(link.addresses)) == 2
        started = time.perf_counter()
        threads = [threading.Thread(target=talk, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        took_s = time.perf_counter() - started
    assert told == {0: b"30000", 1: b"100000"}
    assert took_s >= sum(sizes) * 8 / 1e6  # one after the other on the line, and not side by side


def test_bytes_arrive_intact_both_ways_over_many_connections(peer) -> None:
    payloads = [random.Random(seed).randbytes(size) for seed, size in enumerate((1, 1000, 70_000, 1_500_000))]
    received: dict[int, bytes] = {}

    def talk(index: int) -> None:
        with connect(link) as connection:
            sender = threading.Thread(
                target=lambda: (connection.sendall(payloads[index]), connection.shutdown(socket.SHUT_WR))
            )
            sender.start()
            received[index] = receive_all(connection)
            sender.join()

    with LinkEmulator(peer(echo), uplink=FAST, downlink=FAST) as link:
        threads = [threading.Thread(target=talk, args=(index,)) for index in range(len(payloads))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [received[index] for index in range(len(payloads))] == payloads


@pytest.mark.parametrize("upward", [True, False])
def test_a_message_takes_at_least_its_time(peer, upward: bool) -> None:
    slow, free = parse_link("1mbps,30ms"), LinkShape(rate_bps=1e10)
    size = 40_000
    link = LinkEmulator(peer(echo), uplink=slow if upward else free, downlink=free if upward else slow)
    with link, connect(link) as connection:
        started = time.perf_counter()
        connection.sendall(bytes(size))
        remaining = size
        while remaining:
            remaining -= len(connection.recv(65536))
        took_s = time.perf_counter() - started
    assert took_s >= size * 8 / 1e6 + 0.03


def send_until_stuck(connection: socket.socket, most: int) -> int:
    """Bytes the sender got rid of before a second passed without room for more, at most `most`."""
    connection.settimeout(1.0)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            sent += connection.send(bytes(65536))
    return sent


def test_a_sender_feels_the_rate(peer) -> None:
    link = LinkEmulator(peer(receive_all), uplink=parse_link("1mbps"), downlink=FAST)
    with link, connect(link) as connection:
        assert send_until_stuck(connection, 8_000_000) < 8_000_000


def test_a_receiver_that_stops_reading_stops_the_sender(peer) -> None:
    holding = threading.Event()
    link = LinkEmulator(peer(lambda _: holding.wait(60)), uplink=LinkShape(rate_bps=1e9), downlink=FAST)
    with link, connect(link) as connection:
        assert send_until_stuck(connection, 40_000_000) < 40_000_000
    holding.set()


def test_a_connection_the_server_ends_is_ended_here(peer) -> None:
    def answer_and_leave(connection: socket.socket) -> None:
        with connection:
            connection.recv(1)
            connection.sendall(b"bye")

    with LinkEmulator(peer(answer_and_leave), uplink=FAST, downlink=FAST) as link, connect(link) as connection:
        connection.sendall(b"x")
        assert receive_all(connection) == b"bye"


def test_a_connection_the_client_breaks_is_broken_at_the_server(peer) -> None:
    ended = threading.Event()

    def wait_for_the_end(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionResetError):
            receive_all(connection)
        ended.set()

    with LinkEmulator(peer(wait_for_the_end), uplink=FAST, downlink=FAST) as link:
        connection = connect(link)
        connection.sendall(b"x")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
        assert ended.wait(20)


def test_when_nothing_listens_behind_the_link_connections_break_and_the_link_lives(peer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with LinkEmulator(address, uplink=FAST, downlink=FAST) as link:
            for _ in range(2):
                with contextlib.suppress(ConnectionResetError), connect(link) as connection:
                    assert connection.recv(1) == b""


def test_the_link_is_gone_after_the_block(peer) -> None:
    with LinkEmulator(peer(echo), uplink=FAST, downlink=FAST) as link:
        connect(link).close()
    with pytest.raises(ConnectionRefusedError):
        connect(link)


def test_a_target_that_is_not_an_address_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        LinkEmulator("nowhere", uplink=FAST, downlink=FAST)
