"""zstd (Collet and Kucherawy, RFC 8878): over a tensor's own bytes, or after another codec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zstandard

from offload.codecs.base import HeadedCodec, PayloadError
from offload.codecs.raw import Raw

if TYPE_CHECKING:
    from offload.codecs.base import Array

LEVEL = 3
"""zstd's own default: higher levels cost a device more time than the bytes they save are worth on most links."""


class Zstd(HeadedCodec):
    """Another codec's body (or the raw tensor), compressed: one frame without magic number, size or check sum."""

    def __init__(self, text: str, inner: HeadedCodec | Raw) -> None:
        self._inner = inner
        self._most = inner.max_bytes
        self.lossless = inner.lossless
        # What zstd adds at most: 1/256 and 64 bytes (ZSTD_COMPRESSBOUND), and a frame header of 14.
        super().__init__("zstd", text, inner.tensor, self._most + self._most // 256 + 78)

    def encode_body(self, array: Array) -> bytes:
        """The frame."""
        inner = self._inner
        plain = inner.encode(array) if isinstance(inner, Raw) else inner.encode_body(array)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL,
            source_size=len(plain),
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
            write_content_size=False,
            write_checksum=False,
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compress(plain)

    def decode_body(self, body: bytes) -> Array:
        """The array; never more than one body of the inner codec is decompressed."""
        window = 1 << max(self._most.bit_length(), 10)
        frames = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS, max_window_size=window)
        try:
            with frames.stream_reader(body, read_size=len(body) or 1) as reader:
                plain = reader.read(self._most + 1)
        except zstandard.ZstdError as error:
            raise PayloadError(f"damaged payload: {error}") from error
        if len(plain) > self._most:
            raise PayloadError(f"payload decompresses to more than {self._most} bytes")
        return self._inner.decode(plain) if isinstance(self._inner, Raw) else self._inner.decode_body(plain)
