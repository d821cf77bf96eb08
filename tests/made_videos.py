"""Small videos for tests, whose frames are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]


def plain_frames(count: int, *, width: int = 160, height: int = 96) -> Iterator[Frame]:
    """A grey ramp whose brightness tells the frame's number: 8 more each time."""
    ramp = np.linspace(0, 60, width).astype(np.uint8)
    for number in range(count):
        yield np.broadcast_to((ramp + 8 * (number % 20))[None, :, None], (height, width, 3)).astype(np.uint8)


def write_video(
    path: Path,
    frames: Iterator[Frame],
    *,
    fps: int = 10,
    codec: str = "libx264",
    container: Mapping[str, str] | None = None,
    encoder: Mapping[str, str] | None = None,
    form: str | None = None,
) -> None:
    """Encode frames, none too."""
    import av

    with av.open(str(path), "w", format=form, options=dict(container or {})) as file:
        stream = file.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.options = dict(encoder or {})
        for number, frame in enumerate(frames):
            if not number:
                stream.height, stream.width = frame.shape[:2]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.start_encoding()
        file.mux(stream.encode(None))
