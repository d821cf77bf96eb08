"""The random networks as torch modules, each operator called as networks written for torch call it.

The same numbers come out as of the ONNX document, but for half precision. Where torch has one call for what ONNX has
several, such as `silu`, `linear` and `scaled_dot_product_attention`, that one is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
import torch

from offload.artifacts.profile import Precision
from offload.errors import OffloadError
from offload.models.loaded import LoadedTorchModel
from offload.models.onnx_in_torch import OnnxModule
from offload.models.torch_capture import capture_plain
from offload.models.torch_program import torch_dtype
from offload.models.torch_weighted import Node
from offload.profilers.sampling.networks import SampledNetwork
from offload.profilers.sampling.torch_operators import TRANSLATIONS


def torch_model(network: SampledNetwork, *, precision: Precision = "fp32") -> LoadedTorchModel:
    """A random network, ready for torch to run.

    Two thirds of the convolutional networks have a batch norm behind each convolution, as ResNet has them; the others
    have none, as VGG. Three quarters of the transformers call attention as one operator.

    Raises:
        OffloadError: it has an operator that is not known here, or torch cannot export it.
    """
    module = torch_module(
        network.onnx,
        batch_norms=network.style == "image" and network.number % 3 != 0,
        fused_attention=network.number % 4 != 0,
    )
    dtype = torch_dtype(precision)
    inputs = {
        name: torch.zeros(shape, dtype=dtype if kind == onnx.TensorProto.FLOAT else torch.int64)
        for name, (kind, shape) in module.inputs.items()
    }
    name = f"network {network.number}"
    program = capture_plain(module.to(dtype), inputs, name=name)
    return LoadedTorchModel(
        spec=name,
        name=name,
        program=program,
        graph=program.graph,
        hash=name,  # that of its content would be read off all weights, and nobody asks for it
        weights="random",
        untrained=True,
        batch=1,
        precision=precision,
    )


def torch_module(onnx_model: bytes, *, batch_norms: bool = False, fused_attention: bool = True) -> InterpretedNetwork:
    """A random network as a module whose forward takes the ONNX document's inputs, in their order.

    Args:
        onnx_model: What `sampled_network` makes.
        batch_norms: Take each bias of a convolution over an image for what a batch norm behind it adds.
        fused_attention: Call attention as one operator, not as two products around a softmax.

    Raises:
        OffloadError: it has an operator that is not known here.
    """
    return InterpretedNetwork(
        onnx.load_from_string(onnx_model), batch_norms=batch_norms, fused_attention=fused_attention
    )


class InterpretedNetwork(OnnxModule):
    """Runs the nodes of an ONNX document in their order; its weights are parameters."""

    translations = TRANSLATIONS

    def __init__(self, document: onnx.ModelProto, *, batch_norms: bool, fused_attention: bool) -> None:
        self.batch_norms = batch_norms
        """Whether biases of convolutions are taken for batch norms."""
        self.fused_attention = fused_attention
        super().__init__(document)

    def calls(self, nodes: list[Node]) -> list[Node]:
        """See `OnnxModule.calls`."""
        return _as_torch_calls(nodes, self._constants, fused_attention=self.fused_attention)

    def unknown(self, node: Node) -> OffloadError:
        """See `OnnxModule.unknown`."""
        return OffloadError(f"a random network has the operator {node.op}, which torch is not given", hint="")


def _as_torch_calls(
    nodes: Sequence[Node], constants: Mapping[str, onnx.TensorProto], *, fused_attention: bool
) -> list[Node]:
    """The nodes with those joined that torch has one call for, which stands where the last of them did."""
    readers = Counter(name for node in nodes for name in node.inputs)
    made_by = {name: node for node in nodes for name in node.outputs}
    left_out: set[str] = set()

    def alone(name: str, op: str) -> Node | None:
        """The node of that operator that made a tensor which nothing else reads."""
        node = made_by.get(name)
        return node if node is not None and node.op == op and readers[name] == 1 else None

    def joined(node: Node) -> Node:
        if node.op == "Mul":
            for gate, value in (node.inputs, node.inputs[::-1]):
                sigmoid = alone(gate, "Sigmoid")
                if sigmoid is not None and sigmoid.inputs == (value,):
                    left_out.add(gate)
                    return replace(node, op="Swish", inputs=(value,))
        if node.op == "Add":
            product = alone(node.inputs[0], "MatMul")
            bias = constants.get(node.inputs[1])
            if product is not None and bias is not None and len(bias.dims) == 1 and _applies_weights(product):
                left_out.add(node.inputs[0])
                return Node(op="Linear", inputs=(*product.inputs, node.inputs[1]), outputs=node.outputs, attributes={})
        if node.op == "MatMul" and fused_attention:
            softmax = alone(node.inputs[0], "Softmax")
            scaled = alone(softmax.inputs[0], "Mul") if softmax is not None else None
            scores = alone(scaled.inputs[0], "MatMul") if scaled is not None else None
            if softmax is not None and scaled is not None and scores is not None:
                left_out.update((*softmax.outputs, *scaled.outputs, *scores.outputs))
                return replace(node, op="Attention", inputs=(*scores.inputs, node.inputs[1]))
        return node

    def _applies_weights(product: Node) -> bool:
        return product.inputs[1] in constants and len(constants[product.inputs[1]].dims) == 2

    found = [joined(node) for node in nodes]
    found = [replace(node, op="Linear") if node.op == "MatMul" and _applies_weights(node) else node for node in found]
    return [node for node in found if not left_out.issuperset(node.outputs)]
