"""A detector as servers run it: its name there, how regions of frames travel to it, and what its answers must be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.catalogue import make_codec
from offload.codecs.crop import MOST_PIXELS, Crop
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor
from offload.profilers.video.replay import image_of, placed
from offload.serving.client_errors import ServerError
from offload.serving.decoding import Coded

if TYPE_CHECKING:
    from offload.detectors.base import Detector
    from offload.runtimes.base import Array
    from offload.serving.client import ServerClient
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.methods.base import Ask

_OUTPUTS: Mapping[str, tuple[int, ...]] = {"boxes": (4,), "scores": (), "labels": ()}
"""What a detector gives, and each object's share of it, behind (1, objects)."""
_MOST_FOUND = 10_000
"""Boxes in an answer; our own decoding graphs tell of far fewer."""
_FARTHEST = 1e6
"""Pixels from an image's corner at which a box can end."""


class ServedDetector:
    """What every server of a run is given, and how it is asked.

    Images travel as JPEG files: of any size to a detector that takes any; to one of one size, scaled to it here.

    Args:
        detector: Which.
        quality: Of JPEG, 1 to 100.
        width: Of the frames, pixels; no image is larger.
        height: Likewise.

    Raises:
        OffloadError: frames are larger than images may be.
    """

    def __init__(self, detector: Detector, *, quality: int, width: int, height: int) -> None:
        self.detector = detector
        wide, high = detector.shape(width, height)
        if wide * high > MOST_PIXELS:
            raise OffloadError(
                f"frames of {width}x{height} have more than the {MOST_PIXELS} pixels that a server takes",
                hint="scale the clip down first",
            )
        mean, std = (
            "/".join(repr(float(value)) for value in each) for each in (detector.pixels.mean, detector.pixels.std)
        )
        if detector.size is None:
            text = f"crop:quality={quality},multiple={detector.multiple},most={wide * high},mean={mean},std={std}"
            tensor = Tensor(name=detector.input, shape=(1, 3, -1, -1), dtype="float32")
        else:
            text = f"jpeg:quality={quality},mean={mean},std={std}"
            tensor = Tensor(name=detector.input, shape=(1, 3, high, wide), dtype="float32")
        self._coded = {detector.input: Coded(codec=text, tensor=tensor)}
        self._codec = make_codec(text, tensor)
        content = hashlib.sha256(detector.onnx + b"\0" + text.encode()).hexdigest()
        self.name = f"offload-{content[:32]}"
        """On servers, by content: who has it need not be sent it again."""

    def ensure(self, client: ServerClient) -> bool:
        """Have a server hold it; whether it had to be sent.

        Raises:
            ServerError: the server refuses it, or holds another model under its name.
        """
        sent = not client.ready(self.name)
        if sent:
            client.upload(self.name, self.detector.onnx, coded=self._coded)
        inputs, outputs = client.metadata(self.name)
        taken = {spec.name: (spec.datatype, tuple(spec.shape)) for spec in inputs}
        given = {spec.name: len(spec.shape) for spec in outputs}
        wanted = {name: 2 + len(each) for name, each in _OUTPUTS.items()}
        if taken != {self.detector.input: ("UINT8", (-1,))} or given != wanted:
            raise ServerError(
                f"the server at {client.address} has another model under the name {self.name}",
                hint="unload it there, or start the server again",
                code="",
            )
        return sent

    def encoded(self, frame: Frame, ask: Ask) -> bytes:
        """What is sent for a part of a frame.

        Raises:
            OffloadError: it is larger than the servers were told.
        """
        image = image_of(frame, ask)
        if isinstance(self._codec, Crop):
            return self._codec.encode_pixels(image)
        return self._codec.encode(self.detector.prepared(image)[0])

    def feeds(self, payload: bytes) -> dict[str, Array]:
        """A request's tensors."""
        return {self.detector.input: np.frombuffer(payload, np.uint8)}

    def found(self, outputs: Mapping[str, Array], ask: Ask) -> Detections:
        """What an answer tells, in the frame's pixels.

        Raises:
            ServerError: it is not what a detector answers.
        """
        shapes = {name: outputs[name].shape for name in _OUTPUTS if isinstance(outputs.get(name), np.ndarray)}
        counts = {shape[1] for shape in shapes.values() if len(shape) > 1}
        fits = shapes == {name: (1, *counts, *each) for name, each in _OUTPUTS.items()}
        numbers = all(np.issubdtype(outputs[name].dtype, np.number) for name in shapes)
        if not fits or not numbers or max(counts) > _MOST_FOUND:
            raise ServerError(
                f"the answer holds {shapes}, not boxes, scores and labels of objects",
                hint="run the same version of offload on both sides",
                code="",
            )
        boxes = outputs["boxes"].astype(np.float64)
        boxes[~(np.abs(boxes) <= _FARTHEST)] = np.nan  # which the detector passes over
        near = {**outputs, "boxes": boxes}
        return placed(self.detector.found(near, scale=self._scale(ask)), ask)

    def _scale(self, ask: Ask) -> float:
        """Pixels of the image for each that the model sees."""
        if self.detector.size is None:
            return 1.0
        (wide, high), (width, height) = self.detector.size, ask.size
        return max(width / wide, height / high)
