"""Benches of codecs: bytes, accuracy and time of each method at each cut of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal, get_args

from offload.api.codecs import CodecTrainRequest, train_codecs
from offload.api.models import identity_of, load
from offload.artifacts.codec import LearnedKind
from offload.artifacts.codec_bench import CodecBench, CodecRow
from offload.artifacts.link import Link, LinkProfile
from offload.artifacts.workspace import Workspace
from offload.codecs.trained import find_trained
from offload.datasets.base import Task
from offload.environment import chosen_threads
from offload.errors import UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.datasets.base import Dataset
    from offload.models.loaded import LoadedOnnxModel
    from offload.profilers.codec_bench import Examples, TimedCodec
    from offload.runtimes.base import Runtime
    from offload.training.places import Place

LEARNED: tuple[LearnedKind, ...] = get_args(LearnedKind)
_NOT_BENCHED = ("packed", "range", "crop")
"""Parts of learned codecs, and what takes images of any size: none takes a tensor of a model's own."""
_CUTS = 6
_ROUNDS, _QUICK_ROUNDS = 15, 5
_EXAMPLES, _QUICK_EXAMPLES = 1000, 200
_TUNE_ON, _QUICK_TUNE_ON = 4000, 600
_TUNE_STEPS, _QUICK_TUNE_STEPS = 750, 100
"""Of tails; where learned codecs are at a cut, tails there are trained for as many as these, unless it is quick."""
_QUICK_EPOCHS = 1


@dataclass(frozen=True, kw_only=True)
class CodecBenchRequest:
    """What a bench of codecs is asked for."""

    model: str
    data: str
    task: Task | None = None
    """None takes what the data have answers for."""
    at: tuple[str, ...] | None = None
    """Layers or tensors, or `input`; None takes the ends of the model's stages."""
    codecs: tuple[str, ...] | None = None
    """Families; None takes all."""
    seeds: int = 1
    """How many times each learned codec is trained."""
    train: bool = True
    """Whether to train the learned codecs that the workspace does not have, and the baselines' tails."""
    examples: int | None = None
    """Of the test split; None takes 1000, or 200 of a quick bench."""
    quick: bool = False
    threads: int | None = None
    uplink_bps: float | None = None
    link: Path | None = None
    """A measured link, for the time of a transfer."""
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    weights: Path | None = None


def bench_codecs(request: CodecBenchRequest, *, workspace: Workspace, progress: Progress | None = None) -> CodecBench:
    """Measure every codec at each cut, beside the tensor as it is and the answer of the whole model.

    An interrupt keeps the methods that were measured.

    Raises:
        OffloadError: the model or the data cannot be used, or a cut is none at which one tensor crosses.
        KeyboardInterrupt: interrupted before the first method was measured.
    """
    from threadpoolctl import threadpool_limits

    from offload.codecs.catalogue import BUILDERS
    from offload.datasets.catalogue import load_dataset
    from offload.models.loaded import LoadedOnnxModel
    from offload.profilers.codec_bench import time_codecs
    from offload.runtimes.onnxruntime import OnnxRuntime

    progress = progress or NullProgress()
    if request.uplink_bps is not None and request.link is not None:
        raise UsageError("--bw and --link exclude each other", hint="a measured link has its own rate: leave one out")
    if request.codecs == ():
        raise UsageError("--codecs names no family", hint="name some, as deepcod,webp, or leave it out for all")
    families = (*LEARNED, *(name for name in BUILDERS if name not in _NOT_BENCHED))
    for family in request.codecs or ():
        if family not in families:
            raise UsageError(f"--codecs {family}: there is no such family", hint=", ".join(families))
    runtime, threads = OnnxRuntime(), chosen_threads(request.threads)
    model = load(
        request.model, runtime, inputs=request.inputs, batch=1, weights=request.weights, precision="fp32",
        workspace=workspace, progress=progress,
    )  # fmt: skip
    if not isinstance(model, LoadedOnnxModel):
        raise ValueError("ONNX Runtime loads ONNX models")
    places = _places(request, model)
    entry = model.graph.tensor_by_name[model.graph.inputs[0]]
    data = load_dataset(request.data, tensor=entry, split="test", task=request.task)
    if request.train:
        _train_missing(request, model, places, workspace, progress)
    examples = _examples(request, model, data, runtime, threads, progress)
    measured: list[_Measured] = []
    stopped: Literal["done", "interrupted"] = "done"
    try:
        for row in _rows(request, model, places, data, examples, runtime, threads, workspace, progress):
            measured.append(row)
    except KeyboardInterrupt:
        if not measured:
            raise
        stopped = "interrupted"
        progress.note("interrupted: the methods that were measured are kept")
    finally:
        progress.finish()
    jobs = [each.job for each in measured if each.job is not None]
    rounds = _QUICK_ROUNDS if request.quick or stopped == "interrupted" else _ROUNDS
    with threadpool_limits(threads, user_api="blas"):  # some codecs multiply in NumPy
        times, reference_s = time_codecs(jobs, runtime, threads=threads, rounds=rounds, progress=progress)
    if any(len(each.decode_s) < rounds for each in times):
        stopped = "interrupted"
    spent = iter(times)
    rows = [
        each.row if each.job is None else replace(each.row, encode_s=(t := next(spent)).encode_s, decode_s=t.decode_s)
        for each in measured
    ]
    errors, weights = examples.errors(examples.answers)
    shape = model.graph.tensor_by_name[model.graph.inputs[0]].shape
    return CodecBench.create(
        model=identity_of(model, inputs=request.inputs, weights=request.weights),
        runtime=runtime.identity(threads=threads),
        data=request.data,
        task=data.task,
        weights=weights,
        intact_errors=errors,
        reference_s=reference_s,
        pixels=None if data.pixels is None else math.prod(shape),
        rows=tuple(rows),
        link=_link(request),
        stopped=stopped,
    )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    row: CodecRow
    job: TimedCodec | None = None
    """To time; None where nothing is coded."""


