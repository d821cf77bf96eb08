"""The least of many planes over a rectangle, when the least at any one point can be asked for.

This is Eisner and Severance's search (JACM 1976) in two parameters: the least of the planes known is taken apart into
the polygons in which each of them is least; what is least at their vertices is asked for, and where that is a new
plane it is added. When every vertex is confirmed, no plane is below the known ones anywhere: the least of all planes is
concave, and over each polygon the known ones are flat.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

Point = tuple[float, float]
Plane = tuple[float, float, float]
"""Its value at (0, 0), and how it grows with each parameter."""
Ask = Callable[[Sequence[Point]], Sequence[Plane]]
"""The least plane at each of some points."""

_ROUNDING = 1e-12
_NEAREST = 12
"""Confirmed points, besides the corners, that a bound at a point is drawn from."""


def value(plane: Plane, point: Point) -> float:
    """The plane's height at a point."""
    return plane[0] + plane[1] * point[0] + plane[2] * point[1]


class Envelope:
    """The least of some planes over a convex polygon.

    Args:
        corners: Its corners in a row around it.
    """

    def __init__(self, corners: Sequence[Point]) -> None:
        self._corners = list(corners)
        self._cells: dict[Plane, list[Point]] = {}
        self._confirmed: dict[tuple[str, str], tuple[Point, float]] = {}

    def add(self, plane: Plane) -> None:
        """One more plane, whether it is least anywhere or not."""
        if plane in self._cells:
            return
        cell = list(self._corners)
        for other in self._cells:
            cell = _clipped(cell, plane, other)
        if not cell:
            return
        for other in list(self._cells):
            self._cells[other] = _clipped(self._cells[other], other, plane)
        self._cells[plane] = cell
        self._cells = {other: cell for other, cell in self._cells.items() if cell}

    def search(self, ask: Ask, *, at_once: int, most: int | None) -> None:
        """Add planes until no other is below them anywhere.

        Args:
            ask: Finds the least plane.
            at_once: Points to ask for together.
            most: Points to ask for at most, but for the corners, which are asked for in any case.
        """
        for corner, plane in zip(self._corners, ask(self._corners), strict=True):
            self._confirm(corner, plane)
        while waiting := self._waiting(at_once):
            if most is not None and len(self._confirmed) + len(waiting) > most:
                return
            for point, plane in zip(waiting, ask(waiting), strict=True):
                self._confirm(point, plane)

    def planes(self) -> list[Plane]:
        """Those that are least somewhere, and by more than rounding."""
        found = dict(self._cells)
        for plane, cell in self._cells.items():
            middle = (sum(x for x, _ in cell) / len(cell), sum(y for _, y in cell) / len(cell))
            others = [value(other, middle) for other in found if other != plane]
            least = value(plane, middle)
            if others and min(others) <= least + abs(least) * _ROUNDING:
                del found[plane]
        return list(found)

    def gap(self) -> float:
        """By which fraction another plane can be lower than the known ones, at most; for planes not below zero.

        The least of all planes is concave, so it lies above what is interpolated between confirmed points, and the
        known ones are farthest above that at a vertex.
        """
        return max(self._gap_at(point) for cell in self._cells.values() for point in cell)

    def _gap_at(self, point: Point) -> float:
        if _key(point) in self._confirmed:
            return 0.0
        reached = min(value(plane, point) for plane in self._cells)
        return 1 - max(0.0, self._bound(point)) / reached if reached > 0 else 0.0

    def _confirm(self, point: Point, plane: Plane) -> None:
        least = value(plane, point)
        self._confirmed[_key(point)] = (point, least)
        known = min((value(each, point) for each in self._cells), default=None)
        if known is None or least < known - abs(known) * _ROUNDING:
            self.add(plane)

    def _waiting(self, most: int) -> list[Point]:
        """Vertices to ask for, those with the largest gap where there are more."""
        found = {_key(point): point for cell in self._cells.values() for point in cell}
        points = [point for key, point in found.items() if key not in self._confirmed]
        return points if len(points) <= most else sorted(points, key=self._gap_at, reverse=True)[:most]

    def _bound(self, at: Point) -> float:
        """The highest that a triangle of confirmed points is there."""
        import numpy as np

        every = list(self._confirmed.values())
        corners, rest = every[: len(self._corners)], every[len(self._corners) :]
        rest.sort(key=lambda each: abs(np.log(each[0][0] / at[0])) + abs(np.log(each[0][1] / at[1])))
        points = np.array([(x, y, least) for (x, y), least in [*corners, *rest[:_NEAREST]]])
        one, two, three = points[np.array(list(itertools.combinations(range(len(points)), 3))).T]
        to_two, to_three, to_it = two - one, three - one, np.array([*at, 0.0]) - one
        with np.errstate(divide="ignore", invalid="ignore"):
            area = to_two[:, 0] * to_three[:, 1] - to_two[:, 1] * to_three[:, 0]
            second = (to_it[:, 0] * to_three[:, 1] - to_it[:, 1] * to_three[:, 0]) / area
            third = (to_two[:, 0] * to_it[:, 1] - to_two[:, 1] * to_it[:, 0]) / area
            first = 1 - second - third
            around = (area != 0) & (np.minimum(first, np.minimum(second, third)) >= -_ROUNDING)
            height = first * one[:, 2] + second * two[:, 2] + third * three[:, 2]
        return float(height[around].max(initial=0.0))


def _key(point: Point) -> tuple[str, str]:
    return f"{point[0]:.9e}", f"{point[1]:.9e}"


def _clipped(cell: Sequence[Point], lower: Plane, upper: Plane) -> list[Point]:
    """The part of a convex polygon in which one plane is not above another."""
    above = [
        (lower[0] - upper[0]) + (lower[1] - upper[1]) * x + (lower[2] - upper[2]) * y for x, y in cell
    ]  # fmt: skip
    if all(each <= 0 for each in above):
        return list(cell)
    found: list[Point] = []
    for at, here in enumerate(cell):
        one, other, there = above[at - 1], above[at], cell[at - 1]
        if one < 0 < other or other < 0 < one:
            part = one / (one - other)
            found.append((there[0] + part * (here[0] - there[0]), there[1] + part * (here[1] - there[1])))
        if other <= 0:
            found.append(here)
    return found
