"""A detector for tests: it finds bright squares of 16 pixels, and is a few lines of ONNX."""

from __future__ import annotations

from onnx import parser

from offload.detectors.description import Description

SPOTS = Description(format="centernet", classes=("red", "green", "blue"), stride=1, multiple=16)


def bright_spots(height: str = "H", width: str = "W", opset: int = 13) -> bytes:
    """Tells how bright the 16x16 pixels from each place on are, for each colour, as the logit of an object there."""
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
    spots (float[1, 3, {height}, {width}] image)
        => (float[1, 3, h, w] heat, float[1, 2, h, w] size, float[1, 2, h, w] offset)
    {{
        steepness = Constant <value = float {{20.0}}> ()
        threshold = Constant <value = float {{10.0}}> ()
        mean = AveragePool <kernel_shape = [16, 16], pads = [0, 0, 15, 15], count_include_pad = 1> (image)
        steep = Mul(mean, steepness)
        heat = Sub(steep, threshold)
        two = Constant <value = int64[1] {{2}}> ()
        zero = Constant <value = int64[1] {{0}}> ()
        one = Constant <value = int64[1] {{1}}> ()
        part = Slice(mean, zero, two, one)
        nothing = Sub(part, part)
        side = Constant <value = float {{16.0}}> ()
        half = Constant <value = float {{8.0}}> ()
        size = Add(nothing, side)
        offset = Add(nothing, half)
    }}"""
    data: bytes = parser.parse_model(text).SerializeToString()
    return data
