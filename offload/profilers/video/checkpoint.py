"""What was measured of a clip so far, kept line by line, so that an interrupted profile can go on."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from offload.artifacts.link import ProtocolSample
from offload.artifacts.video_profile import CropRecord, ReplayRecord, Setting
from offload.artifacts.workspace import append_line


class _Line(BaseModel):
    """One thing that was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crops: tuple[CropRecord, ...] | None = None
    protocol: tuple[ProtocolSample, ...] | None = None
    replay: ReplayRecord | None = None


class ClipCheckpoint:
    """One profile's file, of one JSON document a line; lines that a crash cut off are passed over.

    Args:
        path: The file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.crops: tuple[CropRecord, ...] | None = None
        """None until they were measured."""
        self.protocol: tuple[ProtocolSample, ...] | None = None
        self.replays: dict[Setting, ReplayRecord] = {}
        """By their settings."""
        if path.exists():
            for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    self._take(_Line.model_validate_json(text))
                except ValidationError:
                    continue

    def keep(
        self,
        *,
        crops: tuple[CropRecord, ...] | None = None,
        protocol: tuple[ProtocolSample, ...] | None = None,
        replay: ReplayRecord | None = None,
    ) -> None:
        """Write down what was measured.

        Raises:
            OffloadError: the file cannot be written.
        """
        line = _Line(crops=crops, protocol=protocol, replay=replay)
        append_line(self._path, line.model_dump_json())
        self._take(line)

    def forget(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    def _take(self, line: _Line) -> None:
        self.crops = line.crops or self.crops
        self.protocol = line.protocol or self.protocol
        if line.replay is not None:
            self.replays[line.replay.setting] = line.replay
