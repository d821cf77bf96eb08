"""torch.profiler's Chrome trace (`export_chrome_trace`).

`{"traceEvents": […]}`: operators are `ph` `X`, `cat` `cpu_op`, `name` `aten::conv2d`, nested as they call one another,
in microseconds; steps are `ProfilerStep#N`; a GPU's kernels (`cat` `kernel`, `gpu_memcpy`, `gpu_memset`) name the
operator that launched them by `External id`, or by the `correlation` of the launch within it.

Operators that the program called itself are laid beside the model's layers in order (longest common subsequence of
their names, `relu_` and `relu` the same); one that is no layer is taken apart into those that it called. Time is that
of the operator on the CPU, or of its kernels where the trace has a GPU's. What comes before the model's first operator
and after its last in a step (making inputs, copying) is not the model's and left out; what is between, such as a
dropout that does nothing, is counted with the layer before it. The whole is the time from the first to the last.
Without steps, a trace of several equal runs is divided into them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offload.errors import OffloadError
from offload.models.aten_operators import is_view
from offload.models.loaded import LoadedModel
from offload.profilers.imports.alignment import aligned
from offload.profilers.imports.base import TracedKernel, TracedRuns, moment_of, other_model, seconds_of, without_warm_up

_STEP = re.compile(r"ProfilerStep#(\d{1,9})")
_ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")
_LAUNCHES = ("cuda_runtime", "cuda_driver")
_DEEPEST = 100
_SAME = {
    "view": "reshape",
    "unsafe_view": "reshape",
    "native_batch_norm_legit_no_training": "batch_norm",
    "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "to_copy": "to",
}
"""What an exported program calls otherwise than a module does, without leading underscores."""
_MICRO = 1e-6
_LATEST_US = 1e18


@dataclass(eq=False)
class _Operator:
    """One call of an operator, and what it called."""

    name: str
    start: float
    seconds: float
    args: Mapping[str, Any]
    inside: list[_Operator] = field(default_factory=list)
    gpu_s: float = 0.0
    """Of kernels that it launched itself."""
    gpu_start: float = float("inf")
    gpu_end: float = 0.0

    @property
    def end(self) -> float:
        """When it returned."""
        return self.start + self.seconds

    @property
    def key(self) -> str:
        """Its name as layers are named: no namespace, in place or not."""
        return _key(self.name.rpartition("::")[2])


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One step of the profiler."""

    number: int
    start: float
    end: float
    thread: object


@dataclass(frozen=True, kw_only=True)
class _Timed:
    """An operator of the sequence that is laid beside the layers."""

    key: str
    name: str
    shapes: Sequence[tuple[int, ...]]
    """Of its inputs, where the trace tells."""
    seconds: float
    start: float
    end: float


class TorchReader:
    """Reads `torch.profiler.profile.export_chrome_trace`."""

    runtime = "torch"
    takes_torch = True

    def recognises(self, document: object) -> bool:
        """See `TraceReader.recognises`."""
        return isinstance(document, dict) and isinstance(document.get("traceEvents"), list)

    def read(self, document: Any, model: LoadedModel, *, source: Path) -> TracedRuns:
        """See `TraceReader.read`."""
        events = [event for event in document["traceEvents"] if isinstance(event, dict) and event.get("ph") == "X"]
        _count_from_the_first(events)
        steps = _steps(events, source)
        operators = _operators(events, steps[0].thread if steps else None, source)
        on_gpu = _add_gpu_times(events, operators, source)
        known = {_key(layer.op) for layer in model.graph.layers}
        if steps:
            parts = [
                [
                    timed
                    for operator in operators
                    if step.start <= operator.start < step.end
                    for timed in _sequence(operator, known, on_gpu)
                ]
                for step in steps
            ]
            warm = steps[0].number > 0  # the schedule had a warm-up of its own
        else:
            parts = _repetitions([timed for one in operators for timed in _sequence(one, known, on_gpu)], model)
            warm = False
        parts = [part for part in parts if part]
        if not parts:
            raise OffloadError(f"{source} holds no operator in its steps", hint="call `prof.step()` after each run")
        left_out = 0 if warm else without_warm_up(len(parts))
        return _traced(parts[left_out:], model, on_gpu, left_out, document, source)


def _count_from_the_first(events: Sequence[dict[str, Any]]) -> None:
    """Make moments those since the first event: counted from 1970, a float of seconds would hold no nanoseconds."""
    told = [event for event in events if isinstance(event.get("ts"), int | float) and abs(event["ts"]) < _LATEST_US]
    first = min((event["ts"] for event in told), default=0)
    for event in told:
        event["ts"] -= first


def _key(name: str) -> str:
    bare = name.strip("_")
    return _SAME.get(bare, bare)


