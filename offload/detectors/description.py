"""What one has to declare about an ONNX detector: a JSON file beside it, `yolo.onnx` and `yolo.json`.

    {"format": "yolo", "classes": ["person", "car"], "outputs": {"predictions": "output0"}}

Formats, and the outputs that each names:

- `boxes`: `boxes` (1, K, 4) as left, top, right, bottom in pixels of the input, `scores` (1, K), `labels` (1, K).
- `yolo`: `predictions` (1, 4 + classes, N): centre, width and height in pixels, then a score for each class.
- `centernet`: `heat` (1, classes, h, w) as logits, `size` (1, 2, h, w) and `offset` (1, 2, h, w) in places of the map.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offload.errors import OffloadError

Format = Literal["boxes", "yolo", "centernet"]
ROLES: dict[Format, tuple[str, ...]] = {
    "boxes": ("boxes", "scores", "labels"),
    "yolo": ("predictions",),
    "centernet": ("heat", "size", "offset"),
}
_Numbers = Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]


class Description(BaseModel):
    """A detector's declaration.

    Attributes:
        format: What its outputs mean.
        classes: Names, in the order of its labels.
        outputs: The model's name for each output of the format; those of the format itself where left out.
        mean: Taken off pixels / 255, one number or one for each of R, G and B.
        std: What that is divided by.
        multiple: Sides of the input must be multiples of this many pixels.
        stride: Pixels of the input along a side of a place on `centernet`'s maps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
    outputs: dict[str, str] = {}
    mean: _Numbers = (0.0,)
    std: _Numbers = (1.0,)
    multiple: Annotated[int, Field(ge=1, le=1024)] = 32
    stride: Annotated[int, Field(ge=1, le=64)] = 4

    def output(self, role: str) -> str:
        """The model's name for an output of the format."""
        return self.outputs.get(role, role)


def load_description(model: Path) -> Description:
    """What is declared about a model.

    Raises:
        OffloadError: nothing is, or it cannot be understood.
    """
    path = model.with_suffix(".json")
    try:
        told = Description.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise OffloadError(
            f"{path} is not there, which has to tell what {model.name} gives",
            hint='write one like {"format": "yolo", "classes": ["person"]}; docs/detectors.md has the formats',
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise OffloadError(f"{path} cannot be read: {error}", hint="docs/detectors.md tells what it holds") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise OffloadError(
            f"{path} is damaged at {where}: {first['msg']}", hint="docs/detectors.md tells what it holds"
        ) from error
    strangers = set(told.outputs) - set(ROLES[told.format])
    if strangers:
        raise OffloadError(
            f"{path}: the format {told.format} has no output '{min(strangers)}'",
            hint=f"it has {', '.join(ROLES[told.format])}",
        )
    if any(value == 0 for value in told.std):
        raise OffloadError(f"{path}: a std of 0 divides by nothing", hint="leave std out where pixels are only / 255")
    return told
