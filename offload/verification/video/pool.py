"""Servers that run one detector, all asked at once; those that die are left out and come back.

A request is handed to gRPC, which sends it and waits for its answer on threads of its own: while one image travels or
is looked at, the next is encoded here. Requests to one server queue there, and the uplink of one overlaps with what is
computed for another.
"""

from __future__ import annotations

import queue
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offload.errors import OffloadError
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.emulated_client import on_time
from offload.serving.link_emulation import LinkEmulator
from offload.serving.timing import ClockOffset, InferResult

if TYPE_CHECKING:
    from offload.progress import Progress
    from offload.serving.pacing import LinkShape
    from offload.verification.video.served_detector import ServedDetector

_FIRST_ANSWER_S = 30.0
"""What a server's first answer may take, of which nothing is known before."""
_PATIENCE, _LEAST_PATIENCE_S = 10.0, 2.0
"""A server is given up that takes so many times its slowest recent answer: a slower one still answers."""
_RECENT = 30
_RETRY_S, _LONGEST_RETRY_S = 1.0, 30.0
"""From one attempt to reach a dead server to the next, which are made beside the frames; twice as long each time that
it dies again before it has answered much."""
_REACHING_S = 3.0
"""What a server may take to say that it is there."""
_CLOCK_CALLS = 5
_GONE = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
"""gRPC's statuses of a server that is not there; with others it is there and says why not."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of one request."""

    ticket: int
    server: int
    answer: InferResult | ServerError


@dataclass(frozen=True, kw_only=True)
class _Connection:
    """What is needed to ask a server."""

    client: ServerClient
    """Through the emulated link, where there is one."""
    direct: ServerClient
    """Beside it."""
    offset: ClockOffset
    rtt_s: float
    """Of an empty message through the link."""

    def close(self) -> None:
        """End what is on its way."""
        self.client.close()
        self.direct.close()


@dataclass(kw_only=True)
class _Server:
    """One of the pool's."""

    address: str
    behind: str
    """Where to connect for requests: its address, or the emulated link's."""
    connection: _Connection | None = None
    """None while it is dead."""
    recent_s: tuple[float, ...] = ()
    """What its last answers took; replaced as a whole, by the connection's threads."""
    deaths: int = 0
    """How often it died in a row, with few answers in between."""


