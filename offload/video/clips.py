"""Where frames come from: a video file, or a folder of images in the order of the numbers in their names."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offload.errors import OffloadError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]
    """Shape (height, width, 3), RGB."""

UNTOLD_FPS = 30.0
"""What a folder of images, or a file that does not tell, is taken to be recorded at."""
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_MOST_PIXELS = 8192 * 8192
"""Of a frame; larger ones are refused before they are decoded."""
_MISSING_S = 0.5
"""How much earlier than a file says it may end: what tells only a duration tells it roughly."""


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What is known of a clip without decoding it all."""

    name: str
    width: int
    height: int
    fps: float
    frames: int


class Clip(ABC):
    """Frames of one size, in order."""

    info: ClipInfo

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """As many as `info` says, decoded one by one; may be asked for again.

        Raises:
            OffloadError: the clip is damaged, or its frames change their size.
        """


def open_clip(path: Path) -> Clip:
    """A clip by its path.

    Raises:
        OffloadError: there is nothing, it is no video, it is truncated, it has no frame, or a folder's images differ in
            size.
    """
    if not path.exists():
        raise OffloadError(f"{path} is not there", hint="make a clip with `offload video make CLIP`")
    return ImageFolder(path) if path.is_dir() else VideoFile(path)


class VideoFile(Clip):
    """Whatever PyAV decodes; of several video streams the first."""

    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        if not path.is_file():
            raise _no_video(path)
        try:
            with _opened(path) as container:
                stream = _video_stream(container, path)
                rate = float(stream.average_rate or stream.guessed_rate or UNTOLD_FPS)
                _check_pixels(path, stream.codec_context.width, stream.codec_context.height)
                frames = _counted(container, stream, path)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise OffloadError(f"{path} cannot be read: {error.strerror}", hint="check the file") from error
            if isinstance(error, EOFError):
                raise _no_frames(path) from error
            # An MP4 file has its index at the end, as a rule: without it nothing can be read.
            raise (_truncated(path, "its index is missing") if _is_mp4(path) else _no_video(path)) from error
        first = next(self._decoded(), None)
        if first is None:
            raise _no_frames(path)
        self.info = ClipInfo(name=path.name, width=first.width, height=first.height, fps=rate, frames=frames)

    def frames(self) -> Iterator[Frame]:
        """See `Clip.frames`."""
        info, number = self.info, 0
        for frame in self._decoded():
            if (frame.width, frame.height) != (info.width, info.height):
                raise _another_size(self._path, number, (frame.width, frame.height), (info.width, info.height))
            number += 1
            if number <= info.frames:
                yield np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
        if number != info.frames:
            raise OffloadError(
                f"{self._path} holds {info.frames} frames, but {number} can be decoded",
                hint="encode it again, as H.264 in an .mp4 file",
            )

    def _decoded(self) -> Iterator[av.VideoFrame]:
        import av

        number = 0
        try:
            with _opened(self._path) as container:
                stream = _video_stream(container, self._path)
                stream.thread_type = "NONE"  # others would decode ahead while what is done with a frame is timed
                for frame in container.decode(stream):
                    if frame.is_corrupt:  # the decoder has made up a part of it
                        raise OffloadError(f"{self._path} is damaged at frame {number}", hint="record or copy it again")
                    yield frame
                    number += 1
        except av.FFmpegError as error:
            raise OffloadError(
                f"{self._path} is damaged after {number} frames: {error.strerror}", hint="record or copy it again"
            ) from error


def _opened(path: Path) -> InputContainer:
    """With nothing but files to be read, whatever a play list may name."""
    import av

    return av.open(f"file:{path}", "r", options={"protocol_whitelist": "file"})


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first one, which FFmpeg also finds in pictures, in text (as a terminal's screen) and as a song's cover."""
    from av.stream import Disposition

    kind = container.format.name
    if kind not in ("tty", "image2") and not kind.endswith("_pipe"):
        for stream in container.streams.video:
            if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
                return stream
    raise _no_video(path) if container.streams else _no_frames(path)


def _counted(container: InputContainer, stream: VideoStream, path: Path) -> int:
    """Frames that are to be shown, found by reading the file without decoding it.

    Streams as broadcast (.ts) do not tell how long they are: of them any part is whole.

    Raises:
        OffloadError: it ends before its own index, or its header, says so.
    """
    listed = len(stream.index_entries)
    whole = shown = broken = 0
    end_s = 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index == stream.index and packet.size:
            whole += not packet.is_corrupt
            broken += packet.is_corrupt
            shown += not packet.is_discard
    told_s = (container.duration or 0) / 1e6
    if whole < max(listed, whole + broken):
        raise _truncated(path, f"{whole} of {max(listed, whole + broken)} frames are whole")
    if end_s < told_s - _MISSING_S:
        raise _truncated(path, f"{end_s:.2f} s of {told_s:.2f} s are there")
    return shown


class ImageFolder(Clip):
    """Images that sort into order by the numbers in their names."""

    def __init__(self, path: Path) -> None:
        self._files = sorted((file for file in path.iterdir() if _is_image(file)), key=_numbers)
        if not self._files:
            raise OffloadError(f"{path} has no frames", hint=f"a folder of frames holds files like 0001{_IMAGES[0]}")
        first = _image_size(self._files[0])
        for number, file in enumerate(self._files):
            if (size := _image_size(file)) != first:
                raise _another_size(file, number, size, first)
        _check_pixels(path, *first)
        self.info = ClipInfo(name=path.name, width=first[0], height=first[1], fps=UNTOLD_FPS, frames=len(self._files))

    def frames(self) -> Iterator[Frame]:
        """See `Clip.frames`."""
        from PIL import Image

        for file in self._files:
            try:
                with Image.open(file) as image:
                    pixels = np.asarray(image.convert("RGB"), np.uint8)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise OffloadError(f"{file} is damaged: {error}", hint="remove it or make it again") from error
            yield pixels


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in _IMAGES and not file.name.startswith(".") and file.is_file()


def _numbers(file: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", file.stem)], file.name


def _image_size(file: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OffloadError(f"{file} is no image", hint="remove it or make it again") from error


def _check_pixels(path: Path, width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise OffloadError(
            f"{path} has frames of {width}x{height}, more than {_MOST_PIXELS} pixels", hint="scale it down first"
        )


def _no_video(path: Path) -> OffloadError:
    return OffloadError(f"{path} is not a video", hint="give a video file, or a folder of frames")


def _no_frames(path: Path) -> OffloadError:
    return OffloadError(f"{path} has no frames", hint="record it again")


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def _truncated(path: Path, what: str) -> OffloadError:
    return OffloadError(f"{path} is truncated: {what}", hint="record or copy it again")


def _another_size(path: Path, number: int, size: tuple[int, int], first: tuple[int, int]) -> OffloadError:
    return OffloadError(
        f"{path} changes its size at frame {number}: {size[0]}x{size[1]} after {first[0]}x{first[1]}",
        hint="scale all frames to one size first",
    )
