"""A profile from another tool's trace.

Layers keep the times that the trace tells of them; they are not scaled to the whole, which the tool timed with its own
profiler on. Where the time without a profiler is known and given, they are closed against that as a measured profile's
are.
"""

from __future__ import annotations

from pathlib import Path

from offload.artifacts.profile import ModelIdentity, Profile, RuntimeIdentity
from offload.errors import OffloadError
from offload.models.loaded import LoadedModel
from offload.profilers.imports.base import ToolName, listed, other_model
from offload.profilers.imports.catalogue import READERS
from offload.profilers.imports.grouping import grouped

_MOST_UNMATCHED = 0.5


def imported_profile(
    document: object,
    tool: ToolName,
    model: LoadedModel,
    identity: ModelIdentity,
    *,
    source: Path,
    device: str | None,
    threads: int | None,
    total_s: float | None = None,
) -> Profile:
    """The profile that a trace tells of a model.

    Args:
        document: The trace.
        tool: What wrote it.
        model: What it is a trace of, in the form that the tool's reader takes.
        identity: What to record about the model.
        source: The trace's file.
        device: Where it was recorded; None takes what the trace tells.
        threads: On how many threads; None takes what the trace tells, or 1.
        total_s: Seconds of the whole model without a profiler, for the layers to be closed against; None leaves them.

    Raises:
        OffloadError: it holds no time, or more than half of it, or of the model's work, does not fit the model.
    """
    reader = READERS[tool]
    runs = reader.read(document, model, source=source)
    if not any(kernel.layers for kernel in runs.kernels):
        raise other_model(source, model, f"it has {listed([kernel.name for kernel in runs.kernels])}")
    if not all(time_s > 0 for time_s in runs.whole_s) or not any(any(kernel.samples_s) for kernel in runs.kernels):
        raise OffloadError(f"{source} holds no time: all of it is 0", hint="record the trace again, of more runs")
    found = grouped(model.graph, runs.kernels)
    if found.unmatched_share > _MOST_UNMATCHED:
        lost = sorted((kernel for kernel in runs.kernels if not kernel.layers), key=lambda one: -max(one.samples_s))
        share, names = 100 * found.unmatched_share, listed([kernel.name for kernel in lost])
        raise other_model(source, model, f"{share:.0f} % of its time is in what the model does not have ({names})")
    if found.unnamed_work > _MOST_UNMATCHED:
        share = 100 * found.unnamed_work
        raise other_model(source, model, f"{share:.0f} % of the model's operations are not in it")
    return Profile.create(
        model=identity,
        graph=model.graph,
        source="imported",
        runtime=RuntimeIdentity(
            name=reader.runtime,
            version=runs.version or "unknown",
            device=device or runs.device,
            threads=threads or runs.threads or 1,
        ),
        whole_s=runs.whole_s if total_s is None else (total_s,) * len(runs.whole_s),
        profiled_s=runs.whole_s,
        groups=found.groups,
        reference_s=(),
        stopped="not measured",
        imported_from=f"{tool} trace {source.name}",
        whole_declared=total_s is not None,
        unmatched_share=found.unmatched_share,
        warm_up_runs=runs.warm_up_runs,
    )
