"""What every artifact has in common, and loading one so that a wrong file is a clear error."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offload.environment import Environment, current_environment
from offload.errors import OffloadError
from offload.version import __version__

MOST = 1e15
"""Beyond any figure that can be true, and far from where arithmetic overflows."""
NotNegative = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
"""A number that can be true: finite and not below zero."""
Seconds = NotNegative
"""A duration that can be true."""
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
"""A number above zero that can be true."""
Count = Annotated[int, Field(ge=1)]
"""How many of what there is at least one of."""
Amount = Annotated[int, Field(ge=0, le=int(MOST))]
"""How many or how much of what there may be none of, such as bytes; one that can be true."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Artifact(BaseModel):
    """A document that one verb writes and others read.

    Attributes:
        kind: Which artifact it is.
        schema_version: Version of the fields; raised when a field changes its meaning.
        tool_version: The version of `offload` that wrote it.
        created_at: When, ISO 8601, UTC.
        environment: The machine and software it was made with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    KIND: ClassVar[str]
    SCHEMA_VERSION: ClassVar[int] = 1

    kind: str
    schema_version: int
    tool_version: str = __version__
    created_at: str = Field(default_factory=_now)
    environment: Environment = Field(default_factory=current_environment)

    @classmethod
    def create(cls, **fields: Any) -> Self:
        """A new artifact of this kind, stamped with the current version, time and environment."""
        return cls(kind=cls.KIND, schema_version=cls.SCHEMA_VERSION, **fields)

    def to_json(self) -> str:
        """The artifact as indented JSON, base units."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"

    @property
    def content_hash(self) -> str:
        """SHA-256 of the document."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """The artifact in `text`; `source` names it in errors.

        Raises:
            OffloadError: not JSON, another kind, an unknown version, or a field that cannot be true.
        """
        try:
            document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
            if "\\u" in text:
                json.dumps(document, ensure_ascii=False).encode()  # half a character, which nothing can write again
        except (ValueError, RecursionError) as error:
            raise OffloadError(f"{source} is damaged: {error}", hint=_remake(cls)) from error
        found = document.get("kind") if isinstance(document, dict) else None
        if not isinstance(found, str):
            raise OffloadError(f"{source} is not an artifact of offload: it has no `kind`", hint=_remake(cls))
        if found != cls.KIND:
            predicts = cls.KIND == "profile" and found in ("costs", "preset")
            raise OffloadError(
                f"{source} is {a_kind(found)}, not {a_kind(cls.KIND)}",
                hint=f"tell one with `offload profile MODEL --predict {source}`" if predicts else _remake(cls),
            )
        schema = document.get("schema_version")
        if schema != cls.SCHEMA_VERSION:
            newer = isinstance(schema, int) and schema > cls.SCHEMA_VERSION
            by = document.get("tool_version", "an unknown version")
            raise OffloadError(
                f"{source} has schema_version {schema!r:.40}, this offload reads {cls.SCHEMA_VERSION}",
                hint=f"it was written by offload {by!s:.40}: install that or a newer one" if newer else _remake(cls),
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the document"
            reason = first["msg"].removeprefix("Value error, ")
            raise OffloadError(f"{source} is damaged at {field}: {reason}", hint=_remake(cls)) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """The artifact in a file; see `from_json` for what is raised."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise OffloadError(f"{path} is not there", hint=_remake(cls)) from error
        except (OSError, UnicodeDecodeError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or error
            raise OffloadError(f"{path} cannot be read: {reason}", hint=_remake(cls)) from error
        return cls.from_json(text, source=str(path))


def kind_of(path: Path) -> str | None:
    """The kind of artifact that a file says it is; None for a file that is none, or cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    found = document.get("kind") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def a_kind(kind: str) -> str:
    """An artifact's kind in a sentence: `a profile`, but `costs`."""
    return kind if kind == "costs" else f"a {kind:.40}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    """A number of JSON; one like 1e999 would be read as infinite, and could not be written again."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits:.40} is beyond any figure")
    return number


_MADE_BY = {
    "profile": "offload profile MODEL",
    "link": "offload link HOST:PORT",
    "plan": "offload plan --bw 450mbps",
    "costs": "offload fit",
    "verification": "offload verify",
    "simulation": "offload simulate",
    "preset": "offload calibrate PRESET --latency MODEL=80ms",
    "reproduction": "offload reproduce neurosurgeon",
    "codec": "offload codec train MODEL --at LAYER",
    "codec-bench": "offload codec bench MODEL --data DATA",
    "video-profile": "offload profile CLIP --detector DETECTOR",
    "video-plan": "offload plan --planner elf --servers 2 --bw 450mbps",
    "video-run": "offload run PLAN",
    "video-verification": "offload verify PLAN",
}


def _remake(artifact: type[Artifact]) -> str:
    return f"make {a_kind(artifact.KIND)} with `{_MADE_BY[artifact.KIND]}`"
