"""Another client of the same server on the same link, which sends all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from offload.errors import OffloadError
from offload.serving.client import ServerClient
from offload.serving.link_probes import link_probes

_MESSAGE_S = 0.1
"""What a message takes of the link."""
_LEAST_BYTES, _MOST_BYTES = 1000, 8 * 2**20
"""Of a message; a server takes none of any length."""
_ENDING_S = 30.0
"""What the last message may take."""


@contextmanager
def background_traffic(direct: ServerClient, client: ServerClient, *, rate_bps: float) -> Iterator[None]:
    """Send message after message, each a tenth of a second of the link or 8 MiB, for as long as the block lasts.

    Args:
        direct: The server without the link, for what the messages are sent to.
        client: Through the link; nobody else's meanwhile.
        rate_bps: Of the link's way to the server.

    Raises:
        OffloadError: the server takes no such messages, or the traffic ended before the block did.
    """
    payload = np.zeros(min(max(_LEAST_BYTES, int(rate_bps / 8 * _MESSAGE_S)), _MOST_BYTES), np.uint8)
    ended, failures = threading.Event(), []

    with link_probes(direct) as probes:

        def send() -> None:
            try:
                while not ended.is_set():
                    probes.send(client, "up", payload)
            except OffloadError as error:
                failures.append(error)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_ENDING_S)
    if failures:
        raise OffloadError(
            f"the background traffic broke off: {failures[0].message}", hint="verify again, or without the traffic"
        )
