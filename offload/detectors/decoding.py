"""ONNX graphs from what a detector gives to boxes, scores and labels: so any server answers in a few hundred numbers.

Each takes the outputs of a format, see `description`, and gives `boxes` (1, K, 4), `scores` (1, K) and `labels`
(1, K): K at most MOST, in pixels of the input, the highest scores first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.detectors.description import Description, Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto

MOST = 300
"""Objects that are told of."""
OPSET = 13
DECODED = ("boxes", "scores", "labels")
_ONNX_TYPES = {"float32": "float", "float16": "float16", "float64": "double", "int64": "int64", "int32": "int32"}


def decoder(description: Description, dtypes: Sequence[str], *, opset: int = OPSET) -> ModelProto:
    """The graph that reads a detector's outputs, taken in the order of its format's roles.

    Args:
        description: What is declared.
        dtypes: NumPy's names for the types of these outputs.
        opset: Of the model; at least OPSET.

    Raises:
        KeyError: a type is not one of numbers.
    """
    from onnx import parser

    text = _TEXTS[description.format]
    for index, dtype in enumerate(dtypes):
        text = text.replace(f"TYPE{index}", _ONNX_TYPES[dtype])
    text = text.replace("MOST", str(MOST)).replace("STRIDE", f"{description.stride:.1f}")
    return parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{text}')


_TEXTS: dict[Format, str] = {
    "boxes": """
decode (TYPE0[1, N, 4] boxes_in, TYPE1[1, N] scores_in, TYPE2[1, N] labels_in)
    => (float[1, K, 4] boxes, float[1, K] scores, int64[1, K] labels)
{
    boxes = Cast <to = 1> (boxes_in)
    scores = Cast <to = 1> (scores_in)
    labels = Cast <to = 7> (labels_in)
}
""",
    "yolo": """
decode (TYPE0[1, C, N] predictions_in) => (float[1, K, 4] boxes, float[1, K] scores, int64[1, K] labels)
{
    predictions = Cast <to = 1> (predictions_in)
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    two = Constant <value = int64[1] {2}> ()
    four = Constant <value = int64[1] {4}> ()
    far = Constant <value = int64[1] {9223372036854775807}> ()
    most = Constant <value = int64[1] {MOST}> ()
    half = Constant <value = float {0.5}> ()
    classes = Slice(predictions, four, far, one)
    best_row, which_row = TopK <axis = 1> (classes, one)
    best = Squeeze(best_row, one)
    which = Squeeze(which_row, one)
    shape = Shape(best)
    count = Slice(shape, one, two, zero)
    kept = Min(count, most)
    scores, index = TopK <axis = 1> (best, kept)
    labels = GatherElements <axis = 1> (which, index)
    sides = Slice(predictions, zero, four, one)
    rows = Transpose <perm = [0, 2, 1]> (sides)
    last = Unsqueeze(index, two)
    repeats = Constant <value = int64[3] {1, 1, 4}> ()
    spread = Tile(last, repeats)
    chosen = GatherElements <axis = 1> (rows, spread)
    centre = Slice(chosen, zero, two, two)
    size = Slice(chosen, two, four, two)
    reach = Mul(size, half)
    low = Sub(centre, reach)
    high = Add(centre, reach)
    boxes = Concat <axis = 2> (low, high)
}
""",
    "centernet": """
decode (TYPE0[1, C, H, W] heat_in, TYPE1[1, 2, H, W] size_in, TYPE2[1, 2, H, W] offset_in)
    => (float[1, K, 4] boxes, float[1, K] scores, int64[1, K] labels)
{
    heat = Cast <to = 1> (heat_in)
    size = Cast <to = 1> (size_in)
    offset = Cast <to = 1> (offset_in)
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    two = Constant <value = int64[1] {2}> ()
    three = Constant <value = int64[1] {3}> ()
    four = Constant <value = int64[1] {4}> ()
    most = Constant <value = int64[1] {MOST}> ()
    half = Constant <value = float {0.5}> ()
    stride = Constant <value = float {STRIDE}> ()
    likely = Sigmoid(heat)
    around = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [1, 1]> (likely)
    beaten = Less(likely, around)
    kept_at = Not(beaten)
    topmost = Cast <to = 1> (kept_at)
    peaks = Mul(likely, topmost)
    as_row = Constant <value = int64[2] {1, -1}> ()
    flat = Reshape(peaks, as_row)
    total = Shape(flat)
    count = Slice(total, one, two, zero)
    kept = Min(count, most)
    scores, index = TopK <axis = 1> (flat, kept)
    shape = Shape(heat)
    height = Slice(shape, two, three, zero)
    width = Slice(shape, three, four, zero)
    places = Mul(height, width)
    labels = Div(index, places)
    place = Mod(index, places)
    row_index = Div(place, width)
    column_index = Mod(place, width)
    row = Cast <to = 1> (row_index)
    column = Cast <to = 1> (column_index)
    per_map = Constant <value = int64[3] {1, 2, -1}> ()
    flat_size = Reshape(size, per_map)
    flat_offset = Reshape(offset, per_map)
    middle = Unsqueeze(place, one)
    repeats = Constant <value = int64[3] {1, 2, 1}> ()
    spread = Tile(middle, repeats)
    sides = GatherElements <axis = 2> (flat_size, spread)
    within = GatherElements <axis = 2> (flat_offset, spread)
    columns = Unsqueeze(column, one)
    rows = Unsqueeze(row, one)
    at = Concat <axis = 1> (columns, rows)
    centre = Add(at, within)
    reach = Mul(sides, half)
    low = Sub(centre, reach)
    high = Add(centre, reach)
    both = Concat <axis = 1> (low, high)
    pixels = Mul(both, stride)
    boxes = Transpose <perm = [0, 2, 1]> (pixels)
}
""",
}
