"""How the joules of a whole model divide over its kernel groups, of which only some were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from offload.artifacts.energy import ProfileEnergy
from offload.artifacts.estimate import CONFIDENCE, Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GroupShares:
    """How the whole's joules divide over its kernel groups.

    A measured group draws the power it was measured with, for the time it takes in the whole. The others draw the
    mean power of the measured groups of their kind; where none was, that of the whole. What the powers give is then
    scaled so that the groups sum to the measured whole.
    """

    def __init__(self, energy: ProfileEnergy, kinds: Sequence[str], times_s: NDArray[np.float64]) -> None:
        """Estimate every group's power.

        Args:
            energy: What was read.
            kinds: Kind of each group.
            times_s: Time of each group in the whole, closed; float64 seconds, shape (groups,).
        """
        import numpy as np

        self._energy, self._times_s = energy, times_s
        whole = energy.whole_power_w
        known = {measured.group: energy.power_of(measured) for measured in energy.groups}
        by_kind: dict[str, list[float]] = {}
        for number, power in known.items():
            by_kind.setdefault(kinds[number], []).append(power.value)
        within, between = _spreads(by_kind, whole.value, energy.idle_power_w.value)
        count = len(kinds)
        self._power_w = np.zeros(count)
        self._own_w, self._common_w = np.zeros(count), np.zeros(count)
        every_kind = list(dict.fromkeys(kinds))
        self._kind = np.array([every_kind.index(kind) for kind in kinds])
        for number, kind in enumerate(kinds):
            powers = by_kind.get(kind, ())
            if number in known:
                power = known[number]
                self._power_w[number], self._own_w[number] = power.value, (power.high - power.low) / 2
            elif powers:
                self._power_w[number] = sum(powers) / len(powers)
                self._own_w[number], self._common_w[number] = within, within / len(powers) ** 0.5
            else:
                # A kind of which nothing is known may be off as a whole: all of it is in common.
                self._power_w[number], self._common_w[number] = whole.value, between
        self._raw_j = self._power_w * times_s

    @property
    def raw_gap(self) -> float:
        """How far the groups' joules are from the whole's before they are closed, as a fraction of the whole's."""
        return float(self._raw_j.sum()) / self._energy.whole_j.value - 1

    def joules_of(self, groups: Sequence[int], time_s: Estimate) -> Estimate:
        """Gross joules of some groups in one run.

        What is wrong by the same factor everywhere is taken out by closing: of the groups' own uncertainty only that
        of their share is left, and for all groups together that of the whole.

        Args:
            groups: Their numbers.
            time_s: Their time in one run.
        """
        import numpy as np

        inside = np.zeros(len(self._raw_j), dtype=bool)
        inside[list(groups)] = True
        whole, total = self._energy.whole_j, float(self._raw_j.sum())
        share = float(self._raw_j[inside].sum()) / total
        # d ln(a / (a + b)) = b / (a + b) (d ln a - d ln b)
        of_share = (1 - share) * (self._relative(inside) ** 2 + self._relative(~inside) ** 2) ** 0.5
        value = whole.value * share
        rest = of_share**2 + time_s.relative_half_width**2
        below = value * (rest + (1 - whole.low / whole.value) ** 2) ** 0.5
        above = value * (rest + (whole.high / whole.value - 1) ** 2) ** 0.5
        return Estimate(value=value, low=max(0.0, value - below), high=value + above)

    def _relative(self, some: NDArray[np.bool_]) -> float:
        """Half width of the powers' interval for some groups together, as a fraction of their joules."""
        import numpy as np

        joules = float(self._raw_j[some].sum())
        if not joules:
            return 0.0
        own = self._own_w * self._times_s * some
        common = np.bincount(self._kind, weights=self._common_w * self._times_s * some)
        return float(((own**2).sum() + (common**2).sum()) ** 0.5) / joules


def _spreads(by_kind: Mapping[str, Sequence[float]], whole_w: float, idle_w: float) -> tuple[float, float]:
    """Half widths, in watts, of the 95 % interval of one more group's power, and of one more kind's.

    From the spread of the groups around the mean of their kind, pooled over the kinds (Student's t), and from that of
    the kinds' means around the whole's power. Where there are too few to show a spread, that of all groups, and at
    last all that the whole draws above idle, stands in.
    """
    means = {kind: sum(powers) / len(powers) for kind, powers in by_kind.items()}
    pooled = _half_width(
        [power - means[kind] for kind, powers in by_kind.items() for power in powers],
        sum(len(powers) - 1 for powers in by_kind.values()),
    )
    between = _half_width([mean - whole_w for mean in means.values()], len(means) - 1)
    anything = abs(whole_w - idle_w)
    between = anything if between is None else between
    return (between if pooled is None else pooled), between


def _half_width(deviations: Sequence[float], freedom: int) -> float | None:
    from scipy.special import stdtrit

    if freedom < 1:
        return None
    variance = sum(deviation**2 for deviation in deviations) / freedom
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * variance**0.5)
