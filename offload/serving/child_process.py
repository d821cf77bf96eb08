"""Python children of this program: settled by one JSON line on stdin, answering by one on stdout, never outliving it.

The parent keeps the child's stdin open; when the parent ends, however it ends, the child reads the end of the file
and leaves. That works on every system and needs no signal.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from offload.errors import OffloadError

_POLL_S = 0.05


class ChildError(OffloadError):
    """The child ended without an answer, or did not answer in time."""


class ChildProcess:
    """`python -m module`, started with settings.

    Args:
        module: The module to run; it calls `read_settings` and then `answer`.
        settings: What the child needs to know, as JSON.
    """

    def __init__(self, module: str, settings: Mapping[str, Any]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the child
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(  # noqa: S603  the command is ours
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C reaches the parent, which then stops the child in order
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("both were asked to be pipes")
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read_answer, args=(self._process.stdout,), daemon=True).start()
        with contextlib.suppress(BrokenPipeError):  # it died at once; `answer` says so
            self._process.stdin.write(json.dumps(settings).encode() + b"\n")
            self._process.stdin.flush()

    def _read_answer(self, stdout: Any) -> None:
        with stdout:
            self._answers.put(stdout.readline())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while running."""
        return self._process.poll()

    def answer(self, timeout_s: float, cancelled: threading.Event | None = None) -> dict[str, Any]:
        """The child's one answer.

        Raises:
            OffloadError: the answer is an error the child reports.
            ChildError: there was none in time, or the child ended without one, or the wait was cancelled.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._answers.get(timeout=max(0.0, min(_POLL_S, deadline - time.monotonic())))
                break
            except queue.Empty:
                if cancelled is not None and cancelled.is_set():
                    raise ChildError("nobody waits for the answer any more") from None
                if time.monotonic() >= deadline:
                    raise ChildError(f"no answer within {timeout_s:g} s") from None
        if not line:
            self._process.wait()
            raise ChildError(f"ended with exit status {self._process.returncode}{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise OffloadError(answer["error"], hint=answer.get("hint", ""))
        return answer

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def stop(self, grace_s: float) -> None:
        """Ask it to end (SIGTERM), and kill it when it has not within `grace_s` seconds."""
        try:
            self._process.terminate()
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once and collect it; harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


_answer_descriptor: int | None = None


def read_settings(on_parent_exit: Callable[[], None] = lambda: os._exit(1)) -> dict[str, Any]:
    """In the child: the settings, and from now on `on_parent_exit` runs when the parent is gone.

    What libraries print on stdout goes to stderr from here on; stdout belongs to `answer`.
    """
    global _answer_descriptor
    _answer_descriptor = os.dup(1)
    os.dup2(2, 1)
    settings: dict[str, Any] = json.loads(sys.stdin.buffer.readline())

    def watch() -> None:
        while os.read(0, 4096):
            pass
        on_parent_exit()

    threading.Thread(target=watch, daemon=True).start()
    return settings


def answer(**fields: Any) -> None:
    """In the child: the one answer to the parent."""
    if _answer_descriptor is None:
        raise AssertionError("read_settings comes first")
    data = memoryview(json.dumps(fields).encode() + b"\n")
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(_answer_descriptor, data) :]


def limit_resources(*, memory_bytes: int, cpu_s: float) -> None:
    """In the child: ceilings on private memory and processor time, where the system has them.

    RLIMIT_DATA rather than RLIMIT_AS: ONNX Runtime and the allocator reserve far more addresses than they use.
    """
    try:
        import resource
    except ImportError:  # not a POSIX system; the parent's time limit remains
        return
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    seconds = max(1, round(cpu_s))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
