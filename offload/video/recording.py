"""Writing frames as H.264, and telling what they took."""

from __future__ import annotations

import contextlib
import errno
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from offload.errors import OffloadError

if TYPE_CHECKING:
    import av

    from offload.video.clips import Frame

_PRESET = "veryfast"


class Recorder:
    """A video file that is being written; a context manager.

    It takes its place when it is complete: what fails or is interrupted leaves nothing, and what was there stays.

    Args:
        path: The file; its name's ending says which container, .mp4 as a rule.
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames a second.
        quality: Constant rate factor of x264, 0 (lossless) to 51.

    Raises:
        OffloadError: the file cannot be written, or a side is odd.
    """

    def __init__(self, path: Path, *, width: int, height: int, fps: float, quality: int = 20) -> None:
        import av

        if width % 2 or height % 2:
            raise OffloadError(f"H.264 wants even sides, not {width}x{height}", hint="choose another size")
        self._path = path
        self._part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        self._fps, self._frames, self._size_bytes, self._closed = fps, 0, 0, False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(f"file:{self._part}", "w")
            self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._unwritable(error) from error
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.options = {"crf": str(quality), "preset": _PRESET}

    @property
    def rate_bps(self) -> float:
        """Bits a second of what the encoder has given out, which is all after `close`."""
        return 8 * self._size_bytes * self._fps / max(1, self._frames)

    def add(self, frame: Frame) -> None:
        """One more frame.

        Raises:
            OffloadError: the disk is full, for example.
        """
        import av

        self._write(av.VideoFrame.from_ndarray(frame, format="rgb24"))
        self._frames += 1

    def close(self) -> None:
        """Write what the encoder still holds; nothing can be added then. Leaving the context does it, too.

        Raises:
            OffloadError: the disk is full, for example, or there was no frame.
        """
        import av

        if self._closed:
            return
        self._write(None)
        try:
            self._container.close()
            if self._part.stat().st_size < self._size_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import av

        try:
            if error is None:
                self.close()
                self._part.replace(self._path)
        except OSError as failure:
            raise self._unwritable(failure) from failure
        finally:
            with contextlib.suppress(av.FFmpegError, OSError):
                self._container.close()
            self._part.unlink(missing_ok=True)

    def _write(self, frame: av.VideoFrame | None) -> None:
        import av

        try:
            packets = self._stream.encode(frame)
            self._container.mux(packets)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error
        self._size_bytes += sum(packet.size for packet in packets)

    def _unwritable(self, error: Exception) -> OffloadError:
        why = getattr(error, "strerror", None) or "no container has this ending"
        return OffloadError(
            f"cannot write {self._path}: {why}", hint="free some space, or name another file, as clip.mp4"
        )
