"""Frames of a run with what happened to them: what was expected, what was sent where, what was found, what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.units import format_duration, format_size
from offload.video.accuracy import SHOWN_SCORE, judged
from offload.video.boxes import as_boxes
from offload.video.detections import Detections
from offload.video.drawing import BACKGROUND, Box, Entry, Pen, draw_box, draw_dashed, draw_rows, draw_tag, rows
from offload.video.expansion import expanded

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

    from offload.artifacts.video_run import AskRecord, FrameRecord, VideoRun
    from offload.video.clips import Frame
    from offload.video.truth import FrameTruth

PREDICTED, EXPANDED = (255, 230, 0), (200, 200, 200)
FOUND, MISSED, DUPLICATE, UNFOUNDED = (0, 220, 80), (255, 30, 30), (255, 0, 255), (255, 255, 255)
SMALL_FRAME, DEVICE = (200, 60, 0), (240, 200, 160)
_SERVERS = (
    (51, 119, 255), (255, 128, 0), (0, 200, 200), (160, 90, 255),
    (153, 102, 51), (255, 150, 190), (140, 150, 30), (110, 130, 160),
)  # fmt: skip
"""After so many the colours begin again; names are drawn, too."""
_LONGEST_NAME = 40
_LINES, _LETTERS = 480, 45
"""How many times a line's width, and a letter's height, go into a frame's height."""
_SMALLEST_LETTERS = 10


def server_colour(server: int) -> tuple[int, int, int]:
    """Of what a server, by its place in the run, was sent."""
    return _SERVERS[server % len(_SERVERS)]


