"""The settings of ELF's loop that a video profile tries: one in the middle, and from it each alone up and down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from offload.video.compensation import Compensation
from offload.video.methods.elf import ElfSettings
from offload.video.partitioning import Rule

EXPANSIONS = (0.0, 0.1, 0.2, 0.3, 0.4)
INTERVALS = (1, 2, 3, 5, 8)
RATIOS = (0.3, 0.4, 0.5)
QUALITIES = (60, 80, 95)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to run the loop."""

    servers: int
    rule: Rule = "elf"
    expansion: float = 0.2
    interval: int = 3
    """0 sends no small frame."""
    ratio: float = 0.5
    predictor: str = "linear"
    quality: int = 80

    def loop(self, multiple: int) -> ElfSettings:
        """For a detector with this grid."""
        small = Compensation(interval=self.interval, ratio=self.ratio) if self.interval else None
        return ElfSettings(expansion=self.expansion, compensation=small, rule=self.rule, multiple=multiple)


def settings(servers: int, predictors: Sequence[str]) -> list[Setting]:
    """What to try, each once: the frame as it is first, then the middle, then the rest.

    Args:
        servers: How many there are at most.
        predictors: Names; the first is in the middle.
    """
    whole = Setting(servers=1, rule="equal", interval=0)
    middle = Setting(servers=servers, predictor=predictors[0])
    tried = [whole, middle]
    tried += [replace(middle, expansion=expansion) for expansion in EXPANSIONS]
    tried += [replace(middle, interval=interval) for interval in INTERVALS]
    tried += [replace(middle, ratio=ratio) for ratio in RATIOS]
    tried += [replace(middle, predictor=predictor) for predictor in predictors]
    tried += [replace(middle, servers=count) for count in range(1, servers + 1)]
    tried += [replace(middle, rule="published"), replace(middle, rule="equal", interval=0)]
    tried += [replace(each, quality=quality) for quality in QUALITIES for each in (middle, whole)]
    return list(dict.fromkeys(tried))
