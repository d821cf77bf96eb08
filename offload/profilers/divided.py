"""Run a profiled model in two parts, at a few cuts: what that takes beyond its layers no profile of the whole shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from offload.artifacts.dividing import DividedRuns
from offload.artifacts.profile import Profile
from offload.graph.cuts import Cut, prefix_cuts
from offload.models.loaded import LoadedModel
from offload.models.segments import sides
from offload.profilers.rests import PAUSE_S, timed_after_rest
from offload.progress import Progress
from offload.runtimes.base import Runtime

if TYPE_CHECKING:
    from offload.runtimes.base import Array, Session

_CUTS = 4
_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 7


def divided_runs(
    profile: Profile,
    model: LoadedModel,
    runtime: Runtime,
    feeds: Mapping[str, Array],
    *,
    threads: int,
    budget_s: float,
    progress: Progress,
) -> tuple[DividedRuns, ...]:
    """Rounds of head, tail and whole, at cuts spread over the model; those that the budget suffices for.

    Args:
        profile: The times of the whole and its layers.
        model: What was profiled.
        runtime: What runs it.
        feeds: Inputs of the whole.
        threads: Threads of the runtime.
        budget_s: Seconds of rounds; where not even a few at every cut fit, there are none.
        progress: Told of cuts done.
    """
    cuts = list(_spread_cuts(profile))
    round_s = 4 * profile.whole.value + 3 * PAUSE_S
    rounds = min(_MOST_ROUNDS, int(budget_s / (round_s * max(1, len(cuts)))))
    if not cuts or rounds < _FEWEST_ROUNDS:
        return ()
    found = []
    progress.start("dividing", len(cuts))
    try:
        whole = runtime.load(model.whole, threads=threads)
        for cut in cuts:
            found.append(_runs(cut, whole, model, runtime, feeds, threads=threads, rounds=rounds))
            progress.advance()
    finally:
        progress.finish()
    return tuple(found)


def _spread_cuts(profile: Profile) -> Iterator[Cut]:
    """Of each quarter of the model's time the cut between kernels that sends least."""
    graph = profile.graph
    quarters: dict[int, tuple[int, Cut]] = {}
    group_of, last_of = profile.group_of_layer, [max(group.layers) for group in profile.groups]
    first_of = [min(group.layers) for group in profile.groups]
    done, reach = 0.0, -1
    for length, cut in enumerate(prefix_cuts(graph)):
        if 0 < length < len(graph.layers):
            group = group_of[length - 1]
            reach = max(reach, last_of[group])
            if first_of[group] == length - 1:
                done += float(profile.group_medians_s[group])
            if reach < length:
                size = sum(graph.tensor_by_name[name].size_bytes for name in cut.crossing)
                quarter = min(_CUTS - 1, int(_CUTS * done / profile.whole.value))
                if quarter not in quarters or size < quarters[quarter][0]:
                    quarters[quarter] = (size, cut)
    for _, cut in quarters.values():
        if all(side.computes for side in sides(graph, cut)):
            yield cut


def _runs(
    cut: Cut,
    whole: Session,
    model: LoadedModel,
    runtime: Runtime,
    feeds: Mapping[str, Array],
    *,
    threads: int,
    rounds: int,
) -> DividedRuns:
    segments = model.divide(cut)
    if segments.head is None or segments.tail is None:
        raise ValueError("both parts must have something to compute")
    head, tail = (runtime.load(segment, threads=threads) for segment in (segments.head, segments.tail))
    head_feeds = {name: feeds[name] for name in segments.head.inputs}
    known = {**feeds, **head.run(head_feeds)}
    tail_feeds = {name: known[name] for name in segments.tail.inputs}
    samples = [
        tuple(timed_after_rest(*run) for run in ((whole, feeds), (head, head_feeds), (tail, tail_feeds)))
        for _ in range(rounds + 1)
    ][1:]  # the first warms up
    whole_s, head_s, tail_s = zip(*samples, strict=True)
    return DividedRuns(
        device_layers=tuple(sorted(cut.device)), whole_s=tuple(whole_s), head_s=tuple(head_s), tail_s=tuple(tail_s)
    )
