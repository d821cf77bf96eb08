"""ONNX Runtime's profile (`SessionOptions.enable_profiling`).

A list of Chrome trace events: `cat` `Session` with `model_run` for each run, `cat` `Node` with `NAME_kernel_time` for
each node of the optimised graph, in microseconds without a fraction. Kernels are mapped by `kernel_mapping` after ONNX
Runtime here has optimised the model as it may have been, at each of its levels; the one whose names hold most of the
trace's time is taken. Where few names fit, as after another export, the model is run here once, and operators and
output shapes are compared in the order of execution. Kernels without a place are looked up among the layers by name.

`model_run` is the whole; it holds what the profiler itself takes, so layers are not scaled to it. Nodes of a
subgraph are counted with the node that holds them. Where the trace has a GPU's kernels (`cat` `Kernel`), they follow
the node that launched them and tell its time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offload.errors import OffloadError
from offload.models.loaded import LoadedModel, LoadedOnnxModel
from offload.profilers.imports.alignment import aligned
from offload.profilers.imports.base import TracedKernel, TracedRuns, moment_of, other_model, seconds_of, without_warm_up
from offload.profilers.imports.layer_names import LayerNames
from offload.profilers.kernel_mapping import map_kernels
from offload.profilers.layers import random_feeds
from offload.runtimes.onnxruntime import OnnxRuntimeSession, Optimisation, create_session, session_options

if TYPE_CHECKING:
    import onnx

_KERNEL = "_kernel_time"
_LEVELS: tuple[Optimisation, ...] = ("all", "extended", "basic")
_MICRO = 1e-6
_ROUNDED_S = 2e-6
_MOST_TIME = 0.5
"""Of a trace's time in kernels whose names fit: with less, it is of another export, and names that fit do by chance."""
_MOST_KERNELS = 0.9
"""Of a trace's kernels that must have their place when they are told by operator and shape alone."""


@dataclass
class _Run:
    """One run of the model in a trace."""

    start: float
    end: float
    whole_s: float
    times_s: dict[str, float] = field(default_factory=dict)
    """By node, in the order of execution."""


class OnnxRuntimeReader:
    """Reads `SessionOptions.enable_profiling`."""

    runtime = "onnxruntime"
    takes_torch = False

    def recognises(self, document: object) -> bool:
        """See `TraceReader.recognises`."""
        if not isinstance(document, list):
            return False
        return any(isinstance(event, dict) and event.get("cat") in ("Session", "Node") for event in document[:100])

    def read(self, document: Any, model: LoadedModel, *, source: Path) -> TracedRuns:
        """See `TraceReader.read`."""
        if not isinstance(model, LoadedOnnxModel):
            raise TypeError(f"an ONNX Runtime trace is of an ONNX model, not of a {type(model).__name__}")
        events = [event for event in document if isinstance(event, dict)]
        runs = _runs(events, source)
        left_out = without_warm_up(len(runs))
        kept = runs[left_out:]
        names = list(dict.fromkeys(name for run in kept for name in run.times_s))
        if not names:
            raise OffloadError(f"{source} holds runs, but no kernel", hint="profile the session that ran the model")
        about = {_node(event): event.get("args", {}) for event in events if _is_kernel(event)}
        layers = _layers_of(names, about, kept, model, source)
        _check_shapes(about, layers, model, source)
        return TracedRuns(
            kernels=tuple(
                TracedKernel(
                    name=name, layers=layers[name], samples_s=tuple(run.times_s.get(name, 0.0) for run in kept)
                )
                for name in names
            ),
            whole_s=tuple(run.whole_s for run in kept),
            version=None,
            device="cuda:0" if any(_on_cuda(about[name]) for name in names) else "cpu",
            threads=next(filter(None, (_threads(about[name]) for name in names)), None),
            warm_up_runs=left_out,
        )


def _is_kernel(event: Mapping[str, Any]) -> bool:
    name = event.get("name")
    return event.get("cat") == "Node" and isinstance(name, str) and name.endswith(_KERNEL)


def _node(event: Mapping[str, Any]) -> str:
    return str(event["name"]).removesuffix(_KERNEL)


