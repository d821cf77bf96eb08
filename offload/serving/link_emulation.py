"""A link of a given rate and delay without root: a TCP proxy in a process of its own that paces each direction.

The rate is that of TCP's payload; headers are not counted. All connections share the line, as they would share a radio,
whichever of several servers behind it they are to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from offload.errors import OffloadError
from offload.serving.addresses import format_address, parse_address
from offload.serving.child_process import ChildError, ChildProcess, answer, read_settings
from offload.serving.pacing import LinkShape, VirtualLine, parse_link

__all__ = ["LinkEmulator", "LinkShape", "parse_link"]

_READ_AHEAD_S = 0.004
"""How far ahead of the line the proxy reads: longer than it is ever late, so the line never runs dry by its fault."""
_CHUNK_S = 0.0005
"""Line time of one chunk; at slow rates a chunk is one Ethernet frame's payload instead."""
_MIN_CHUNK_BYTES, _MAX_CHUNK_BYTES = 1448, 64 * 1024
_SOCKET_BUFFER_BYTES = 128 * 1024
_MAX_IN_FLIGHT_BYTES = 256 * 1024**2
_CONNECT_TIMEOUT_S = 10.0


class LinkEmulator:
    """`with LinkEmulator(target, uplink=shape, downlink=shape) as link:` then connect to `link.address`.

    Args:
        target_addresses: HOST:PORT of each server behind the link, at least one.
        uplink: From those who connect to the targets.
        downlink: From the targets back.

    Raises:
        UsageError: an address is not one.
    """

    def __init__(self, *target_addresses: str, uplink: LinkShape, downlink: LinkShape) -> None:
        for address in target_addresses:
            parse_address(address)
        self._settings = {
            "targets": target_addresses,
            "uplink": dataclasses.asdict(uplink),
            "downlink": dataclasses.asdict(downlink),
        }
        self._child: ChildProcess | None = None
        self.addresses: tuple[str, ...] = ()
        """HOST:PORT of this end of the link for each target, once it is up."""

    @property
    def address(self) -> str:
        """That of the first target."""
        return self.addresses[0]

    def __enter__(self) -> Self:
        self._child = ChildProcess("offload.serving.link_emulation", self._settings)
        try:
            self.addresses = tuple(self._child.answer(30.0)["addresses"])
        except ChildError as failure:
            self._child.kill()
            raise OffloadError(
                f"the link emulation did not start: {failure.message}", hint="free some memory or ports, then try again"
            ) from failure
        except BaseException:
            self._child.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.kill()


class _Stream:
    """One direction of one connection: read from `source`, onto the line, at its time out of `sink`."""

    def __init__(self, source: socket.socket, sink: socket.socket, line: VirtualLine, shape: LinkShape) -> None:
        self.source, self.sink = source, sink
        self._line = line
        self._chunk_bytes = int(min(max(shape.rate_bps / 8 * _CHUNK_S, _MIN_CHUNK_BYTES), _MAX_CHUNK_BYTES))
        in_flight_s = shape.delay_s + _READ_AHEAD_S
        in_flight_bytes = shape.rate_bps / 8 * in_flight_s + 2 * self._chunk_bytes
        self._max_queued_bytes = min(in_flight_bytes, _MAX_IN_FLIGHT_BYTES)
        self._queue: deque[tuple[float, memoryview]] = deque()
        self._queued_bytes = 0
        self.at_end = False
        """The source has no more to send."""
        self.blocked = False
        """The sink takes nothing more for now."""
        self.finished = False
        """The sink has been told that no more comes."""

    def wants_to_read(self, now_s: float) -> bool:
        """Whether there is room on the line and behind it."""
        return (
            not self.at_end
            and self._queued_bytes < self._max_queued_bytes
            and self._line.backlog_s(now_s) < _READ_AHEAD_S
        )

    def next_event_s(self, now_s: float) -> float:
        """When there is next something to do that no socket announces; infinite when nothing."""
        times = []
        if self._queue and not self.blocked:
            times.append(self._queue[0][0])
        if not self.at_end and self._queued_bytes < self._max_queued_bytes:
            backlog_s = self._line.backlog_s(now_s)
            if backlog_s >= _READ_AHEAD_S:
                times.append(now_s + backlog_s - _READ_AHEAD_S / 2)
        return min(times, default=float("inf"))

    def read(self, now_s: float) -> None:
        """Take one chunk from the source."""
        try:
            data = self.source.recv(self._chunk_bytes)
        except BlockingIOError:
            return
        self.at_end = not data
        self._queue.append((self._line.admit(len(data), now_s), memoryview(data)))
        self._queued_bytes += len(data)

    def write(self, now_s: float) -> None:
        """Deliver what has arrived at the far end by now."""
        while self._queue and self._queue[0][0] <= now_s:
            due_s, data = self._queue.popleft()
            if not data:  # the end of the stream travels the line like everything else
                self.sink.shutdown(socket.SHUT_WR)
                self.finished = True
                return
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            self._queued_bytes -= sent
            self.blocked = sent < len(data)
            if self.blocked:
                self._queue.appendleft((due_s, data[sent:]))
                return