def _places(request: CodecBenchRequest, model: LoadedOnnxModel) -> list[Place]:
    from offload.profilers.codec_bench import stage_ends
    from offload.training.places import places_at, tensors_alone

    names = stage_ends(model.graph, tensors_alone(model.graph), most=_CUTS) if request.at is None else request.at
    return places_at(model.graph, names)


@dataclass(frozen=True, kw_only=True)
class _Variant:
    """A learned codec of the bench."""

    codec: LearnedKind
    seed: int = 0
    distilled: bool = True
    encoder_trained: bool = True


def _variants(request: CodecBenchRequest, places: Sequence[Place]) -> list[tuple[_Variant, Sequence[Place]]]:
    """Each kind with each seed everywhere, and DeepCOD's two ablations at the cut in the middle."""
    kinds = [kind for kind in LEARNED if _wanted(request, kind)]
    found = [(_Variant(codec=kind, seed=seed), places) for kind in kinds for seed in range(request.seeds)]
    if "deepcod" in kinds:
        ablations = (_Variant(codec="deepcod", distilled=False), _Variant(codec="deepcod", encoder_trained=False))
        found += [(ablation, [places[len(places) // 2]]) for ablation in ablations]
    return found


def _train_missing(
    request: CodecBenchRequest,
    model: LoadedOnnxModel,
    places: Sequence[Place],
    workspace: Workspace,
    progress: Progress,
) -> None:
    """Train the learned codecs that the workspace has not for this model, data and these cuts.

    One that a quick bench trained counts as there for another quick one only; one of whatever ratio counts.

    Raises:
        KeyboardInterrupt: interrupted; what was trained is kept, and the same command goes on from there.
    """
    there = {
        (told.tensor, _Variant(
            codec=told.codec, seed=told.training.seed, distilled=told.training.distilled,
            encoder_trained=told.training.encoder_trained,
        ))
        for told in (files.manifest for files in find_trained(workspace.codecs, model.hash))
        if told.training.data == request.data
        and told.training.stopped != "interrupted"
        and not told.training.labelled
        and (request.quick or len(told.training.epochs) > _QUICK_EPOCHS)
    }  # fmt: skip
    for variant, wanted in _variants(request, places):
        missing = tuple(place.layer for place in wanted if (place.tensor, variant) not in there)
        if missing:
            train = CodecTrainRequest(
                model=request.model, data=request.data, task=request.task, at=missing, codec=variant.codec,
                seed=variant.seed, distilled=variant.distilled, encoder_trained=variant.encoder_trained,
                threads=request.threads, epochs=_QUICK_EPOCHS if request.quick else None, inputs=request.inputs,
                weights=request.weights, resume=True,
            )  # fmt: skip
            trained = train_codecs(train, workspace=workspace, progress=progress)
            if any(files.manifest.training.stopped == "interrupted" for files in trained):
                raise KeyboardInterrupt


def _examples(
    request: CodecBenchRequest,
    model: LoadedOnnxModel,
    data: Dataset,
    runtime: Runtime,
    threads: int,
    progress: Progress,
) -> Examples:
    """Test examples, and what the intact model answers."""
    from offload.profilers.codec_bench import Examples, run_each
    from offload.training.examples import as_examples

    count = min(len(data), request.examples or (_QUICK_EXAMPLES if request.quick else _EXAMPLES))
    rows = range(count)
    progress.start("running the intact model")
    inputs = as_examples(data.inputs(rows), model.graph).numpy()
    session = runtime.load(model.whole, threads=threads)
    answers = run_each(session, model.graph.inputs[0], inputs, model.graph.outputs[0])
    progress.finish()
    return Examples(inputs=inputs, labels=data.labels(rows), task=data.task, answers=answers)


def _rows(
    request: CodecBenchRequest,
    model: LoadedOnnxModel,
    places: Sequence[Place],
    data: Dataset,
    examples: Examples,
    runtime: Runtime,
    threads: int,
    workspace: Workspace,
    progress: Progress,
) -> Iterator[_Measured]:
    from offload.datasets.catalogue import load_dataset
    from offload.profilers.codec_bench import Halves, TimedCodec, measure_row
    from offload.profilers.codec_candidates import Tuning, plain_candidates, trained_candidates

    trained = [
        each
        for each in find_trained(workspace.codecs, model.hash)
        if each.manifest.training.data == request.data and _wanted(request, each.manifest.codec)
    ]
    tuning = None
    if request.train:
        tensor = model.graph.tensor_by_name[model.graph.inputs[0]]
        tuning = Tuning(
            data=load_dataset(request.data, tensor=tensor, split="train", task=data.task),
            examples=_QUICK_TUNE_ON if request.quick else _TUNE_ON,
            steps=_QUICK_TUNE_STEPS if request.quick else _TUNE_STEPS,
        )
    intact = examples.errors(examples.answers)[0]
    progress.start("measuring codecs")
    for place in places:
        halves = Halves(model, place.cut, runtime, threads=threads)
        crossed = halves.crossing(examples.inputs)
        yield _Measured(row=_as_it_is(place, intact))
        learned = list(trained_candidates(trained, place, runtime, threads=threads))
        steps = [each.trained_steps for each in learned if not each.ablation]
        if tuning and steps and not request.quick:
            tuning = replace(tuning, steps=round(median(steps)))
        candidates = [
            *learned,
            *plain_candidates(model, place, data, families=request.codecs, tuning=tuning),
        ]
        for candidate in candidates:
            row = measure_row(candidate, halves, crossed, examples, progress)
            yield _Measured(row=row, job=TimedCodec(codec=candidate.codecs[0], halves=halves, one=examples.inputs[:1]))
    yield _Measured(row=_the_answer(model, examples, intact))


def _wanted(request: CodecBenchRequest, family: str) -> bool:
    return request.codecs is None or family in request.codecs


def _as_it_is(place: Place, intact: tuple[float, ...]) -> CodecRow:
    return CodecRow(
        codec="raw", method="as it is", tensor=place.tensor, layer=place.layer,
        payload_bytes=(place.tensor.size_bytes,), header_bytes=0, errors=(intact,), encode_s=(0.0,), decode_s=(0.0,),
    )  # fmt: skip


def _the_answer(model: LoadedOnnxModel, examples: Examples, intact: tuple[float, ...]) -> CodecRow:
    """Finishing on the device and sending what was answered: a class, a sequence, or the output itself."""
    from offload.datasets.tasks import greedy_decoded, of_each

    output = model.graph.tensor_by_name[model.graph.outputs[0]]
    layer = model.graph.layers[model.graph.producer[output.name]].name
    answers = of_each(examples.answers)
    if examples.task == "classification":
        sizes = (1 if answers[0].size <= 256 else 2,) * len(answers)
    elif examples.task == "ctc":
        sizes = tuple(max(1, len(tokens)) for tokens in greedy_decoded(answers))
    else:
        sizes = (output.size_bytes,)
    return CodecRow(
        codec="raw", method="send the answer", tensor=output, layer=layer, payload_bytes=sizes, header_bytes=0,
        errors=(intact,), encode_s=(0.0,), decode_s=(0.0,),
    )  # fmt: skip


def _link(request: CodecBenchRequest) -> Link | None:
    if request.link is not None:
        return LinkProfile.load(request.link).link()
    if request.uplink_bps is not None:
        return Link(uplink_bps=request.uplink_bps, downlink_bps=request.uplink_bps, rtt_s=0.0)
    return None
