"""A trained network as two ONNX models, checked against torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from offload.codecs.base import HEADER_BYTES
from offload.codecs.symbols import pack
from offload.codecs.trained import DECODER, ENCODER, WEIGHTS
from offload.errors import OffloadError
from offload.models.canonical import canonicalise
from offload.models.inputs import Shape
from offload.models.segments import OnnxSegment
from offload.models.torch_export import quiet
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.trained_codec import PAYLOAD, SYMBOLS, TENSOR
from offload.training.network import LearnedCodec

_BYTE = 8
_TOLERANCE = 1e-4
"""Largest difference of decoded tensors, relative to their largest value."""
_MOST_MOVED = 1e-3
"""Share of symbols that rounding in another order may move to the level beside: those at a border."""


class _Encoder(nn.Module):
    """From the cut's tensor to symbols."""

    def __init__(self, network: LearnedCodec) -> None:
        super().__init__()
        self.network = network

    def forward(self, tensor: Tensor) -> Tensor:
        return self.network.symbols(self.network.shaping.layout.to_channels(tensor.unsqueeze(0)))


class _Decoder(nn.Module):
    """From symbols to the cut's tensor."""

    def __init__(self, network: LearnedCodec) -> None:
        super().__init__()
        self.network = network

    def forward(self, symbols: Tensor) -> Tensor:
        return self.network.shaping.layout.from_channels(self.network.decode(symbols))[0]


class _PackedDecoder(_Decoder):
    """From the payload: the bits are unpacked with operators that any runtime has, exact in float32."""

    halves: Tensor
    weights: Tensor

    def __init__(self, network: LearnedCodec) -> None:
        super().__init__(network)
        self.bits = (network.levels - 1).bit_length()
        self.shape = network.symbols_shape
        place = torch.arange(_BYTE - 1, -1, -1, dtype=torch.float32)
        self.register_buffer("halves", 0.5**place)
        self.register_buffer("weights", 2.0 ** torch.arange(self.bits - 1, -1, -1, dtype=torch.float32))

    def forward(self, payload: Tensor) -> Tensor:
        values = payload[HEADER_BYTES:].float().unsqueeze(1)
        bits = torch.floor(values * self.halves) - 2 * torch.floor(values * self.halves / 2)
        count = math.prod(self.shape)
        symbols = (bits.reshape(-1)[: count * self.bits].reshape(count, self.bits) * self.weights).sum(1)
        return super().forward(symbols.to(torch.int64).reshape(self.shape))


def exported(network: LearnedCodec, samples: Tensor) -> Mapping[str, bytes]:
    """Encoder, decoder and weights by file name; parametrizations are removed from the network.

    Args:
        network: Trained; is moved to the CPU.
        samples: Some tensors of the cut, (examples, *shape), to check the two models with.

    Raises:
        OffloadError: torch cannot export the network, or ONNX Runtime computes something else.
    """
    from safetensors.torch import save

    network.cpu().eval()
    network.finish()
    packed = network.coding == "packed"
    decoder = _PackedDecoder(network) if packed else _Decoder(network)
    symbols = torch.zeros(network.symbols_shape, dtype=torch.uint8)
    taken = torch.zeros(len(_payload(network, symbols)), dtype=torch.uint8) if packed else symbols
    tensor = torch.zeros(network.shaping.layout.shape)
    contents = {
        ENCODER: _onnx(_Encoder(network), tensor, TENSOR, SYMBOLS),
        DECODER: _onnx(decoder, taken, PAYLOAD if packed else SYMBOLS, TENSOR),
        WEIGHTS: save({name: weight.contiguous() for name, weight in network.state_dict().items()}),
    }
    _check(network, contents, samples)
    return contents


def _onnx(module: nn.Module, example: Tensor, taken: str, given: str) -> bytes:
    from onnxscript import optimizer

    shapes: dict[str, Shape] = {taken: tuple(example.shape)}
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            verbose=False,
            optimize=False,
            external_data=False,
            input_names=[taken],
            output_names=[given],
        )
        assert program is not None  # noqa: S101  dynamo=True always returns it
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
        model = program.model_proto
    canonical = canonicalise(model, shapes, name="the codec", tensors_follow_nodes=True)
    return canonical.SerializeToString(deterministic=True)


def _payload(network: LearnedCodec, symbols: Tensor) -> bytes:
    """As it crosses, with an empty header."""
    return bytes(HEADER_BYTES) + pack(symbols.numpy(), (network.levels - 1).bit_length())


def _check(network: LearnedCodec, contents: Mapping[str, bytes], samples: Tensor) -> None:
    runtime = OnnxRuntime()
    encoder = runtime.load(OnnxSegment(onnx=contents[ENCODER], inputs=(TENSOR,), outputs=(SYMBOLS,)), threads=1)
    packed = network.coding == "packed"
    taken = PAYLOAD if packed else SYMBOLS
    decoder = runtime.load(OnnxSegment(onnx=contents[DECODER], inputs=(taken,), outputs=(TENSOR,)), threads=1)
    moved = total = 0
    for sample in samples:
        with torch.no_grad():
            wanted = _Encoder(network)(sample).numpy()
            made = encoder.run({TENSOR: sample.numpy()})[SYMBOLS]
            expected = _Decoder(network)(torch.from_numpy(np.array(made))).numpy()
        beside = np.abs(made.astype(np.int16) - wanted.astype(np.int16))
        moved, total = moved + int((beside > 0).sum()), total + beside.size
        sent = np.frombuffer(_payload(network, torch.from_numpy(np.array(made))), np.uint8) if packed else made
        found = decoder.run({taken: sent})[TENSOR]
        far = float(np.abs(found - expected).max()) > _TOLERANCE * max(1e-6, float(np.abs(expected).max()))
        if far or found.shape != sample.shape or beside.max(initial=0) > 1:
            raise OffloadError(
                "ONNX Runtime computes something else of the trained codec than torch",
                hint="update onnxruntime and torch, or tell the project's issue tracker",
            )
    if moved > max(1, _MOST_MOVED * total):
        raise OffloadError(
            f"ONNX Runtime gives {moved} of {total} symbols otherwise than torch",
            hint="update onnxruntime and torch, or tell the project's issue tracker",
        )
