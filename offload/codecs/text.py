"""Codec texts: `name:parameter=value,...`, and `+zstd` after it, as plans hold them and the network brings them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from offload.errors import OffloadError

LONGEST_TEXT = 256
_TEXT = re.compile(r"(?P<name>[a-z0-9-]+)(:(?P<parameters>[a-z0-9=,./+-]+?))?(?P<zstd>\+zstd)?", re.ASCII)
_PARAMETER = re.compile(r"([a-z]+)=([a-z0-9./+-]+)", re.ASCII)


@dataclass(kw_only=True)
class CodecText:
    """A codec text in its parts; builders take the parameters they know, what remains is an error."""

    text: str
    name: str
    zstd: bool
    """Whether the payload is compressed by zstd."""
    parameters: dict[str, str] = field(default_factory=dict)

    def integer(self, name: str, default: int | None, low: int, high: int) -> int:
        """An integer from low to high.

        Raises:
            OffloadError: it is none, out of range, or missing without a default.
        """
        text = self._taken(name, None if default is None else str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not low <= int(text) <= high:
            raise OffloadError(f"codec {self.text!r}: {name} must be an integer from {low} to {high}")
        return int(text)

    def numbers(self, name: str, default: str | None, low: float, high: float) -> tuple[float, ...]:
        """Numbers from low to high, divided by `/`.

        Raises:
            OffloadError: one is none, out of range, or all are missing without a default.
        """
        try:
            values = tuple(float(text) for text in self._taken(name, default).split("/"))
        except ValueError:
            values = (math.nan,)
        if not all(low <= value <= high for value in values):
            raise OffloadError(f"codec {self.text!r}: {name} must be numbers from {low:g} to {high:g}, as 0.5/0.4")
        return values

    def number(self, name: str, default: float | None, low: float, high: float) -> float:
        """A number from low to high.

        Raises:
            OffloadError: it is none, out of range, or missing without a default.
        """
        values = self.numbers(name, None if default is None else repr(default), low, high)
        if len(values) > 1:
            raise OffloadError(f"codec {self.text!r}: {name} must be one number")
        return values[0]

    def done(self) -> None:
        """Nobody takes what is left.

        Raises:
            OffloadError: a parameter is left.
        """
        if self.parameters:
            raise OffloadError(f"codec {self.text!r}: {self.name} has no parameter {min(self.parameters)}")

    def _taken(self, name: str, default: str | None) -> str:
        value = self.parameters.pop(name, default)
        if value is None:
            raise OffloadError(f"codec {self.text!r} needs {name}=", hint=f"as in {self.name}:{name}=...")
        return value


def parse(text: str) -> CodecText:
    """The parts of a codec text.

    Raises:
        OffloadError: it is no codec text.
    """
    found = _TEXT.fullmatch(text) if len(text) <= LONGEST_TEXT else None
    if found is None:
        raise OffloadError(f"{text[:60]!r} is no codec", hint="codecs are written as int8+zstd or jpeg:quality=30")
    parameters: dict[str, str] = {}
    for part in (found["parameters"] or "").split(",") if found["parameters"] else []:
        pair = _PARAMETER.fullmatch(part)
        if pair is None or pair[1] in parameters:
            raise OffloadError(f"codec {text!r}: {part!r} is no parameter, or is there twice", hint="as in quality=30")
        parameters[pair[1]] = pair[2]
    return CodecText(text=text, name=found["name"], zstd=found["zstd"] is not None, parameters=parameters)