class ServerPool:
    """The servers; made by `server_pool`.

    Args:
        servers: All of them, none connected.
        served: The detector.
        connect: Makes a client of an address.
        progress: Told what happens to servers.
    """

    def __init__(
        self,
        servers: Sequence[_Server],
        served: ServedDetector,
        connect: Callable[..., ServerClient],
        progress: Progress,
    ) -> None:
        self.served = served
        self.notes: list[str] = []
        """What happened to servers, a sentence each."""
        self._servers, self._connect, self._progress = tuple(servers), connect, progress
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._tickets = 0
        self._closed = threading.Event()
        self._reviving: list[threading.Thread] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """HOST:PORT of each."""
        return tuple(server.address for server in self._servers)

    @property
    def there(self) -> tuple[bool, ...]:
        """Which answer, as far as is known."""
        return tuple(server.connection is not None for server in self._servers)

    @property
    def rtts_s(self) -> tuple[float | None, ...]:
        """What an empty message takes there and back; None for one that is not there."""
        return tuple(server.connection.rtt_s if server.connection else None for server in self._servers)

    def open(self) -> None:
        """Connect to all servers and give them the detector; one that is not there is left out.

        Raises:
            OffloadError: none is there.
            ServerError: one is there and refuses.
        """
        gone: list[ServerError] = []
        for server in self._servers:
            try:
                server.connection = self._reached(server)
            except ServerError as error:
                if error.code not in _GONE:
                    raise
                gone.append(error)
        if len(gone) == len(self._servers):
            if len(gone) == 1:
                raise gone[0]
            raise OffloadError(
                f"none of the {len(gone)} servers can be reached: {', '.join(self.addresses)}",
                hint="start them with `offload serve`, or check the addresses",
            )
        for index, server in enumerate(self._servers):
            if server.connection is None:
                self._tell(f"server {server.address} cannot be reached")
                self._revive(index)

    def close(self) -> None:
        """Close all connections."""
        self._closed.set()
        for thread in self._reviving:
            thread.join(_REACHING_S)
        for server in self._servers:
            if server.connection is not None:
                server.connection.close()

    def synchronise(self) -> None:
        """Ask the servers for their clocks again, which run away from ours; to be done between frames."""
        for index, server in enumerate(self._servers):
            connection = server.connection
            if connection is None:
                continue
            try:
                offset = connection.direct.clock_offset(_CLOCK_CALLS)
            except ServerError as error:
                self.lose(index, error.message)
                continue
            if offset is not None:
                server.connection = replace(connection, offset=offset)

    def send(self, server: int, payload: bytes) -> int:
        """Send an image to a server that is there; a ticket, with which `next_reply` gives its answer later.

        Raises:
            ServerError: the server is not there any more.
        """
        self._tickets += 1
        ticket, one = self._tickets, self._servers[server]
        if one.connection is None:
            raise ServerError(f"server {one.address} is gone", code="UNAVAILABLE")
        recent_s = one.recent_s
        allowed_s = max(_LEAST_PATIENCE_S, _PATIENCE * max(recent_s)) if recent_s else _FIRST_ANSWER_S

        def done(answer: InferResult | ServerError) -> None:
            if isinstance(answer, InferResult):
                one.recent_s = (*one.recent_s, answer.call_s)[-_RECENT:]
            self._replies.put(Reply(ticket=ticket, server=server, answer=answer))

        client = one.connection.client
        client.begin(self.served.name, self.served.feeds(payload), done, timeout_s=min(allowed_s, _FIRST_ANSWER_S))
        return ticket

    def next_reply(self) -> Reply:
        """What came next of all that was sent; waits for it."""
        return self._replies.get()

    def offset(self, server: int) -> ClockOffset | None:
        """The server's clock against ours; None for one that is not there."""
        connection = self._servers[server].connection
        return None if connection is None else connection.offset

    def lose(self, server: int, reason: str) -> None:
        """Leave a server out from now on, until it answers again."""
        one = self._servers[server]
        if one.connection is None:
            return
        connection, one.connection = one.connection, None
        connection.close()
        one.deaths = 1 if len(one.recent_s) == _RECENT else one.deaths + 1
        one.recent_s = ()
        self._tell(f"server {one.address} is left out: {reason}")
        self._revive(server)

    def _tell(self, words: str) -> None:
        self.notes.append(words)
        self._progress.note(words)

    def _revive(self, server: int) -> None:
        thread = threading.Thread(target=self._revived, args=(self._servers[server],), daemon=True)
        self._reviving.append(thread)
        thread.start()

    def _revived(self, server: _Server) -> None:
        """On a thread beside the frames: try until it is there."""
        retry_s = min(_RETRY_S * 2 ** max(0, server.deaths - 1), _LONGEST_RETRY_S)
        while not self._closed.wait(retry_s):
            try:
                connection = self._reached(server)
            except OffloadError:
                continue
            if self._closed.is_set():
                connection.close()
                return
            self._tell(f"server {server.address} is there again")
            server.connection = connection
            return

    def _reached(self, server: _Server) -> _Connection:
        """A connection to a server that has the detector.

        Raises:
            ServerError: it is not there, or refuses.
        """
        with ExitStack() as stack:
            direct = stack.enter_context(self._connect(server.address, timeout_s=_REACHING_S))
            direct.check()
            self.served.ensure(direct)
            offset = direct.clock_offset()  # beside the link: one that is slower one way than the other shifts it
            if offset is None:
                raise ServerError(
                    f"the server at {server.address} does not tell its times", hint="use `offload serve`", code=""
                )
            client = stack.enter_context(self._connect(server.behind))
            connection = _Connection(client=client, direct=direct, offset=offset, rtt_s=statistics.median(client.rtt()))
            stack.pop_all()
        return connection


@contextmanager
def server_pool(
    addresses: Sequence[str],
    served: ServedDetector,
    *,
    token: str | None = None,
    tls: Path | Literal["system"] | None = None,
    link: tuple[LinkShape, LinkShape] | None = None,
    progress: Progress,
) -> Iterator[ServerPool]:
    """Connect to servers, and give them a detector that they do not have yet.

    It stays with them under a name of its content; a server forgets what nobody uses.

    Args:
        addresses: HOST:PORT of each.
        served: The detector.
        token: Presented to all.
        tls: As for `ServerClient`.
        link: Uplink and downlink to emulate, which all servers are behind; None uses the network as it is.
        progress: Told what happens to servers.

    Raises:
        OffloadError: no server is there, one refuses, or the emulation does not start.
    """
    connect = partial(ServerClient, token=token, tls=tls)
    with ExitStack() as stack:
        behind: Sequence[str] = addresses
        if link is not None:
            behind = stack.enter_context(_emulated(addresses, connect, link)).addresses
        servers = [_Server(address=one, behind=other) for one, other in zip(addresses, behind, strict=True)]
        pool = ServerPool(servers, served, connect, progress)
        stack.callback(pool.close)
        pool.open()
        yield pool


def _emulated(
    addresses: Sequence[str], connect: Callable[..., ServerClient], link: tuple[LinkShape, LinkShape]
) -> LinkEmulator:
    """The link, its lateness measured on the first server that is there."""
    uplink, downlink = link
    for address in addresses:
        with suppress(ServerError), connect(address, timeout_s=_REACHING_S) as direct:
            direct.check()
            uplink, downlink = on_time(direct, connect, uplink=uplink, downlink=downlink)
            break
    return LinkEmulator(*addresses, uplink=uplink, downlink=downlink)
