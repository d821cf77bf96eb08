"""A trained codec at work: its encoder and decoder on a runtime, its symbols as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.base import PayloadError
from offload.codecs.symbols import symbol_codec
from offload.codecs.trained import TrainedFiles
from offload.errors import OffloadError
from offload.models.segments import OnnxSegment
from offload.runtimes.base import Runtime, Session

if TYPE_CHECKING:
    from offload.codecs.base import Array

SYMBOLS, PAYLOAD, TENSOR = "symbols", "payload", "tensor"
"""What inputs and outputs of encoder.onnx and decoder.onnx are called."""


def encoder_segment(files: TrainedFiles) -> OnnxSegment:
    """The device's side: from `tensor` to `symbols`."""
    return OnnxSegment(onnx=files.encoder, inputs=(TENSOR,), outputs=(SYMBOLS,))


def decoder_segment(files: TrainedFiles) -> OnnxSegment:
    """The server's side: from `payload`, or from `symbols` where they are range coded, to `tensor`."""
    taken = PAYLOAD if files.manifest.coding == "packed" else SYMBOLS
    return OnnxSegment(onnx=files.decoder, inputs=(taken,), outputs=(TENSOR,))


class TrainedCodecSession:
    """See `codecs.base.Codec`; the two sides are loaded when they are first used."""

    lossless = False

    def __init__(self, files: TrainedFiles, runtime: Runtime, *, threads: int) -> None:
        """Bind.

        Args:
            files: The codec.
            runtime: What runs ONNX.
            threads: For each side.

        Raises:
            OffloadError: levels, shape or tables of the manifest do not fit each other.
        """
        self.files = files
        self.text, self.tensor = files.manifest.text, files.manifest.tensor
        self.symbols = symbol_codec(files.manifest)
        self.max_bytes = self.symbols.max_bytes
        self._runtime, self._threads = runtime, threads
        self._encoder: Session | None = None
        self._decoder: Session | None = None

    def encode(self, array: Array) -> bytes:
        """The payload for a tensor.

        Raises:
            OffloadError: the array has another shape or dtype, or the files are damaged.
        """
        if array.shape != self.tensor.shape or array.dtype.name != self.tensor.dtype:
            raise OffloadError(
                f"codec {self.text} is for {self.tensor.dtype} {self.tensor.shape}, not {array.dtype} {array.shape}",
                hint="a codec works at the cut it was trained for",
            )
        if self._encoder is None:
            self._encoder = self._runtime.load(encoder_segment(self.files), threads=self._threads)
        return self.symbols.encode(self._encoder.run({TENSOR: array})[SYMBOLS])

    def decode(self, payload: bytes) -> Array:
        """The tensor from a payload.

        Raises:
            PayloadError: the payload is damaged, cut short, or not this codec's.
            OffloadError: the files are damaged.
        """
        if len(payload) > self.max_bytes:
            raise PayloadError(f"a payload of {len(payload)} bytes, {self.text} makes {self.max_bytes} at most")
        symbols = self.symbols.decode(payload)
        if self._decoder is None:
            self._decoder = self._runtime.load(decoder_segment(self.files), threads=self._threads)
        packed = self.files.manifest.coding == "packed"
        feeds = {PAYLOAD: np.frombuffer(payload, np.uint8)} if packed else {SYMBOLS: symbols}
        return self._decoder.run(feeds)[TENSOR]
