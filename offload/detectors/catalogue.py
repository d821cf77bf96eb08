"""Detectors by what the user calls them: those that come with the program, or an ONNX file with its declaration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offload.datasets.base import PixelScale
from offload.detectors.base import Detector
from offload.detectors.decoding import DECODED, OPSET, decoder
from offload.detectors.description import ROLES, Description, load_description
from offload.errors import OffloadError
from offload.runtimes.onnxruntime import DTYPE_OF_ORT_TYPE, OnnxRuntime

if TYPE_CHECKING:
    from offload.runtimes.onnxruntime import OnnxRuntimeSession

WEIGHTS = Path(__file__).parent / "weights"
BUILT_IN: Mapping[str, str] = {
    "digits": "df010bda17f7f4c679735f116d59478219d723de3b1797dd4a95ae7df9ba4098",
    "digits-tiny": "c4167f194eb61a29145b298f0ca699e45679dc029213b91a45f590bb3d559593",
}
"""Names of the detectors for `digits-in-motion`, and the SHA-256 of each one's file; see `training/recipes`."""
_PREFIX = "detector/"
_LARGEST_BYTES = 2 * 1024**3


def load_detector(spec: str) -> Detector:
    """A detector by its name, or by the path of its ONNX file, beside which a JSON file declares what it gives.

    Raises:
        OffloadError: there is none, or its outputs do not fit what is declared.
    """
    if spec in BUILT_IN:
        path = WEIGHTS / f"{spec}.onnx"
        if not path.exists():
            raise OffloadError(f"{path} is not there", hint="install offload again")
        onnx = path.read_bytes()
        if hashlib.sha256(onnx).hexdigest() != BUILT_IN[spec]:
            raise OffloadError(f"{path} is not the detector that comes with offload", hint="install offload again")
        return made_detector(spec, onnx, load_description(path))
    path = Path(spec)
    if path.suffix != ".onnx":
        raise OffloadError(
            f"there is no detector '{spec}'", hint=f"{', '.join(BUILT_IN)}, or FILE.onnx with FILE.json beside it"
        )
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise OffloadError(f"{path} is over 2 GB", hint="an ONNX message holds 2 GB at most")
        onnx = path.read_bytes()
    except OSError as error:
        raise OffloadError(f"{path} cannot be read: {error.strerror}", hint="give the path of an ONNX file") from error
    return made_detector(path.stem, onnx, load_description(path))


def made_detector(name: str, onnx: bytes, description: Description) -> Detector:
    """A detector from a model and what is declared about it.

    Raises:
        OffloadError: the model cannot be loaded or run, takes something else than an image, or its outputs do not fit.
    """
    session = OnnxRuntime().load_onnx(onnx, threads=1)
    image, size = _image_input(name, session, description)
    roles = ROLES[description.format]
    missing = [description.output(role) for role in roles if description.output(role) not in session.outputs]
    if missing:
        raise OffloadError(
            f"detector {name} has no output '{missing[0]}' for the format {description.format}; it has "
            f"{', '.join(session.outputs)}",
            hint=f'name them in its JSON file, as {{"outputs": {{"{roles[0]}": "output0"}}}}',
        )
    outputs = [description.output(role) for role in roles]
    _check_outputs(name, session, image, size, description)
    dtypes = [DTYPE_OF_ORT_TYPE[session.outputs[output].type] for output in outputs]
    return Detector(
        name=name,
        onnx=_with_decoder(onnx, outputs, description, dtypes),
        input=_PREFIX + image,
        classes=description.classes,
        pixels=PixelScale(mean=description.mean, std=description.std),
        multiple=description.multiple,
        size=size,
    )


def _with_decoder(data: bytes, outputs: Sequence[str], description: Description, dtypes: Sequence[str]) -> bytes:
    """The model and, behind it, the graph that reads its outputs."""
    import onnx.compose
    import onnx.version_converter
    from onnx import ModelProto

    model: Any = ModelProto.FromString(data)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), OPSET)
    if opset < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    reading = decoder(description, dtypes, opset=max(opset, OPSET))
    reading.ir_version = model.ir_version
    merged = onnx.compose.merge_models(
        model,
        reading,
        io_map=list(zip(outputs, (value.name for value in reading.graph.input), strict=True)),
        outputs=list(DECODED),
        prefix1=_PREFIX,
    )
    taken = merged.graph.input[0].type.tensor_type.shape.dim
    taken[0].dim_value, taken[1].dim_value = 1, 3  # where it was any number: servers are told what they are sent
    whole: bytes = merged.SerializeToString(deterministic=True)
    return whole


def _image_input(
    name: str, session: OnnxRuntimeSession, description: Description
) -> tuple[str, tuple[int, int] | None]:
    """The input's name, and its width and height where they are fixed."""
    taken = list(session.inputs.values())
    shape = list(taken[0].shape) if taken else []
    fits = len(taken) == 1 and taken[0].type == "tensor(float)" and len(shape) == 4
    if not fits or any(isinstance(side, int) and side != right for side, right in zip(shape, (1, 3), strict=False)):
        raise OffloadError(
            f"detector {name} takes {[(value.name, value.type, value.shape) for value in taken]}, not one image",
            hint="export it with one float32 input of shape 1x3xHxW",
        )
    height, width = shape[2:]
    fixed = isinstance(height, int) and isinstance(width, int)
    return taken[0].name, (width, height) if fixed else None


def _check_outputs(
    name: str, session: OnnxRuntimeSession, image: str, size: tuple[int, int] | None, description: Description
) -> None:
    """Run it once and look at the shapes."""
    width, height = size or (8 * description.multiple, 4 * description.multiple)
    outputs = session.run({image: np.zeros((1, 3, height, width), np.float32)})
    shapes = {role: outputs[description.output(role)].shape for role in ROLES[description.format]}
    wanted = _wanted(description, width, height, shapes)
    for role, shape in shapes.items():
        right = wanted[role]
        if len(shape) != len(right) or any(want not in (None, have) for want, have in zip(right, shape, strict=True)):
            raise OffloadError(
                f"detector {name}: its output '{description.output(role)}' of {_told(shape)} is no {role} of the "
                f"format {description.format} with {len(description.classes)} classes, which would be {_told(right)}",
                hint="correct format, classes or outputs in its JSON file",
            )


def _wanted(
    description: Description, width: int, height: int, shapes: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int | None, ...]]:
    classes = len(description.classes)
    if description.format == "yolo":
        return {"predictions": (1, 4 + classes, None)}
    if description.format == "centernet":
        places = (height // description.stride, width // description.stride)
        return {"heat": (1, classes, *places), "size": (1, 2, *places), "offset": (1, 2, *places)}
    count = shapes["scores"][-1] if shapes["scores"] else None
    return {"boxes": (1, count, 4), "scores": (1, count), "labels": (1, count)}


def _told(shape: Sequence[int | None]) -> str:
    return "x".join("?" if side is None else str(side) for side in shape) or "a single number"
