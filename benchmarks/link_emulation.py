"""Asked against achieved rate and delay of the emulated link: 600 kB messages over raw TCP through the proxy.

Run: `python benchmarks/link_emulation.py`. Prints a Markdown table.
"""

from __future__ import annotations

import socket
import statistics
import struct
import threading
import time

from offload.serving.link_emulation import LinkEmulator, LinkShape

MESSAGE_BYTES = 600_000
RATES_MBPS = (1, 5, 20, 100, 450, 500)
DELAY_S = 0.002
TOTAL_S = 6.0
"""Time to spend on each rate and direction, as far as at least three messages fit."""


def receive(connection: socket.socket, size: int) -> float:
    """Read exactly `size` bytes; the time at which the last one came."""
    view = memoryview(bytearray(size))
    while view:
        view = view[connection.recv_into(view) :]
    return time.perf_counter()


def answer_requests(listener: socket.socket, arrivals: list[float]) -> None:
    """A peer that takes `up` bytes, notes when they were there, and answers `down` bytes."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while header := connection.recv(8, socket.MSG_WAITALL):
        up, down = struct.unpack("<II", header)
        answer = bytes(down)
        arrivals.append(receive(connection, up) if up else time.perf_counter())
        connection.sendall(answer)


def measure(rate_bps: float, *, upward: bool) -> tuple[list[float], list[float]]:
    """Seconds of 600 kB messages one way, and of 8-byte messages one way."""
    listener = socket.create_server(("127.0.0.1", 0))
    arrivals: list[float] = []
    threading.Thread(target=answer_requests, args=(listener, arrivals), daemon=True).start()
    shape = LinkShape(rate_bps=rate_bps, delay_s=DELAY_S)
    free = LinkShape(rate_bps=1e12)
    target = f"127.0.0.1:{listener.getsockname()[1]}"
    large: list[float] = []
    small: list[float] = []
    count = max(3, min(60, round(TOTAL_S * rate_bps / 8 / MESSAGE_BYTES)))
    with LinkEmulator(target, uplink=shape if upward else free, downlink=free if upward else shape) as link:
        host, _, port = link.address.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for size, times in [(MESSAGE_BYTES, large), (8, small)] * count:
                up, down = (size, 8) if upward else (8, size)
                request = struct.pack("<II", up, down) + bytes(up)
                started = time.perf_counter()
                connection.sendall(request)
                ended = receive(connection, down)
                times.append(arrivals[-1] - started if upward else ended - arrivals[-1])
                time.sleep(0.005)
    return large, small


def main() -> None:
    """Print the table."""
    print("| direction | asked Mbit/s | achieved Mbit/s | error % | asked delay ms | measured delay ms | messages |")
    print("|---|---|---|---|---|---|---|")
    for upward in (True, False):
        for rate_mbps in RATES_MBPS:
            large, small = measure(rate_mbps * 1e6, upward=upward)
            took = statistics.median(large) - DELAY_S
            achieved_mbps = MESSAGE_BYTES * 8 / took / 1e6
            delay_ms = (statistics.median(small) - 16 * 8 / (rate_mbps * 1e6)) * 1e3
            print(
                f"| {'up' if upward else 'down'} | {rate_mbps} | {achieved_mbps:.2f} | "
                f"{100 * (achieved_mbps / rate_mbps - 1):+.2f} | {DELAY_S * 1e3:.2f} | {delay_ms:.2f} | {len(large)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