def _steps(events: Sequence[Mapping[str, Any]], source: Path) -> list[_Step]:
    steps = []
    for event in events:
        matched = _STEP.fullmatch(str(event.get("name"))) if event.get("cat") != "gpu_user_annotation" else None
        if matched:
            start = moment_of(event.get("ts"), _MICRO, what=f"`ts` of {matched[0]}", source=source)
            length = seconds_of(event.get("dur"), _MICRO, what=f"`dur` of {matched[0]}", source=source)
            steps.append(_Step(number=int(matched[1]), start=start, end=start + length, thread=event.get("tid")))
    return sorted(steps, key=lambda step: step.start)


def _operators(events: Sequence[Mapping[str, Any]], thread: object, source: Path) -> list[_Operator]:
    """What the program called itself, in order, on the thread of its steps or on the busiest one."""
    by_thread: dict[str, list[_Operator]] = {}
    for event in events:
        if event.get("cat") in ("cpu_op", "Operator"):
            name, args = f"{event.get('name')!s:.200}", event.get("args")
            start = moment_of(event.get("ts"), _MICRO, what=f"`ts` of {name}", source=source)
            length = seconds_of(event.get("dur"), _MICRO, what=f"`dur` of {name}", source=source)
            made = _Operator(name, start, length, args if isinstance(args, dict) else {})
            by_thread.setdefault(str(event.get("tid")), []).append(made)
    if not by_thread:
        raise OffloadError(
            f"{source} holds no operator",
            hint="record ProfilerActivity.CPU, and with a schedule export the trace in `on_trace_ready`",
        )
    busiest = max(by_thread, key=lambda name: len(by_thread[name]))
    chosen = by_thread.get(str(thread), by_thread[busiest])
    chosen.sort(key=lambda operator: (operator.start, -operator.end))
    outer: list[_Operator] = []
    open_: list[_Operator] = []
    for operator in chosen:
        while open_ and operator.start >= open_[-1].end:
            open_.pop()
        if len(open_) >= _DEEPEST:
            raise OffloadError(f"{source} nests operators deeper than {_DEEPEST}", hint="record the trace again")
        (open_[-1].inside if open_ else outer).append(operator)
        open_.append(operator)
    return outer


def _all(operators: Sequence[_Operator]) -> list[_Operator]:
    found = list(operators)
    for operator in found:  # grows as it goes
        found.extend(operator.inside)
    return found


def _add_gpu_times(events: Sequence[Mapping[str, Any]], operators: Sequence[_Operator], source: Path) -> bool:
    """Give each operator the kernels that it launched; returns whether the trace has a GPU's at all."""
    kernels = [event for event in events if event.get("cat") in _ON_GPU]
    if not kernels:
        return False
    every = _all(operators)
    by_id = {one.args["External id"]: one for one in every if isinstance(one.args.get("External id"), int)}
    launches = {
        _args(event).get("correlation"): moment_of(event.get("ts"), _MICRO, what="`ts` of a launch", source=source)
        for event in events
        if event.get("cat") in _LAUNCHES and isinstance(_args(event).get("correlation"), int)
    }
    starts = [operator.start for operator in operators]
    for event in kernels:
        name = f"{event.get('name')!s:.60}"
        start = moment_of(event.get("ts"), _MICRO, what=f"`ts` of {name}", source=source)
        length = seconds_of(event.get("dur"), _MICRO, what=f"`dur` of {name}", source=source)
        owner, launched = None, None
        named, correlation = (_args(event).get(key) for key in ("External id", "correlation"))
        if isinstance(named, int):
            owner = by_id.get(named)
        if owner is None and isinstance(correlation, int):
            launched = launches.get(correlation)
        if launched is not None:
            owner = _innermost(operators, starts, launched)
        if owner is not None:
            owner.gpu_s += length
            owner.gpu_start, owner.gpu_end = min(owner.gpu_start, start), max(owner.gpu_end, start + length)
    return True


def _args(event: Mapping[str, Any]) -> Mapping[str, Any]:
    args = event.get("args")
    return args if isinstance(args, dict) else {}


def _innermost(operators: Sequence[_Operator], starts: Sequence[float], moment: float) -> _Operator | None:
    at = bisect_right(starts, moment) - 1
    if at < 0 or moment > operators[at].end:
        return None
    found = operators[at]
    while (inner := next((one for one in found.inside if one.start <= moment <= one.end), None)) is not None:
        found = inner
    return found


def _sequence(operator: _Operator, known: set[str], on_gpu: bool) -> list[_Timed]:
    """The operator, or those that it called where it is no layer's and one of them is."""
    every = _all([operator])
    if operator.key in known or not any(inner.key in known for inner in every):
        return [_timed(operator, every, on_gpu)]
    found = [timed for inner in operator.inside for timed in _sequence(inner, known, on_gpu)]
    own_s = operator.gpu_s if on_gpu else operator.seconds - sum(inner.seconds for inner in operator.inside)
    return [*found, _Timed(key="", name=operator.name, shapes=(), seconds=max(0.0, own_s),
                           start=operator.start, end=operator.end)]  # fmt: skip


