"""Count the bytes of requests and answers as they are on a connection, headers and framing included."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from offload.serving.addresses import format_address, parse_address

_CHUNK_BYTES = 65536


class CountingRelay:
    """`with CountingRelay(target) as relay:` then connect to `relay.address`; what passes is counted, not delayed.

    Args:
        target_address: HOST:PORT of the server behind it.

    Raises:
        UsageError: the address is not one.
    """

    def __init__(self, target_address: str) -> None:
        self._target = parse_address(target_address)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.address = format_address(*self._listener.getsockname())
        """HOST:PORT of this end."""
        self.uplink_bytes = 0
        """To the target so far."""
        self.downlink_bytes = 0
        """From it."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._connections):
            with contextlib.suppress(OSError):  # one that is closed already
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._connections += [client, server]
                for end, other, up in ((client, server, True), (server, client, False)):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._carry, args=(end, other, up), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):  # one side is gone, and its other threads end likewise
            while data := source.recv(_CHUNK_BYTES):
                if up:
                    self.uplink_bytes += len(data)
                else:
                    self.downlink_bytes += len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
