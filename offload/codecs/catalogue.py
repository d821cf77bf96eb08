"""The codecs by name."""

from __future__ import annotations

from offload.codecs.base import Codec
from offload.codecs.raw import Raw

CODECS: dict[str, Codec] = {Raw.name: Raw()}
