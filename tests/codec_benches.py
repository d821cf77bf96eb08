"""Benches of codecs with figures that can be worked out by hand."""

from __future__ import annotations

from offload.artifacts.codec import NetworkSize
from offload.artifacts.codec_bench import CodecBench, CodecRow
from offload.artifacts.profile import Profile
from offload.graph.model_graph import Tensor


def row(
    tensor: Tensor,
    *,
    codec: str = "int8+zstd",
    method: str = "int8 zstd",
    layer: str = "conv1",
    sizes: tuple[int, ...] = (90, 110),
    errors: tuple[tuple[float, ...], ...] = ((0.0, 1.0, 0.0, 0.0),),
    encode_s: float = 0.001,
    decode_s: float = 0.002,
    **fields: object,
) -> CodecRow:
    """A row; four examples."""
    return CodecRow(
        codec=codec, method=method, tensor=tensor, layer=layer, payload_bytes=sizes, header_bytes=4, errors=errors,
        encode_s=(encode_s,) * 3, decode_s=(decode_s,) * 3, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def bench(of: Profile, rows: tuple[CodecRow, ...], **fields: object) -> CodecBench:
    """A bench on the machine of a profile; the intact model answers three of four examples."""
    return CodecBench.create(
        **{
            "model": of.model,
            "runtime": of.runtime,
            "data": "made-up",
            "task": "classification",
            "weights": (1.0,) * 4,
            "intact_errors": (0.0, 1.0, 0.0, 0.0),
            "reference_s": (0.001,),
            "pixels": 3072,
            "rows": rows,
            **fields,
        }
    )


SIZE = NetworkSize(parameters=240, flops=1_500_000)
