"""The child in which an uploaded model is parsed, checked, loaded and run for the first time.

`python -m offload.serving.trial`: a model that crashes, hangs or eats memory takes only this process with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offload.errors import OffloadError
from offload.serving.child_process import answer, limit_resources, read_settings
from offload.serving.refusal import RefusalError

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


def check_contents(onnx_bytes: bytes) -> None:
    """Refuse what an upload must not hold: anything but ONNX, data in other files, foreign operators, loops.

    A loop's length comes with the request, so no trial can tell that it ends.

    Raises:
        OffloadError: naming what was found.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(onnx_bytes)
    except Exception as error:  # protobuf's DecodeError, and whatever a damaged file provokes
        raise OffloadError("the upload is not an ONNX model") from error
    if not model.graph.node and not model.graph.output:
        raise OffloadError("the upload is not an ONNX model: it has no graph")
    functions = [node for function in model.functions for node in function.node]
    _check_nodes(functions)
    for graph in (*_graphs(model.graph), *(graph for node in functions for graph in _subgraphs(node))):
        _check_nodes(graph.node)
        for tensor in graph.initializer:
            _check_tensor(tensor)
        for sparse in graph.sparse_initializer:
            _check_tensor(sparse.values)
            _check_tensor(sparse.indices)


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        yield from _subgraphs(node)


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
            yield from _graphs(graph)


def _check_nodes(nodes: Any) -> None:
    for node in nodes:
        if node.domain not in ALLOWED_DOMAINS:
            raise OffloadError(
                f"operator {node.op_type} of node '{node.name}' is of the domain '{node.domain}'; "
                "only standard ONNX operators are accepted"
            )
        if node.op_type == "Loop":
            raise OffloadError(f"operator Loop of node '{node.name}' could run for ever; unroll it")
        for attribute in node.attribute:
            for tensor in (attribute.t, *attribute.tensors):
                _check_tensor(tensor)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                _check_tensor(sparse.values)
                _check_tensor(sparse.indices)


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location or tensor.external_data:
        raise OffloadError(f"tensor '{tensor.name}' keeps its data in another file; save the model in one file")


def run_once_on_zeros(onnx_bytes: bytes, *, threads: int, announced: str = "") -> None:
    """Load the model as the server will and run it on zeros, dynamic dimensions taken as 1.

    Inputs that are announced to arrive coded go through their codecs.

    Raises:
        OffloadError: it cannot be loaded or run.
        RefusalError: its inputs or outputs are of types the server does not carry, or what it announces is not
            understood.
    """
    import numpy as np

    from offload.runtimes.onnxruntime import OnnxRuntime
    from offload.serving.decoding import announced_codecs
    from offload.serving.served_model import signature
    from offload.serving.tensors import NUMPY_OF_DATATYPE

    session = OnnxRuntime().load_onnx(onnx_bytes, threads=threads)
    inputs, _ = signature(session)
    feeds = {}
    for spec in inputs:
        shape = [1 if size == -1 else size for size in spec.shape]
        feeds[spec.name] = np.zeros(shape, NUMPY_OF_DATATYPE[spec.datatype])
    for name, codec in announced_codecs(announced, inputs).items():
        feeds[name] = codec.decode(codec.encode(feeds[name]))
    session.run(feeds)


def main() -> None:
    """The child's life: settings in, verdict out."""
    settings = read_settings()
    limit_resources(memory_bytes=settings["memory_bytes"], cpu_s=settings["cpu_s"])
    try:
        onnx_bytes = Path(settings["path"]).read_bytes()
        check_contents(onnx_bytes)
        run_once_on_zeros(onnx_bytes, threads=settings["threads"], announced=settings["announced"])
    except MemoryError:
        answer(error="out of memory", hint="memory")
    except (OffloadError, RefusalError) as error:
        starved = any(sign in error.message for sign in ("out of memory", "bad_alloc", "allocate memory"))
        answer(error=error.message, hint="memory" if starved else "")
    else:
        answer(ok=True)


if __name__ == "__main__":
    main()
