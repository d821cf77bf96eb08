"""A server as a child process, for as long as a `with` block lasts."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import Self

from offload.errors import OffloadError
from offload.serving.addresses import format_address
from offload.serving.child_process import ChildError, ChildProcess
from offload.serving.server import ServeSettings

_STOP_GRACE_S = 10.0
_LOADING_S = 120.0
"""What loading one of the server's own models may take."""


class EmbeddedServer:
    """`with EmbeddedServer(threads=2) as server:` then talk to `server.address`.

    The child ends with the block, with an exception, and with this process however that ends.

    Args:
        threads: Threads of each inference.
        settings: Everything else about serving; its port and threads are replaced.
        start_timeout_s: How long the server may take to answer, beside loading models of its own.
    """

    def __init__(self, *, threads: int, settings: ServeSettings | None = None, start_timeout_s: float = 30.0) -> None:
        self._settings = dataclasses.replace(settings or ServeSettings(), threads=threads, port=0)
        self._start_timeout_s = start_timeout_s
        self._child: ChildProcess | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return format_address(self._settings.host, self._port)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        """The child's exit status, None while it runs."""
        return self._started.returncode

    @property
    def _started(self) -> ChildProcess:
        if self._child is None:
            raise AssertionError("the server has not been started: use `with`")
        return self._child

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self._started.kill()

    def stop(self) -> None:
        """End the server in order; requests in flight finish, within ten seconds."""
        self._started.stop(_STOP_GRACE_S)

    def __enter__(self) -> Self:
        self._child = ChildProcess("offload.serving.embedded_main", dataclasses.asdict(self._settings))
        try:
            loading_s = _LOADING_S * len(self._settings.models)
            self._port = self._child.answer(self._start_timeout_s + loading_s)["port"]
        except ChildError as failure:
            self._child.kill()
            raise OffloadError(
                f"the embedded server did not start: {failure.message}",
                hint="start one yourself with `offload serve` and give its address with --server",
            ) from failure
        except BaseException:
            self._child.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
