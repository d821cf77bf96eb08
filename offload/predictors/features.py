"""What a kernel's cost may follow from: its family, its roofline terms and its features.

A family is the layer kind, divided where one kind is executed in quite different ways (a depthwise convolution is not
a dense one). FLOPs are of what the runtime computes, padding of the blocked layout included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.models.executed import Kernel
from offload.models.operators import Operation, Shape, flops_of, kind_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FREE = frozenset(["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Size", "Constant"])
_ACTIVATIONS = ("", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Swish", "Elu")
_OPERATORS = (
    "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow", "Sqrt", "Where", "Relu", "LeakyRelu",
    "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Elu", "Softplus", "Gelu", "Erf",
    "Selu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceSum", "LRN",
    "LayerNormalization", "BatchNormalization", "InstanceNormalization", "Softmax", "ArgMax", "LSTM", "GRU",
    "RNN", "Gemm", "MatMul", "Attention", "Concat", "Transpose", "Split", "Slice", "Gather", "Pad", "Expand",
    "Resize", "Conv", "ConvTranspose",
)  # fmt: skip

_WAYS = ("nchwc.ReorderInput", "nchwc.ReorderOutput", "nchwc.", "Fused", "aten.")
"""How the runtime's own operators begin, where they run in another way than the standard's."""

TERMS = (
    *("operations", "moved bytes", "weight bytes", "weight bytes read again", "steps", "launch"),
    "first call of the operator",
)
"""What the roofline's trend adds up."""
_MOST_CALLS = 4
"""After so many calls of an operator in a run one more makes no difference; random networks have few more."""
_CODES = (
    *(
        "operator",
        "version",
        "runs as",
        "activation",
        "adds",
        "transposed",
        "channels in modulo 16",
        "channels out modulo 16",
    ),
    *("places modulo 16", "last axis modulo 16"),
    *("twos in inner", "twos in columns"),
)
_AMONG = (
    *("reference kernel", "bytes before", "bytes of the kernel before"),
    *("model's bytes", "model's weight bytes", "model's largest result"),
    *("calls of the operator before", "the same call before"),
)
FEATURES = (
    *_CODES,
    *_AMONG,
    *("batch", "height", "width", "channels in", "channels out", "out height", "out width", "kernel height"),
    *("kernel width", "stride", "dilation", "groups", "item bytes", "operations", "bytes in", "bytes out"),
    *("weight bytes", "intensity", "rows", "inner", "columns", "last axis"),
)
"""Names of the features, in order; sizes are logarithms to base 2."""
UNRANGED = frozenset((*_CODES, *_AMONG))
"""Features that are codes or of what is around the kernel, not its own sizes: no range is told of them."""


def family_of(kernel: Kernel) -> str:
    """The family: a layer kind, with what divides it behind."""
    operation, runs = kernel.operation, kernel.runs
    op, kind = operation.op, kind_of(operation)
    if kind == "conv":
        if op == "ConvTranspose":
            return "conv transposed"
        groups, weights = int(operation.attributes.get("group", 1)), operation.shape(1)
        if len(weights) != 4:
            return "conv 1-d" if len(weights) == 3 else "conv other"
        if groups > 1:
            return "conv depthwise" if weights[1] == 1 else "conv grouped"
        return "conv pointwise" if math.prod(weights[2:]) == 1 else "conv"
    if kind == "pool" and op.startswith(("Reduce", "Global")):
        return "pool global"
    if kind == "shape":
        if op in _FREE:
            return "shape free"
        return {"Concat": "shape concat", "Transpose": _reorder(runs) or "shape transpose"}.get(op, "shape other")
    return f"norm {op}" if kind == "norm" else kind


def _reorder(runs: str) -> str | None:
    """Into the blocked layout, or out of it."""
    return {"nchwc.ReorderInput": "shape reorder in", "nchwc.ReorderOutput": "shape reorder out"}.get(runs)


def kind_of_family(family: str) -> str:
    """The layer kind of a family."""
    return family.partition(" ")[0]


def is_free(kernel: Kernel) -> bool:
    """Whether the kernel only renames a shape."""
    return kernel.operation.op in _FREE


def _size(shape: Shape | None) -> int:
    return math.prod(shape) if shape is not None else 0


def _bytes(kernel: Kernel) -> tuple[float, float, float]:
    """Bytes of what is read, written, and of the weights; of an embedding only the rows that are looked up."""
    operation = kernel.operation
    written = sum(map(_size, operation.outputs)) * kernel.item_bytes
    read = weights = 0
    for index, shape in enumerate(operation.inputs):
        size = _size(shape) * kernel.item_bytes
        if operation.is_constant(index):
            weights += min(size, written) if operation.op == "Gather" else size
        else:
            read += min(size, written) if operation.op in ("Gather", "Slice") else size
    return float(read), float(written), float(weights)


