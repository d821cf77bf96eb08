"""How fast each server is just now, learnt from what its answers took (ELF's passive profiling)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from offload.video.partitioning import ServerCost

_LEARNING = 0.3
"""Weight of the newest answer: after ten frames 3 % of what was believed before is left."""
_FORGETTING = 0.02
"""Likewise, of what was measured before, in a frame without an answer: 35 frames halve what was learnt."""
_LEAST, _MOST = 0.05, 50.0


@dataclass(kw_only=True)
class Capacity:
    """One server's speed against what was measured of it before.

    Args:
        cost: What was measured.
    """

    cost: ServerCost
    _slower: float = field(default=1.0, init=False)

    @property
    def now(self) -> ServerCost:
        """What the server is thought to take at present."""
        return replace(
            self.cost,
            fixed_s=self.cost.fixed_s * self._slower,
            seconds_per_pixel=self.cost.seconds_per_pixel * self._slower,
        )

    def observe(self, pixels: float, took_s: float) -> None:
        """An answer about so many pixels that took so long; see `passive` for what of it counts."""
        ratio = min(_MOST, max(_LEAST, took_s / max(self.cost.time_s(pixels), 1e-9)))
        self._slower += _LEARNING * (ratio - self._slower)

    def idle(self) -> None:
        """A frame that asked it nothing: what was measured before slowly counts again, or it would never be asked."""
        self._slower += _FORGETTING * (1 - self._slower)
