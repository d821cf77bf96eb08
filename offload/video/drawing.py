"""Boxes and words on images, by PIL alone: whole or dashed lines, and the one font that comes with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, pixels, the last two exclusive."""
Mark = Literal["none", "box", "dashed", "badge"]
"""What stands before an entry of a legend; a badge is behind its words."""
BACKGROUND, WORDS = (24, 24, 24), (235, 235, 235)
_DARK = 128
"""Brightness up to which words on a colour are white."""


@dataclass(frozen=True, kw_only=True)
class Pen:
    """Sizes of lines and letters."""

    line: int
    """Pixels."""
    letters: int
    """Pixels."""

    @property
    def dash(self) -> tuple[int, int]:
        """Pixels of a dash, and of the gap after it."""
        return 5 * self.line, 4 * self.line

    @property
    def row(self) -> int:
        """Pixels from one line of words to the next."""
        return round(1.5 * self.letters)

    def width(self, words: str) -> int:
        """Pixels of words."""
        return round(font(self.letters).getlength(words))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Words in a band, with what they explain."""

    words: str
    mark: Mark = "none"
    colour: Colour = WORDS


@cache
def font(letters: int) -> Font:
    """PIL's own font, which needs no font of the system.

    Args:
        letters: Their size, pixels.
    """
    from PIL import ImageFont

    return ImageFont.load_default(letters)


def draw_box(draw: ImageDraw, box: Box, colour: Colour, *, line: int) -> None:
    """An outline within a box."""
    draw.rectangle(_corners(draw, box), outline=colour, width=line)


def draw_dashed(draw: ImageDraw, box: Box, colour: Colour, pen: Pen) -> None:
    """The same in dashes."""
    left, top, right, bottom = _corners(draw, box)
    thick = pen.line - 1
    for begin, end in _dashes(left, right, pen):
        draw.rectangle((begin, top, end, min(top + thick, bottom)), fill=colour)
        draw.rectangle((begin, max(bottom - thick, top), end, bottom), fill=colour)
    for begin, end in _dashes(top, bottom, pen):
        draw.rectangle((left, begin, min(left + thick, right), end), fill=colour)
        draw.rectangle((max(right - thick, left), begin, right, end), fill=colour)


def draw_tag(draw: ImageDraw, place: tuple[float, float], words: str, colour: Colour, pen: Pen) -> None:
    """Words on a colour, moved as far as an image needs to hold them.

    Args:
        draw: Of the image.
        place: Left and top.
        words: One line.
        colour: Behind them.
        pen: Of which size.
    """
    width, height = draw.im.size
    wide, high = pen.width(words) + 2 * pen.line, round(1.25 * pen.letters)
    left, top = max(0, min(round(place[0]), width - wide)), max(0, min(round(place[1]), height - high))
    draw.rectangle((left, top, left + wide - 1, top + high - 1), fill=colour)
    draw.text((left + pen.line, top + high // 2), words, fill=_on(colour), font=font(pen.letters), anchor="lm")


def rows(entries: Sequence[Entry], pen: Pen, width: int) -> list[list[Entry]]:
    """Entries in lines as words are, at least one line.

    Args:
        entries: In order.
        pen: Of which size.
        width: Of a line, pixels; what alone is wider stands alone.
    """
    lines: list[list[Entry]] = [[]]
    used = 0
    for entry in entries:
        wide = _entry_width(entry, pen)
        if lines[-1] and used + wide > width:
            lines.append([])
            used = 0
        lines[-1].append(entry)
        used += wide
    return lines


def draw_rows(image: Image, entries: Sequence[Entry], pen: Pen, *, top: int) -> None:
    """Lines of entries on an image, from a row of pixels downwards."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    for line in rows(entries, pen, image.width):
        left = pen.letters // 2
        for entry in line:
            _draw_entry(draw, entry, pen, left=left, top=top)
            left += _entry_width(entry, pen)
        top += pen.row


def _draw_entry(draw: ImageDraw, entry: Entry, pen: Pen, *, left: int, top: int) -> None:
    swatch = (left, top + pen.row // 4, left + 2 * pen.letters, top + pen.row - pen.row // 4)
    match entry.mark:
        case "badge":
            draw_tag(draw, (left, top + pen.row // 8), entry.words, entry.colour, pen)
            return
        case "box":
            draw_box(draw, swatch, entry.colour, line=2 * pen.line)
        case "dashed":
            draw_dashed(draw, swatch, entry.colour, pen)
        case "none":
            pass
    middle = left + _swatch_width(entry, pen), top + pen.row // 2
    draw.text(middle, entry.words, fill=WORDS, font=font(pen.letters), anchor="lm")


def _swatch_width(entry: Entry, pen: Pen) -> int:
    return round(2.5 * pen.letters) if entry.mark in ("box", "dashed") else 0


def _entry_width(entry: Entry, pen: Pen) -> int:
    return _swatch_width(entry, pen) + pen.width(entry.words) + pen.letters


def _dashes(begin: int, end: int, pen: Pen) -> Iterator[tuple[int, int]]:
    """First and last pixel of each dash from one pixel to another."""
    dash, gap = pen.dash
    for first in range(begin, end + 1, dash + gap):
        yield first, min(first + dash - 1, end)


def _corners(draw: ImageDraw, box: Box) -> tuple[int, int, int, int]:
    """First and last pixels of what of a box lies in the image, one pixel at least."""
    width, height = draw.im.size
    left, top = min(max(0, round(box[0])), width - 1), min(max(0, round(box[1])), height - 1)
    return left, top, min(max(left, round(box[2]) - 1), width - 1), min(max(top, round(box[3]) - 1), height - 1)


def _on(colour: Colour) -> Colour:
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > _DARK else (255, 255, 255)  # as Rec. 601 weighs