class _Proxy:
    """A single-threaded loop over all connections: nothing here waits for another thread's turn."""

    def __init__(
        self, targets: Mapping[socket.socket, tuple[str, int]], uplink: LinkShape, downlink: LinkShape
    ) -> None:
        self._targets = targets
        self._uplink, self._downlink = uplink, downlink
        self._up_line, self._down_line = VirtualLine(uplink), VirtualLine(downlink)
        self._connections: list[tuple[_Stream, _Stream]] = []
        # select() takes microseconds where epoll rounds to milliseconds
        self._selector = selectors.SelectSelector()
        for listener in targets:
            self._selector.register(listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Carry bytes for ever."""
        while True:
            self._step()

    def _step(self) -> None:
        now_s = time.perf_counter()
        wake_s = float("inf")
        for up, down in self._connections:
            for stream, other in ((up, down), (down, up)):
                self._watch(stream.source, read=stream.wants_to_read(now_s), write=other.blocked)
                wake_s = min(wake_s, stream.next_event_s(now_s))
        timeout_s = None if wake_s == float("inf") else max(0.0, wake_s - now_s)
        ready = {key.fileobj: events for key, events in self._selector.select(timeout_s)}
        for listener, target in self._targets.items():
            if listener in ready:
                self._accept(listener, target)
        for pair in list(self._connections):
            try:
                for stream in pair:
                    self._serve(stream, ready)
            except OSError:  # one side is gone: so is the connection
                self._close(pair, reset=True)
            else:
                if pair[0].finished and pair[1].finished:
                    self._close(pair, reset=False)

    def _serve(self, stream: _Stream, ready: Mapping[Any, int]) -> None:
        if ready.get(stream.source, 0) & selectors.EVENT_READ:
            stream.read(time.perf_counter())
        if ready.get(stream.sink, 0) & selectors.EVENT_WRITE:
            stream.blocked = False
        if not stream.blocked:
            stream.write(time.perf_counter())

    def _watch(self, connection: socket.socket, *, read: bool, write: bool) -> None:
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        watched = self._selector.get_map().get(connection)
        if watched is None:
            if events:
                self._selector.register(connection, events)
        elif not events:
            self._selector.unregister(connection)
        elif watched.events != events:
            self._selector.modify(connection, events)

    def _accept(self, listener: socket.socket, target: tuple[str, int]) -> None:
        try:
            near, _ = listener.accept()
        except OSError:  # gone before we came to it
            return
        try:
            far = socket.create_connection(target, timeout=_CONNECT_TIMEOUT_S)
        except OSError:
            _drop(near)
            return
        for connection in (near, far):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
        up = _Stream(near, far, self._up_line, self._uplink)
        down = _Stream(far, near, self._down_line, self._downlink)
        self._connections.append((up, down))

    def _close(self, pair: tuple[_Stream, _Stream], *, reset: bool) -> None:
        self._connections.remove(pair)
        for stream in pair:
            self._watch(stream.source, read=False, write=False)
        for stream in pair:
            if reset:
                _drop(stream.source)
            else:
                stream.source.close()


def _drop(connection: socket.socket) -> None:
    """Close with a reset, so that the other side sees a broken connection and not an orderly end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def _sharpen_timers() -> None:
    """Ask Linux to wake this thread on time rather than up to 50 µs late."""
    import ctypes

    set_timer_slack, nanoseconds = 29, 1
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(set_timer_slack, nanoseconds, 0, 0, 0)


def main() -> int:
    """The emulator's process: settings in, its addresses out, then carry bytes until killed."""
    settings = read_settings()
    _sharpen_timers()
    targets = {_listener(): parse_address(target) for target in settings["targets"]}
    answer(addresses=[format_address(*listener.getsockname()) for listener in targets])
    _Proxy(targets, LinkShape(**settings["uplink"]), LinkShape(**settings["downlink"])).run()
    return 0


def _listener() -> socket.socket:
    listener = socket.socket()
    # inherited by the connections it accepts; small buffers let the sender feel the rate
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener


if __name__ == "__main__":
    sys.exit(main())
