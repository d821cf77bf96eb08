"""The canonical form of a model: static, self-contained, folded, in a fixed order and readably named.

ONNX Runtime's BASIC level folds constants and batch norms and keeps tensor names; every node it leaves is a layer.
"""

from __future__ import annotations

import hashlib
import heapq
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.models.inputs import Shape
from offload.models.onnx_graph import infer_types
from offload.models.onnx_walk import captured, reads

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


_NEWEST_IR = 10
"""Nothing a canonical model holds needs a newer one, and runtimes refuse those they do not know."""


def canonicalise(
    model: ModelProto, shapes: Mapping[str, Shape], *, name: str, tensors_follow_nodes: bool = False
) -> ModelProto:
    """The canonical form of `model`, which is changed on the way.

    Args:
        model: Standard operators only, no external data.
        shapes: A static shape for each true input.
        name: What messages call the model.
        tensors_follow_nodes: Rename each layer's only output after the layer; for models whose tensor names mean
            nothing to the user.

    Raises:
        OffloadError: ONNX Runtime refuses the model, a shape cannot be inferred, or control flow captures tensors.
    """
    _fix_shapes(model, shapes)
    _name_nodes(model.graph.node)
    named = {output: node.name for node in model.graph.node for output in node.output}
    position = {output: index for index, output in enumerate(named)}
    model = _fold(model, name)
    if _reads_weights_only(model.graph):  # functions are inlined after folding, and may leave constants to fold
        model = _fold(model, name)
    _sort(model.graph, position)
    _restore_names(model.graph, named)
    _name_nodes(model.graph.node)
    _refuse_captures(model.graph, name)
    if tensors_follow_nodes:
        _rename_tensors(model.graph)
    used_domains = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if not entry.domain or entry.domain in used_domains]
    del model.opset_import[:]
    model.opset_import.extend(sorted(kept, key=lambda entry: entry.domain))
    _annotate(model, name)
    return model


def content_hash(model: ModelProto) -> str:
    """SHA-256 of everything a canonical model computes with: inputs, nodes, weights, outputs."""
    from onnx import numpy_helper

    digest = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)

    for entry in model.opset_import:
        add(b"opset", entry.domain.encode(), str(entry.version).encode())
    for value in (*model.graph.input, *model.graph.output):
        add(b"end", value.SerializeToString(deterministic=True))
    for node in model.graph.node:
        add(b"node", node.SerializeToString(deterministic=True))
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        values = numpy_helper.to_array(tensor)
        add(b"weight", tensor.name.encode(), f"{tensor.data_type}{list(tensor.dims)}".encode(), values.tobytes())
    return digest.hexdigest()


def _fix_shapes(model: ModelProto, shapes: Mapping[str, Shape]) -> None:
    # An initialiser that is also an input could be overridden, so ONNX Runtime would not fold it.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = min(max(model.ir_version, 4), _NEWEST_IR)
    for value in model.graph.input:
        value.type.tensor_type.shape.Clear()
        for size in shapes[value.name]:
            value.type.tensor_type.shape.dim.add().dim_value = size
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _fold(model: ModelProto, name: str) -> ModelProto:
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory(prefix="offload-") as folder:
        path = Path(folder) / "folded.onnx"
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no public base
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            reason = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", reason)
            raise OffloadError(
                f"{name}: ONNX Runtime cannot load the model: {reason}", hint="check the model, or export it again"
            ) from error
        return onnx.load(str(path))


def _reads_weights_only(graph: GraphProto) -> bool:
    weights = {tensor.name for tensor in graph.initializer}
    return any(read and weights.issuperset(read) for read in map(reads, graph.node))


def _name_nodes(nodes: Iterable[NodeProto]) -> None:
    """Give every node a unique name: its own, or its first output's when it has none."""
    taken: set[str] = set()
    for node in nodes:
        wanted = node.name or next(filter(None, node.output), node.op_type)
        name, count = wanted, 0
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        node.name = name


def _restore_names(graph: GraphProto, named: Mapping[str, str]) -> None:
    """Name what folding made after the node it stands for, or else after the node whose output it reads."""
    authors = set(named.values())
    maker: dict[str, str] = {}
    for node in graph.node:
        if node.name not in authors:
            replaced = node.name.rpartition("/")[0]  # ONNX Runtime appends the fusion: `fc1/MatMulAddFusion`
            known = next((named[output] for output in node.output if output in named), "")
            source = next((maker[name] for name in node.input if name in maker), "")
            after = f"{source}.{node.op_type.lower()}" if source else ""
            node.name = replaced if replaced in authors else known or after
        maker.update((output, node.name) for output in node.output if node.name)


def _sort(graph: GraphProto, position: Mapping[str, int]) -> None:
    """Put nodes into the author's order; a node that folding made stands right after what it reads."""
    nodes = list(graph.node)
    producer = {output: index for index, node in enumerate(nodes) for output in node.output if output}
    needs = [{producer[name] for name in reads(node) if name in producer} for node in nodes]
    keys: list[int] = []
    for index, node in enumerate(nodes):  # ONNX Runtime's own order is topological
        known = [position[output] for output in node.output if output in position]
        keys.append(min(known) if known else max((keys[need] for need in needs[index]), default=-1))
    users: list[list[int]] = [[] for _ in nodes]
    for index, need in enumerate(needs):
        for source in need:
            users[source].append(index)
    ready = [(keys[index], index) for index, need in enumerate(needs) if not need]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, index = heapq.heappop(ready)
        order.append(index)
        for user in users[index]:
            needs[user].discard(index)
            if not needs[user]:
                heapq.heappush(ready, (keys[user], user))
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)
    weights = sorted(graph.initializer, key=lambda tensor: tensor.name)
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _refuse_captures(graph: GraphProto, name: str) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        outer = [tensor for tensor in captured(node) if tensor not in weights]
        if outer:
            raise OffloadError(
                f"{name}: the body of {node.op_type} {node.name!r} captures tensor {outer[0]!r} from outside",
                hint="such control flow cannot be divided; export the model without it (unrolled, or traced)",
            )


def _rename_tensors(graph: GraphProto) -> None:
    fixed = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    names: dict[str, str] = {}
    for node in graph.node:
        outputs = [output for output in node.output if output]
        if len(outputs) == 1 and outputs[0] not in fixed and node.name not in fixed:
            names[outputs[0]] = node.name
    if len({names.get(name, name) for node in graph.node for name in node.output if name}) != sum(
        bool(name) for node in graph.node for name in node.output
    ):
        return  # a kept name and a new one would meet; the old names are at least unique
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _annotate(model: ModelProto, name: str) -> None:
    """Write down the type and shape of every tensor, so that whoever reads the model need not infer them."""
    from onnx import helper

    graph = model.graph
    types = infer_types(model)
    ends = [value.name for value in graph.output]
    maker = {output: node for node in graph.node for output in node.output if output}
    used = {read for node in graph.node for read in reads(node)}.union(ends)
    for tensor, node in maker.items():
        if tensor in used and tensor not in types:
            raise OffloadError(
                f"{name}: the shape of tensor {tensor!r} ({node.op_type} {node.name!r}) cannot be inferred",
                hint="it depends on the data, or on a dimension left open; export the model with fixed shapes",
            )
    del graph.value_info[:], graph.output[:]
    inner = [output for output in maker if output in types and output not in ends]
    graph.value_info.extend(helper.make_tensor_value_info(tensor, *types[tensor]) for tensor in inner)
    graph.output.extend(helper.make_tensor_value_info(tensor, *types[tensor]) for tensor in ends)