def terms(kernel: Kernel, *, first_call: bool = False) -> tuple[float, ...]:
    """The roofline terms, in the order of TERMS: operations, bytes, bytes, bytes, steps, and two that are one or none.

    A recurrent layer reads the weights of what it takes from the step before in every step, from a cache where they fit
    into one, and some runtimes launch several operators for each step.

    Args:
        kernel: What is executed.
        first_call: Whether the run has not called the operator before: its code has to be fetched.
    """
    read, written, weights = _bytes(kernel)
    operation, again, steps = kernel.operation, 0, 0
    if kind_of(operation) == "recurrent":
        length, ways = operation.shape(0)[0], (operation.shape(1) or (1,))[0]
        again, steps = max(length - 1, 0) * _size(operation.shape(2)) * kernel.item_bytes, length * ways
    moved = read + written, weights, float(again)
    return float(flops_of(operation)), *moved, float(steps), 1.0, float(first_call)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a kernel is executed among: how fast the machine is, and what its caches still hold.

    How many kernels a model has is left out: real networks have several times those of the random ones.
    """

    reference_s: float
    """What the reference kernel takes meanwhile."""
    bytes_before: float
    """What the kernels before it read and wrote in the same run."""
    previous_bytes: float
    """Of these, the last one."""
    model_bytes: float
    """What all kernels of the model read and write in a run."""
    model_weight_bytes: float
    largest_result_bytes: float
    calls_before: int
    """How often the operator was called before in the same run, up to a few times."""
    same_before: int
    """How often with the same shapes: then its code and the memory it writes to are at hand."""


def surroundings(kernels: Sequence[Kernel], reference_s: float) -> list[Surroundings]:
    """What each kernel of a model is executed among.

    Args:
        kernels: All of the model's, in the order of execution.
        reference_s: What the reference kernel takes meanwhile.
    """
    moved = [(0.0, 0.0, 0.0) if is_free(kernel) else _bytes(kernel) for kernel in kernels]
    totals = [sum(each) for each in moved]
    found, before, previous = [], 0.0, 0.0
    calls: Counter[str] = Counter()
    for kernel, own in zip(kernels, totals, strict=True):
        same = f"{kernel.runs} {kernel.operation}"
        found.append(
            Surroundings(
                reference_s=reference_s,
                bytes_before=before,
                previous_bytes=previous,
                model_bytes=sum(totals),
                model_weight_bytes=sum(weights for _, _, weights in moved),
                largest_result_bytes=max(written for _, written, _ in moved),
                calls_before=min(calls[kernel.runs], _MOST_CALLS),
                same_before=min(calls[same], _MOST_CALLS),
            )
        )
        calls.update((kernel.runs, same))
        before += own
        previous = own or previous
    return found


def features(kernel: Kernel, among: Surroundings) -> tuple[float, ...]:
    """The features, in the order of FEATURES.

    Args:
        kernel: What is executed.
        among: What it is executed among.
    """
    operation = kernel.operation
    attributes, first, result = operation.attributes, operation.shape(0), _result(operation)
    weights = operation.shape(1) if operation.is_constant(1) else ()
    read, written, constant = _bytes(kernel)
    flops = float(flops_of(operation))
    image, made = _as_image(first), _as_image(result)
    window = tuple(attributes.get("kernel_shape") or (weights[2:] if operation.op in ("Conv", "ConvTranspose") else ()))
    window = (1, *window) if len(window) == 1 else tuple(window[:2]) or (1, 1)
    strides, dilations = attributes.get("strides") or (1,), attributes.get("dilations") or (1,)
    rows, inner, columns = _extents(operation)
    added = sum(
        1 for index, shape in enumerate(operation.inputs) if shape is not None and not operation.is_constant(index)
    )
    activation = str(attributes.get("activation") or "")
    sizes = (
        image[0], image[2], image[3], image[1], made[1], made[2], made[3], window[0], window[1], strides[-1],
        dilations[-1], int(attributes.get("group", 1)), kernel.item_bytes, flops, read, written, constant,
    )  # fmt: skip
    more = (rows, inner, columns, result[-1] if result else 1)
    around = (
        among.bytes_before, among.previous_bytes, among.model_bytes, among.model_weight_bytes,
        among.largest_result_bytes, among.calls_before, among.same_before,
    )  # fmt: skip
    return (
        float(_code(operation.op, _OPERATORS)),
        float(kernel.version),
        float(next((code for code, start in enumerate(_WAYS, 1) if kernel.runs.startswith(start)), 0)),
        float(_code(activation, _ACTIVATIONS)),
        float(added),
        float(bool(attributes.get("transA")) + 2 * bool(attributes.get("transB"))),
        *(float(size % 16) for size in (image[1], made[1], image[2] * image[3], result[-1] if result else 0)),
        *(math.log2(size & -size) for size in (max(inner, 1), max(columns, 1))),
        math.log2(among.reference_s),
        *(math.log2(1 + float(size)) for size in around),
        *(math.log2(1 + float(size)) for size in sizes),
        math.log2((flops + 1) / (read + written + constant + 1)),
        *(math.log2(1 + float(size)) for size in more),
    )


def _result(operation: Operation) -> Shape:
    return operation.outputs[0] if operation.outputs else ()


def _code(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else len(names)


def _as_image(shape: Shape) -> tuple[int, int, int, int]:
    """A shape as (N, C, H, W): the last two axes are H and W, what is before them C and N."""
    padded = (1,) * (4 - len(shape)) + shape
    return math.prod(padded[:-3]), padded[-3], padded[-2], padded[-1]


def _extents(operation: Operation) -> tuple[int, int, int]:
    """Three sizes that say how an operator walks through memory, ones for those that just go ahead.

    Matrix products: rows, inner size, columns. Recurrent layers: steps, features, gates. Transposes: blocks that stay
    together, their size, and the distance between two that come to lie side by side. What divides or joins along an
    axis: the pieces, what lies inside the axis, the axis. Broadcasts: the smaller operand's size, and how often each of
    its elements is used in a row.
    """
    result, first = _result(operation), operation.shape(0)
    if not result or not first:
        return 1, 1, 1
    op, attributes = operation.op, operation.attributes
    if kind_of(operation) == "recurrent" and len(operation.shape(2)) == 3:
        return first[0], first[-1], math.prod(operation.shape(2)[:2])
    if op in ("Gemm", "MatMul"):
        return math.prod(result[:-1]), first[0 if attributes.get("transA") else -1], result[-1]
    if op == "Transpose" and attributes.get("perm"):
        perm = list(attributes["perm"])
        kept = len(perm)
        while kept and perm[kept - 1] == kept - 1:
            kept -= 1
        block = math.prod(first[kept:])
        return math.prod(first) // max(block, 1), block, math.prod(first[perm[kept - 1] + 1 :]) if kept else 1
    if op in ("Concat", "Split", "Gather", "Slice"):
        shape = result if op == "Concat" else first
        axis = int(attributes.get("axis", 0)) % len(shape)
        return math.prod(shape[:axis]), math.prod(shape[axis + 1 :]), shape[axis]
    smallest = min((shape for shape in operation.inputs if shape is not None), key=math.prod)
    if kind_of(operation) in ("elementwise", "activation") and math.prod(smallest) < math.prod(result):
        span = 1
        for size, own in zip(reversed(result), reversed((1,) * (len(result) - len(smallest)) + smallest), strict=False):
            if own != 1:
                break
            span *= size
        return math.prod(smallest), span, 1
    return 1, 1, 1


def paper_variables(kernel: Kernel) -> Mapping[str, float]:
    """The variables of Neurosurgeon's regressions (Kang et al., ASPLOS 2017), by its layer types.

    Convolution: (filter size / stride)² · filters, and the size of the input feature maps. Local and pooling: sizes of
    the input and output feature maps. Fully connected, softmax, argmax: input and output neurons. Activation,
    normalisation and all that the paper has no type for: neurons.
    """
    operation = kernel.operation
    taken, made = float(_size(operation.shape(0))), float(_size(_result(operation)))
    match kind_of(operation):
        case "conv":
            weights = operation.shape(1)
            stride = (operation.attributes.get("strides") or (1,))[-1]
            filters = weights[0] if weights else 1
            return {"(filter/stride)² · filters": math.prod(weights[2:]) / stride**2 * filters, "input maps": taken}
        case "local" | "pool":
            return {"input maps": taken, "output maps": made}
        case "linear" | "matmul" | "softmax" | "argmax" | "attention" | "recurrent":
            return {"input neurons": taken, "output neurons": made}
    return {"neurons": made}


def feature_matrix(kernels: Sequence[Kernel], among: Sequence[Surroundings]) -> NDArray[np.float32]:
    """Features of kernels, float32 (kernels, features)."""
    import numpy as np

    rows = [features(kernel, one) for kernel, one in zip(kernels, among, strict=True)]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))