def _timed(operator: _Operator, every: Sequence[_Operator], on_gpu: bool) -> _Timed:
    dims = operator.args.get("Input Dims", operator.args.get("Input dims"))
    shapes = [
        tuple(shape)
        for shape in (dims if isinstance(dims, list) else ())
        if isinstance(shape, list) and shape and all(isinstance(size, int) for size in shape)
    ]
    launched = [one for one in every if one.gpu_end]
    if on_gpu and launched:
        start, end = min(one.gpu_start for one in launched), max(one.gpu_end for one in launched)
    else:
        start, end = operator.start, operator.end
    return _Timed(
        key=operator.key,
        name=operator.name,
        shapes=shapes,
        seconds=sum(one.gpu_s for one in every) if on_gpu else operator.seconds,
        start=start,
        end=end,
    )


def _repetitions(whole: Sequence[_Timed], model: LoadedModel) -> list[list[_Timed]]:
    """The runs in a trace without steps: as many equal ones as each hold all of the model's work."""
    keys = [timed.key for timed in whole]
    work = [_key(layer.op) for layer in model.graph.layers if layer.flops]
    most = min((keys.count(op) // work.count(op) for op in set(work)), default=1)
    for runs in range(most, 1, -1):
        size, rest = divmod(len(keys), runs)
        if not rest and keys == keys[:size] * runs:
            return [list(whole[at : at + size]) for at in range(0, len(keys), size)]
    return [list(whole)]


def _traced(
    parts: Sequence[Sequence[_Timed]],
    model: LoadedModel,
    on_gpu: bool,
    left_out: int,
    document: Mapping[str, Any],
    source: Path,
) -> TracedRuns:
    layers = model.graph.layers
    ours = [_key(layer.op) for layer in layers]
    places: list[list[int | None]] = []
    for part in parts:
        theirs = [timed.key for timed in part]
        if places and theirs == [timed.key for timed in parts[len(places) - 1]]:
            places.append(places[-1])
            continue
        try:
            places.append(aligned(ours, theirs))
        except ValueError as error:
            raise other_model(source, model, str(error)) from error
        _check_named(places[-1], part, model, source)
    _check_shapes(places[0], parts[0], model, source)
    named = [index for index in range(len(layers)) if all(place[index] is not None for place in places)]
    per_run = [
        _of_a_run([(index, at) for index in named if (at := place[index]) is not None], part)
        for place, part in zip(places, parts, strict=True)
    ]
    kernels = []
    for position, index in enumerate(named):
        name = f"{layers[index].name} ({layers[index].op})"
        own = tuple(run[position][0] for run in per_run)
        after = tuple(run[position][1] for run in per_run)
        kernels.append(TracedKernel(name=name, layers=(index,), samples_s=own))
        if any(after):
            kernels.append(TracedKernel(name=f"what follows {name}", layers=(), samples_s=after))
    spans = [[part[at] for at in place if at is not None] for place, part in zip(places, parts, strict=True)]
    return TracedRuns(
        kernels=tuple(kernels),
        whole_s=tuple(max(one.end for one in span) - min(one.start for one in span) for span in spans),
        version=_version(document),
        device="cuda:0" if on_gpu else "cpu",
        warm_up_runs=left_out,
    )


def _of_a_run(places: Sequence[tuple[int, int]], part: Sequence[_Timed]) -> list[tuple[float, float]]:
    """Seconds of each layer's operator and of those between it and the next layer's; none after the last."""
    following = [at for _, at in places[1:]] + [places[-1][1] + 1]
    return [
        (part[at].seconds, sum(timed.seconds for timed in part[at + 1 : until]))
        for (_, at), until in zip(places, following, strict=True)
    ]


def _check_named(places: Sequence[int | None], part: Sequence[_Timed], model: LoadedModel, source: Path) -> None:
    """Refuse a trace that lacks a layer's operator; views and the like may be done in other ways."""
    last = -1
    for layer, place in zip(model.graph.layers, places, strict=True):
        if place is None and layer.flops and not is_view(layer.op):
            there = part[last + 1].name if last + 1 < len(part) else "nothing more"
            after = f"after {part[last].name} (operator {last + 1}) " if last >= 0 else "at its start "
            raise other_model(source, model, f"{after}it has {there} where {layer.name} is {layer.op}")
        last = last if place is None else place
    if all(place is None for place in places):
        raise other_model(source, model, f"it has no {model.graph.layers[0].op}")


def _check_shapes(places: Sequence[int | None], part: Sequence[_Timed], model: LoadedModel, source: Path) -> None:
    """Refuse a trace of other input shapes, where it tells them (`record_shapes=True`)."""
    for layer, place in zip(model.graph.layers, places, strict=True):
        if place is None or not part[place].shapes or not layer.inputs or not layer.flops:
            continue
        ours = model.graph.tensor_by_name[layer.inputs[0]].shape
        if ours not in part[place].shapes:
            shown = ["×".join(map(str, each)) for each in (part[place].shapes[0], ours)]
            raise other_model(source, model, f"{layer.name} takes {shown[0]} in the trace, {shown[1]} in the model")


def _version(document: Mapping[str, Any]) -> str | None:
    found = document.get("pytorch_version", document.get("torch_version"))
    return found[:40] if isinstance(found, str) else None
