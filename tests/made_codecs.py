"""Trained codecs made by hand: a quantiser to 16 levels as encoder.onnx and decoder.onnx, without training."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from offload.artifacts.codec import NetworkSize, SymbolCoding, TrainedCodec, TrainingRecord
from offload.codecs.base import HEADER_BYTES
from offload.codecs.symbols import fit_tables
from offload.codecs.trained import DECODER, ENCODER, WEIGHTS, TrainedFiles, save_trained
from offload.graph.model_graph import Tensor
from offload.models.loaded import LoadedModel
from tests import synthetic
from tests.serving_models import model_bytes

LEVELS = 16


def quantiser(root: Path, model: LoadedModel, tensor: Tensor, *, coding: SymbolCoding, step: float) -> TrainedFiles:
    """A codec of `round(x / step)`, clipped to 0 … 15, saved under `root` as one trained for the model and tensor."""
    contents = {
        ENCODER: _encoder(tensor, step),
        DECODER: _packed_decoder(tensor, step) if coding == "packed" else _symbol_decoder(tensor, step),
        WEIGHTS: save({"step": np.array([step], np.float32)}),
    }
    drawn = np.random.default_rng(0).integers(0, LEVELS, (4, *tensor.shape[1:]), dtype=np.uint8)
    manifest = TrainedCodec.create(
        model=dataclasses.replace(synthetic.identity(), name=model.name, hash=model.hash),
        tensor=tensor,
        layer="conv",
        codec="deepcod",
        ratio=1 / 8,
        symbols_shape=tensor.shape,
        levels=LEVELS,
        coding=coding,
        tables=fit_tables(drawn, LEVELS) if coding == "range" else (),
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        encoder=NetworkSize(parameters=1, flops=3 * math.prod(tensor.shape)),
        decoder=NetworkSize(parameters=1, flops=math.prod(tensor.shape)),
        training=TrainingRecord(
            data="made", task="classification", seed=0, examples=1, batch=1, distilled=False, encoder_trained=False,
            processes=1, best_epoch=0, stopped="done", epochs=(),
        ),
        payload_bytes=(1,),
        validation_errors=None,
        intact_errors=None,
    )  # fmt: skip
    return save_trained(root, manifest, contents)


def _value(name: str, kind: int, shape: tuple[int, ...]) -> object:
    return helper.make_tensor_value_info(name, kind, shape)


def _encoder(tensor: Tensor, step: float) -> bytes:
    nodes = [
        helper.make_node("Div", ["tensor", "step"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "least", "most"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["symbols"], to=TensorProto.UINT8),
    ]
    constants = {"step": step, "least": 0.0, "most": LEVELS - 1.0}
    return model_bytes(
        nodes,
        [_value("tensor", TensorProto.FLOAT, tensor.shape)],  # type: ignore[list-item]
        [_value("symbols", TensorProto.UINT8, tensor.shape)],  # type: ignore[list-item]
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )


def _symbol_decoder(tensor: Tensor, step: float) -> bytes:
    nodes = [
        helper.make_node("Cast", ["symbols"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["values", "step"], ["tensor"]),
    ]
    return model_bytes(
        nodes,
        [_value("symbols", TensorProto.UINT8, tensor.shape)],  # type: ignore[list-item]
        [_value("tensor", TensorProto.FLOAT, tensor.shape)],  # type: ignore[list-item]
        [numpy_helper.from_array(np.array(step, np.float32), "step")],
    )


def _packed_decoder(tensor: Tensor, step: float) -> bytes:
    """Two symbols a byte, the first in the upper four bits; there must be an even number of them."""
    count = math.prod(tensor.shape)
    nodes = [
        helper.make_node("Slice", ["payload", "start", "end"], ["body"]),
        helper.make_node("Cast", ["body"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["bytes", "sixteen"], ["sixteenths"]),
        helper.make_node("Floor", ["sixteenths"], ["upper"]),
        helper.make_node("Mul", ["upper", "sixteen"], ["shifted"]),
        helper.make_node("Sub", ["bytes", "shifted"], ["lower"]),
        helper.make_node("Unsqueeze", ["upper", "last"], ["first"]),
        helper.make_node("Unsqueeze", ["lower", "last"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["pairs"], axis=1),
        helper.make_node("Reshape", ["pairs", "shape"], ["values"]),
        helper.make_node("Mul", ["values", "step"], ["tensor"]),
    ]
    integers = {"start": [HEADER_BYTES], "end": [HEADER_BYTES + count // 2], "last": [1], "shape": list(tensor.shape)}
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in integers.items()]
    constants += [
        numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("step", step), ("sixteen", 16))
    ]
    return model_bytes(
        nodes,
        [_value("payload", TensorProto.UINT8, (HEADER_BYTES + count // 2,))],  # type: ignore[list-item]
        [_value("tensor", TensorProto.FLOAT, tensor.shape)],  # type: ignore[list-item]
        constants,
    )