def _span(event: Mapping[str, Any], source: Path) -> tuple[float, float]:
    """Start and length in seconds."""
    name = f"{event.get('name')!s:.60}"
    start = moment_of(event.get("ts"), _MICRO, what=f"`ts` of {name}", source=source)
    return start, seconds_of(event.get("dur"), _MICRO, what=f"`dur` of {name}", source=source)


def _runs(events: Sequence[Mapping[str, Any]], source: Path) -> list[_Run]:
    runs = []
    for event in events:
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            start, length = _span(event, source)
            runs.append(_Run(start=start, end=start + length, whole_s=length))
    runs.sort(key=lambda run: run.start)
    if not runs:
        raise OffloadError(
            f"{source} holds no run of the model", hint="run the session before `session.end_profiling()`"
        )
    if any(later.start < earlier.end - _ROUNDED_S for earlier, later in pairwise(runs)):
        raise OffloadError(
            f"{source} holds runs that overlap, whose times cannot be told apart",
            hint="record runs of one session, one after the other",
        )
    launched: dict[int, float] = {}
    launcher = None
    for event in events:  # a GPU's kernels follow the node that launched them
        if _is_kernel(event):
            launcher = event
        elif event.get("cat") == "Kernel" and launcher is not None:
            launched[id(launcher)] = launched.get(id(launcher), 0.0) + _span(event, source)[1]
    waiting = iter(runs)
    run = next(waiting)
    for event, start, length in _outermost(events, source):
        while start >= run.end and (later := next(waiting, None)) is not None:
            run = later
        if run.start <= start <= run.end:
            taken = launched.get(id(event), 0.0) if launched and _on_cuda(event.get("args", {})) else length
            run.times_s[_node(event)] = run.times_s.get(_node(event), 0.0) + taken
    return runs


def _outermost(events: Sequence[Mapping[str, Any]], source: Path) -> Iterator[tuple[Mapping[str, Any], float, float]]:
    """Kernels in the order of their starts, but not those that ran within another on the same thread."""
    spans = [(event, *_span(event, source)) for event in events if _is_kernel(event)]
    spans.sort(key=lambda span: (span[1], -span[2]))
    ends: dict[str, float] = {}
    for event, start, length in spans:
        thread = str(event.get("tid"))
        if start + length > ends.get(thread, -1.0) or start >= ends.get(thread, -1.0):
            ends[thread] = start + length
            yield event, start, length


def _on_cuda(args: object) -> bool:
    return isinstance(args, dict) and args.get("provider") in ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def _threads(args: object) -> int | None:
    """The main thread and the pool's workers, where the trace tells of them."""
    stats = args.get("thread_scheduling_stats") if isinstance(args, dict) else None
    workers = stats.get("sub_threads") if isinstance(stats, dict) else None
    return 1 + len(workers) if isinstance(workers, dict) else None


def _layers_of(
    names: Sequence[str], about: Mapping[str, Any], runs: Sequence[_Run], model: LoadedOnnxModel, source: Path
) -> dict[str, tuple[int, ...]]:
    time_s = {name: sum(run.times_s.get(name, 0.0) for run in runs) for name in names}
    best: dict[str, tuple[int, ...]] = {}
    for optimised in _optimised(model):
        blocks = {kernel: block.layers for block in map_kernels(model.graph, optimised) for kernel in block.kernels}
        found = {name: blocks[name] for name in names if name in blocks}
        if not best or sum(time_s[name] for name in found) > sum(time_s[name] for name in best):
            best = found
        if len(best) == len(names):
            return best
    if sum(time_s[name] for name in best) < _MOST_TIME * sum(time_s.values()):
        best = _by_operators(names, about, model) or best
    known = LayerNames(model.graph)
    for name in names:
        index = None if name in best else known.index(name)
        if index is not None:
            best[name] = (index,)
    if not best:
        raise other_model(source, model, f"none of its kernels, {names[0]} the first, is one of the model's")
    return {name: best.get(name, ()) for name in names}


