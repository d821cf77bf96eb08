"""Servers for a clip that are started on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from offload.serving.embedded import EmbeddedServer


@contextmanager
def embedded_servers(count: int, threads: int) -> Iterator[tuple[str, ...]]:
    """Servers for as long as the block lasts; their addresses.

    Args:
        count: How many.
        threads: Of each inference.

    Raises:
        OffloadError: one did not start.
    """
    with ExitStack() as stack:
        yield tuple(stack.enter_context(EmbeddedServer(threads=threads)).address for _ in range(count))