class Annotator:
    """Draws on the frames of one run. A band under each frame says which it is, how long it took, and what lines mean.

    Args:
        run: What happened.
        judged: Whether frames come with what is really in them.
    """

    def __init__(self, run: VideoRun, *, judged: bool) -> None:
        self._run, clip = run, run.clip
        self._pen = Pen(line=max(1, clip.height // _LINES), letters=max(_SMALLEST_LETTERS, clip.height // _LETTERS))
        self._legend = self._entries(judged=judged)
        self.width = clip.width + clip.width % 2
        """Of what is drawn, pixels; even, as H.264 wants it."""
        self._status_rows = max(len(rows(self._status(record), self._pen, self.width)) for record in run.frames)
        lines = self._status_rows + len(rows(self._legend, self._pen, self.width))
        height = clip.height + lines * self._pen.row
        self.height = height + height % 2
        """Likewise, with the band."""

    def annotated(self, frame: Frame, record: FrameRecord, truth: FrameTruth | None = None) -> Frame:
        """One frame, shape (self.height, self.width, 3).

        Args:
            frame: Of the clip, shape (height, width, 3).
            record: What happened to it.
            truth: What is in it; without, nothing is told to be missed or to be there twice.
        """
        from PIL import Image, ImageDraw

        image = Image.fromarray(frame)
        draw = ImageDraw.Draw(image)
        for ask in record.asks:
            self._draw_ask(draw, ask)
        width, height = image.size
        for wanted in expanded(as_boxes(record.predicted), self._run.setting.expansion, width=width, height=height):
            draw_box(draw, _box(wanted), EXPANDED, line=self._pen.line)
        self._draw_found(draw, record, truth)
        for predicted in record.predicted:
            draw_dashed(draw, predicted, PREDICTED, self._pen)
        canvas = Image.new("RGB", (self.width, self.height), BACKGROUND)
        canvas.paste(image, (0, 0))
        draw_rows(canvas, self._status(record), self._pen, top=height)
        draw_rows(canvas, self._legend, self._pen, top=height + self._status_rows * self._pen.row)
        return np.asarray(canvas)

    def _draw_ask(self, draw: ImageDraw, ask: AskRecord) -> None:
        colour = DEVICE if ask.on_device else server_colour(ask.server)
        words, pen = "the device" if ask.on_device else self._name(ask.server), self._pen
        if ask.scale != 1:
            words += f", small frame {ask.scale:g}"
        if not ask.answered:
            words += ", no answer"
        draw_box(draw, ask.box, colour, line=2 * pen.line)
        draw_tag(draw, ask.box[:2], words, colour, pen)

    def _draw_found(self, draw: ImageDraw, record: FrameRecord, truth: FrameTruth | None) -> None:
        found, held = shown(record), shown_held(record)
        names, pen = self._run.detector.classes, self._pen
        verdict = None if truth is None else judged(found, truth)
        for index, (box, score, label) in enumerate(zip(found.boxes, found.scores, found.labels, strict=True)):
            colour, words, top = FOUND, f"{names[label]} {score:.2f}", box[1] - 1.25 * pen.letters
            if verdict is not None and verdict.duplicate[index]:
                colour, words, top = DUPLICATE, f"{words}, duplicate", box[3]
            elif verdict is not None and verdict.unfounded[index]:
                colour, words, top = UNFOUNDED, f"{words}, nothing there", box[3]
            if index >= len(found) - held:
                draw_dashed(draw, _box(box), colour, pen)
                words += ", not looked at"
            else:
                draw_box(draw, _box(box), colour, line=pen.line)
            draw_tag(draw, (box[0], top), words, colour, pen)
        if truth is None or verdict is None:
            return
        for box, label in zip(truth.boxes[verdict.missed], truth.labels[verdict.missed], strict=True):
            draw_box(draw, _box(box), MISSED, line=2 * pen.line)
            draw_tag(draw, (box[0], box[3]), f"{names[label]}, missed", MISSED, pen)

    def _status(self, record: FrameRecord) -> Sequence[Entry]:
        """What stands in the band's first lines."""
        took = format_duration(record.latency_s) if record.latency_s else "0 s"
        entries = [
            Entry(words=f"frame {record.number} of {self._run.clip.frames}"),
            Entry(words=self._run.method),
            Entry(words=f"latency {took}" + " (emulated)" * self._run.emulated),
            Entry(words=f"{format_size(record.sent_bytes)} sent"),
        ]
        if any(ask.scale != 1 for ask in record.asks):
            entries.append(Entry(words="small frame", mark="badge", colour=SMALL_FRAME))
        return entries

    def _entries(self, *, judged: bool) -> list[Entry]:
        entries = []
        if any(record.predicted for record in self._run.frames):
            entries.append(Entry(words="predicted", mark="dashed", colour=PREDICTED))
            entries.append(Entry(words="expanded", mark="box", colour=EXPANDED))
        entries += [
            Entry(words=f"sent to {self._name(server)}", mark="box", colour=server_colour(server))
            for server in range(len(self._run.servers))
        ]
        if any(ask.on_device for record in self._run.frames for ask in record.asks):
            entries.append(Entry(words="looked at by the device", mark="box", colour=DEVICE))
        entries.append(Entry(words="found", mark="box", colour=FOUND))
        if any(record.held for record in self._run.frames):
            entries.append(Entry(words="not looked at", mark="dashed", colour=FOUND))
        if judged:
            entries.append(Entry(words="missed", mark="box", colour=MISSED))
            entries.append(Entry(words="duplicate", mark="box", colour=DUPLICATE))
            entries.append(Entry(words="nothing there", mark="box", colour=UNFOUNDED))
        return entries

    def _name(self, server: int) -> str:
        name = self._run.servers[server]
        return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def shown(record: FrameRecord) -> Detections:
    """What of a frame's answer is shown to a user."""
    found = Detections(
        boxes=as_boxes(record.boxes),
        scores=np.array(record.scores, np.float64),
        labels=np.array(record.labels, np.int64),
    )
    return found.chosen(found.scores >= SHOWN_SCORE)


def shown_held(record: FrameRecord) -> int:
    """How many of these, the last ones, nobody looked at."""
    return sum(score >= SHOWN_SCORE for score in record.scores[len(record.scores) - record.held :])


def _box(row: Sequence[float]) -> Box:
    left, top, right, bottom = (float(value) for value in row)
    return left, top, right, bottom