def _optimised(model: LoadedOnnxModel) -> Iterator[onnx.ModelProto]:
    """The model as ONNX Runtime may execute it: the file that was named as it is, and its canonical form."""
    import onnx

    forms: list[Path | bytes] = [Path(model.spec)] if model.spec.endswith(".onnx") else []
    forms.append(model.onnx)
    with tempfile.TemporaryDirectory(prefix="offload-import-") as folder:
        path = Path(folder) / "optimised.onnx"
        for form in forms:
            for level in _LEVELS:
                options = session_options(threads=1, optimisation=level)
                options.log_severity_level = 4
                options.optimized_model_filepath = str(path)
                create_session(form, options)
                yield onnx.load(str(path), load_external_data=False)


def _by_operators(names: Sequence[str], about: Mapping[str, Any], model: LoadedOnnxModel) -> dict[str, tuple[int, ...]]:
    """Kernels matched by operator and output shape, in the order in which the model's run when it is run here once.

    Empty unless all kernels that compute something have their place, and nearly all of the others.
    """
    theirs = [_operator(_args(about, name)) for name in names]
    for level in _LEVELS:
        blocks, own = _run_here(model, level)
        try:
            places = aligned([_operator(_args(own, name)) for name in own], theirs)
        except ValueError:
            continue
        found = {
            names[at]: blocks[name] for name, at in zip(own, places, strict=True) if at is not None and name in blocks
        }
        covered = {index for layers in found.values() for index in layers}
        complete = not any(layer.flops and index not in covered for index, layer in enumerate(model.graph.layers))
        if complete and len(found) >= _MOST_KERNELS * len(names):
            return found
    return {}


def _run_here(model: LoadedOnnxModel, level: Optimisation) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The layers of each kernel, and what a trace recorded here tells of each, in the order of execution."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="offload-import-") as folder:
        path = Path(folder) / "optimised.onnx"
        options = session_options(threads=1, optimisation=level)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "trace")
        options.optimized_model_filepath = str(path)
        session = create_session(model.onnx, options)
        OnnxRuntimeSession(session, threads=1).run(random_feeds(model.graph))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        optimised = onnx.load(str(path), load_external_data=False)
    blocks = {kernel: block.layers for block in map_kernels(model.graph, optimised) for kernel in block.kernels}
    return blocks, {_node(event): event.get("args", {}) for event in events if _is_kernel(event)}


def _operator(args: Mapping[str, Any]) -> tuple[object, ...]:
    return args.get("op_name"), _unpadded(_traced_shape(args))


def _args(about: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    args = about[name]
    return args if isinstance(args, dict) else {}


def _shape_after(layers: tuple[int, ...], model: LoadedModel) -> tuple[int, ...]:
    return model.graph.tensor_by_name[model.graph.layers[layers[-1]].outputs[0]].shape


def _traced_shape(args: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The shape of a kernel's first output; None where the trace does not tell."""
    shapes = args.get("output_type_shape")
    first = shapes[0] if isinstance(shapes, list) and shapes else None
    shape = next(iter(first.values()), None) if isinstance(first, dict) else None
    return tuple(shape) if isinstance(shape, list) and all(isinstance(size, int) for size in shape) else None


def _unpadded(shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """A shape without its channels, which a blocked layout pads."""
    return shape if shape is None or len(shape) < 3 else (shape[0], *shape[2:])


def _check_shapes(
    about: Mapping[str, Any], layers: Mapping[str, tuple[int, ...]], model: LoadedModel, source: Path
) -> None:
    """Refuse a trace of other input shapes, in which most kernels make tensors of another shape than the layers do."""
    like, unlike = 0, []
    for name, named in layers.items():
        traced = _traced_shape(_args(about, name)) if named else None
        if traced is None:
            continue
        made = [output for index in named for output in model.graph.layers[index].outputs]
        if _unpadded(traced) in {_unpadded(model.graph.tensor_by_name[output].shape) for output in made}:
            like += 1
        else:
            unlike.append((name, traced, _shape_after(named, model)))
    if len(unlike) > like:
        name, *shapes = unlike[0]
        shown = ["×".join(map(str, each)) for each in shapes]
        raise other_model(source, model, f"{name} makes {shown[0]} in the trace, {shown[1]} in the model")
