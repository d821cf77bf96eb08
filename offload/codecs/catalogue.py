"""The codecs by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from offload.codecs.base import Codec
from offload.codecs.raw import Raw, RawCodec
from offload.codecs.text import CodecText, parse
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.graph.model_graph import Tensor

    Tables = Sequence[Sequence[int]]
    Builder = Callable[[CodecText, Tensor, Tables], Codec]

CODECS: dict[str, Any] = {Raw.name: Raw()}
"""The identity, as the wire of tensors knows it."""


def _raw(text: CodecText, tensor: Tensor, tables: Tables) -> Codec:
    return RawCodec(tensor)


def _packed(text: CodecText, tensor: Tensor, tables: Tables) -> Codec:
    from offload.codecs.symbols import Packed

    return Packed(text.text, tensor, text.integer("levels", None, 2, 256))


def _range(text: CodecText, tensor: Tensor, tables: Tables) -> Codec:
    from offload.codecs.symbols import RangeCoded

    return RangeCoded(text.text, tensor, text.integer("levels", None, 2, 256), tables)


BUILDERS: Mapping[str, Builder] = {"raw": _raw, "packed": _packed, "range": _range}


def make_codec(text: str, tensor: Tensor, *, tables: Sequence[Sequence[int]] = ()) -> Codec:
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
    if parts.zstd:
        raise OffloadError(f"codec {text!r}: zstd cannot follow {parts.name}")
    if tables and parts.name != "range":
        raise OffloadError(f"codec {text!r} has no tables")
    codec = BUILDERS[parts.name](parts, tensor, tables)
    parts.done()
    return codec
