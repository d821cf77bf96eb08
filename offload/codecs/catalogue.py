"""The codecs by name, and the texts that a bench tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast

from offload.codecs.base import Codec, HeadedCodec
from offload.codecs.raw import Raw
from offload.codecs.text import CodecText, parse
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.codecs.crop import Crop
    from offload.datasets.base import PixelScale
    from offload.graph.model_graph import Tensor

Tables = Sequence[Sequence[int]]
Builder = Callable[[CodecText, "Tensor", Tables], "HeadedCodec | Raw | Crop"]


def _raw(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    return Raw(tensor)


def _zstd(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    from offload.codecs.zstd import Zstd

    return Zstd(text.text, Raw(tensor))


def _packed(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    from offload.codecs.symbols import Packed

    return Packed(text.text, tensor, text.integer("levels", None, 2, 256))


def _range(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    from offload.codecs.symbols import RangeCoded

    return RangeCoded(text.text, tensor, text.integer("levels", None, 2, 256), tables)


def _fp16(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    from offload.codecs.half import Half

    return Half(text.text, tensor)


def _quantised(name: Literal["int8", "int4"], bits: int) -> Builder:
    def build(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
        from offload.codecs.quantised import Quantised

        return Quantised(name, text.text, tensor, bits)

    return build


def _pixel_scale(text: CodecText) -> PixelScale:
    from offload.datasets.base import PixelScale

    return PixelScale(mean=text.numbers("mean", "0", -1e3, 1e3), std=text.numbers("std", "1", 1e-3, 1e3))


def _uint8(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    from offload.codecs.pixels import Pixels

    return Pixels(text.text, tensor, _pixel_scale(text))


def _image(image_format: Literal["jpeg", "webp", "avif"]) -> Builder:
    def build(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
        from offload.codecs.image import ImageFile

        return ImageFile(image_format, text.text, tensor, text.integer("quality", None, 1, 100), _pixel_scale(text))

    return build


def _crop(text: CodecText, tensor: Tensor, tables: Tables) -> Crop:
    from offload.codecs.crop import MOST_PIXELS, Crop

    return Crop(
        text.text,
        tensor,
        quality=text.integer("quality", None, 1, 100),
        multiple=text.integer("multiple", 1, 1, 1024),
        most=text.integer("most", MOST_PIXELS, 1, MOST_PIXELS),
        scale=_pixel_scale(text),
    )


def _interpolate(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    from offload.codecs.interpolate import Interpolate

    return Interpolate(text.text, tensor, text.integer("factor", None, 2, 64), text.integer("bits", 8, 1, 8))


def _compressed_sensing(basis: Literal["dct", "wavelet"]) -> Builder:
    def build(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
        from offload.codecs.compressed_sensing import CompressedSensing

        ratio = text.number("ratio", None, 0.001, 1)
        bits, iterations = text.integer("bits", 8, 1, 8), text.integer("iterations", 40, 1, 500)
        return CompressedSensing(basis, text.text, tensor, ratio, bits, iterations)

    return build


def _lossy(text: CodecText, tensor: Tensor, tables: Tables) -> HeadedCodec | Raw:
    from offload.codecs.lossy import Lossy

    return Lossy(text.text, tensor, text.integer("bits", None, 1, 8), text.number("clip", 0.001, 0, 0.25))


BUILDERS: Mapping[str, Builder] = {
    "raw": _raw,
    "zstd": _zstd,
    "fp16": _fp16,
    "int8": _quantised("int8", 8),
    "int4": _quantised("int4", 4),
    "lossy": _lossy,
    "interpolate": _interpolate,
    "cs-dct": _compressed_sensing("dct"),
    "cs-wavelet": _compressed_sensing("wavelet"),
    "uint8": _uint8,
    "jpeg": _image("jpeg"),
    "webp": _image("webp"),
    "avif": _image("avif"),
    "crop": _crop,
    "packed": _packed,
    "range": _range,
}
_BEFORE_ZSTD = ("fp16", "int8", "int4", "uint8", "interpolate", "cs-dct", "cs-wavelet")
"""Whose bodies are not compressed as they are, and always of the same length."""


def make_codec(text: str, tensor: Tensor, *, tables: Tables = ()) -> Codec:
    """The codec that a text names, for one tensor.

    Args:
        text: Such as `raw`, `int8+zstd` or `jpeg:quality=30`; may come from the network.
        tensor: What it takes and gives.
        tables: Frequencies of symbols for each channel, of `range` only.

    Raises:
        OffloadError: the name or a parameter is unknown or out of range, or the codec cannot take the tensor.
    """
    parts = parse(text)
    if parts.name not in BUILDERS:
        raise OffloadError(f"no codec is called {parts.name!r}", hint=f"codecs: {', '.join(BUILDERS)}")
    if parts.zstd and parts.name not in _BEFORE_ZSTD:
        raise OffloadError(f"codec {text!r}: zstd cannot follow {parts.name}", hint=f"only {', '.join(_BEFORE_ZSTD)}")
    if tables and parts.name != "range":
        raise OffloadError(f"codec {text!r} has no tables")
    codec = BUILDERS[parts.name](parts, tensor, tables)
    parts.done()
    if parts.zstd:
        from offload.codecs.zstd import Zstd

        return Zstd(text, cast("HeadedCodec | Raw", codec))  # others were refused above
    return codec


def default_texts(tensor: Tensor, *, pixels: PixelScale | None) -> tuple[str, ...]:
    """The codecs that a bench tries on a tensor: those that can take it, `raw` first, of a family the smallest first.

    Args:
        tensor: What crosses.
        pixels: How its image was scaled, where it is the model's input and an image.
    """
    texts = ["raw", "zstd", "fp16", "fp16+zstd", "int8+zstd", "int4+zstd", "lossy:bits=2", "lossy:bits=3"]
    texts += [f"interpolate:factor={factor}" for factor in (4, 2)]
    texts += ["cs-dct:ratio=0.1", "cs-dct:ratio=0.25", "cs-wavelet:ratio=0.1"]
    if pixels is not None:
        scale = _scale_text(pixels)
        texts += [f"uint8:{scale}"]
        texts += [
            f"{name}:quality={quality},{scale}" for name in ("jpeg", "webp", "avif") for quality in (5, 20, 50, 80)
        ]
    return tuple(text for text in texts if _takes(text, tensor))


def _scale_text(pixels: PixelScale) -> str:
    mean, std = ("/".join(repr(float(value)) for value in values) for values in (pixels.mean, pixels.std))
    return f"mean={mean},std={std}"


def _takes(text: str, tensor: Tensor) -> bool:
    try:
        make_codec(text, tensor)
    except OffloadError:
        return False
    return True
