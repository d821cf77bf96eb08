"""The energy of a profile: the procedure on a real model, its groups cut out and fed with what they read in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from offload.artifacts.energy import ProfileEnergy
from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.models.loaded import LoadedModel
from offload.models.segments import Side, side_of
from offload.profilers.energy.base import Meter
from offload.profilers.energy.measure import (
    Repeat,
    affordable_groups,
    choose_groups,
    measure_energy,
    sensor_period_s,
)
from offload.profilers.layers import random_feeds
from offload.progress import NullProgress, Progress
from offload.runtimes.base import Runtime

if TYPE_CHECKING:
    from offload.runtimes.base import Array, Session


def with_energy(
    profile: Profile,
    model: LoadedModel,
    runtime: Runtime,
    meter: Meter,
    *,
    threads: int,
    budget_s: float,
    progress: Progress | None = None,
) -> Profile:
    """The profile with the energy of its model and of some of its groups measured.

    When the meter fails on the way, the times are kept and `energy_lost` says why there is no energy.

    Args:
        profile: The times, measured with this runtime.
        model: What was profiled.
        runtime: What runs it.
        meter: What to read; it is entered and left here.
        threads: Threads of the runtime.
        budget_s: Seconds to spend about.
        progress: Told of windows done.
    """
    try:
        with meter:
            energy = _measured(profile, model, runtime, meter, threads, budget_s, progress or NullProgress())
    except OffloadError as error:
        return profile.model_copy(update={"energy_lost": error.message})
    except KeyboardInterrupt:
        return profile.model_copy(update={"energy_lost": "measuring was interrupted", "stopped": "interrupted"})
    idle_power_w = profile.idle_power_w or energy.idle_power_w.value
    return profile.model_copy(update={"energy": energy, "idle_power_w": idle_power_w})


def _measured(
    profile: Profile,
    model: LoadedModel,
    runtime: Runtime,
    meter: Meter,
    threads: int,
    budget_s: float,
    progress: Progress,
) -> ProfileEnergy:
    feeds = random_feeds(model.graph)
    whole = _repeat(runtime.load(model.whole, threads=threads), feeds)
    whole(1)
    with running(whole):
        period_s = sensor_period_s(meter)
    sides = [side_of(model.graph, group.layers) for group in profile.groups]
    times_s = [
        float(seconds) if side.computes and group.kernels else 0.0
        for group, side, seconds in zip(profile.groups, sides, profile.group_medians_s, strict=True)
    ]
    kinds = profile.group_kinds
    chosen = choose_groups(kinds, times_s, affordable_groups(budget_s, period_s, kinds=len(set(kinds))))
    inner = _inner_values(model, runtime, [sides[number] for number in chosen], feeds, threads)
    groups = {
        number: _repeat(
            runtime.load(model.segment(sides[number]), threads=threads),
            {name: inner[name] for name in sides[number].inputs},
        )
        for number in chosen
    }
    return measure_energy(meter, whole, groups, period_s=period_s, budget_s=budget_s, progress=progress)


def _repeat(session: Session, feeds: dict[str, Array]) -> Repeat:
    return partial(session.repeat, feeds)


def _inner_values(
    model: LoadedModel, runtime: Runtime, sides: Sequence[Side], feeds: dict[str, Array], threads: int
) -> dict[str, Array]:
    """What the sides read, as one run of the model makes it: power depends on the data, too."""
    graph = model.graph
    read = dict.fromkeys(name for side in sides for name in side.inputs)
    made = tuple(name for name in read if name in graph.producer)
    if not made:
        return feeds
    everything = Side(layers=tuple(range(len(graph.layers))), inputs=graph.inputs, outputs=made)
    return feeds | runtime.load(model.segment(everything), threads=threads).run(feeds)


@contextmanager
def running(repeat: Repeat) -> Iterator[None]:
    """Something for a sensor to see while its period is measured: a power's figure may stand still while idle."""
    stop = threading.Event()

    def keep_running() -> None:
        with suppress(OffloadError):
            while not stop.is_set():
                repeat(1)

    thread = threading.Thread(target=keep_running, name="offload-load", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
