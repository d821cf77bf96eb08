"""Build ONNX networks layer by layer, keeping track of shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

_OPSETS = {18: 0.6, 20: 0.4}
"""Versions of ONNX's operators, each with its share of the networks: exporters write both, and ONNX Runtime executes
some operators of the newer one in another way."""
_GELU_OPSET = 20
_IR_VERSION = 10
_BLOCK = 1 << 16
"""Weights beyond this many elements repeat a block of so many: what values they hold makes no difference to time."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A tensor of the network under construction."""

    name: str
    shape: Shape


class OnnxBuilder:
    """A network under construction, its float32 weights random with a scale that keeps signals finite."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._opset = int(generator.choice(list(_OPSETS), p=list(_OPSETS.values())))
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._read: set[str] = set()
        self._made: dict[str, Value] = {}
        self._count = 0
        self.flops = 0.0
        """Operations so far, a multiply-accumulate as two; of convolutions and matrix products only."""
        self.weight_bytes = 0

    def input(self, shape: Sequence[int], *, integer: bool = False) -> Value:
        """One of the network's inputs, float32 or int64."""
        from onnx import TensorProto, helper

        name = f"input{len(self._inputs)}"
        dtype = TensorProto.INT64 if integer else TensorProto.FLOAT
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return Value(name, tuple(shape))

    def weight(self, shape: Sequence[int], *, fan_in: int = 1, mean: float = 0.0) -> Value:
        """A constant of standard deviation sqrt(2 / fan_in) around a mean."""
        import numpy as np

        count = math.prod(shape)
        block = self._generator.standard_normal(min(count, _BLOCK), dtype=np.float32)
        block = block * np.float32((2 / max(fan_in, 1)) ** 0.5) + np.float32(mean)
        return self.constant(np.resize(block, count).reshape(tuple(shape)))

    def constant(self, values: NDArray[Any]) -> Value:
        """A constant of given values."""
        from onnx import numpy_helper

        name = self._name("weight")
        self._weights.append(numpy_helper.from_array(values, name))
        self.weight_bytes += values.nbytes
        return Value(name, values.shape)

    def integers(self, values: Sequence[int]) -> Value:
        """A constant of int64, such as a shape or axes."""
        import numpy as np

        return self.constant(np.array(values, dtype=np.int64))

    def add(
        self, op: str, inputs: Sequence[Value | None], shape: Sequence[int], *, flops: float = 0.0, **attributes: Any
    ) -> Value:
        """One operator with one result of a given shape."""
        return self.add_many(op, inputs, [shape], flops=flops, **attributes)[0]

    def add_many(
        self,
        op: str,
        inputs: Sequence[Value | None],
        shapes: Sequence[Sequence[int]],
        *,
        flops: float = 0.0,
        **attributes: Any,
    ) -> list[Value]:
        """One operator with several results; an input of None is left out."""
        from onnx import helper

        if op == "Gelu":
            self._opset = max(self._opset, _GELU_OPSET)
        results = [Value(self._name(op.lower()), tuple(shape)) for shape in shapes]
        names = [value.name if value is not None else "" for value in inputs]
        self._nodes.append(
            helper.make_node(op, names, [result.name for result in results], name=results[0].name, **attributes)
        )
        self._read.update(names)
        self._made |= {result.name: result for result in results}
        self.flops += flops
        return results

    def finish(self) -> bytes:
        """The serialised model; what nothing reads is its output."""
        from onnx import TensorProto, helper

        outputs = [
            helper.make_tensor_value_info(
                value.name, TensorProto.INT64 if name.startswith("argmax") else TensorProto.FLOAT, list(value.shape)
            )
            for name, value in self._made.items()
            if name not in self._read
        ]
        graph = helper.make_graph(self._nodes, "sampled", self._inputs, outputs, self._weights)
        opsets = [helper.make_opsetid("", self._opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"
