"""The power of each family of kernels, from what whole networks draw.

A network's mean power is that of its kernels' families weighted by the time they take. Networks in which a family
takes most of the time tell its power best, so some are chosen for each family; all of them are then solved together
by least squares, which are held towards the mean of the networks so far as they leave a family's power open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from offload.models.executed import TimedNetwork
from offload.predictors.features import family_of, is_free

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Shares = Mapping[str, float]
"""Fraction of a network's time in each family."""

_FOR_EACH_FAMILY = 3
_PULL = 0.05
"""How much the mean counts in each family's power, against one network that consists of the family alone."""


def time_shares(networks: Sequence[TimedNetwork], families: frozenset[str]) -> dict[int, Shares]:
    """The shares of each network, by its number; kernels of other families, and those that only rename, are left out.

    Networks without any kernel of the families are left out.
    """
    import numpy as np

    found: dict[int, Shares] = {}
    for network in networks:
        times: dict[str, float] = {}
        for kernel, samples in zip(network.kernels, network.kernel_s, strict=True):
            family = family_of(kernel)
            if family in families and not is_free(kernel):
                times[family] = times.get(family, 0.0) + float(np.median(samples))
        total = sum(times.values())
        if total > 0:
            found[network.number] = {family: seconds / total for family, seconds in times.items()}
    return found


def choose_networks(shares: Mapping[int, Shares], *, for_each: int = _FOR_EACH_FAMILY) -> tuple[int, ...]:
    """For each family the networks in which it takes most of the time; first the best of every family."""
    families = sorted({family for one in shares.values() for family in one})
    best = {
        family: sorted(shares, key=lambda number: (-shares[number].get(family, 0.0), number))[:for_each]
        for family in families
    }
    return tuple(
        dict.fromkeys(best[family][rank] for rank in range(for_each) for family in families if rank < len(best[family]))
    )


def family_powers(
    shares: Mapping[int, Shares], networks_w: Mapping[int, float], *, idle_w: float, families: Sequence[str]
) -> dict[str, float]:
    """Gross power of each family, in watts, none below idle.

    Args:
        shares: Of the networks that were metered, by number.
        networks_w: Gross power of the same networks, in watts.
        idle_w: Gross power while nothing runs, in watts.
        families: Whose power is asked for; one that no network has draws the mean.
    """
    import numpy as np

    numbers = list(shares)
    matrix: NDArray[np.float64] = np.array([[shares[one].get(name, 0.0) for name in families] for one in numbers])
    watts = np.array([networks_w[one] for one in numbers])
    mean = float(watts.mean())
    pull = _PULL**0.5 * np.eye(len(families))
    above = np.linalg.lstsq(
        np.concatenate([matrix, pull]), np.concatenate([watts - mean, np.zeros(len(families))]), rcond=None
    )[0]
    return {name: max(float(mean + one), idle_w) for name, one in zip(families, above, strict=True)}
