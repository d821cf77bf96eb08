"""Measuring codecs at the cuts of a model: bytes that decode, accuracy on labelled examples, time.

Every example's tensor is encoded to a payload and decoded from it; what counts is the answer of the layers after the
cut on what was decoded. Accuracies of all methods are of the same examples as the intact model's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.codec import NetworkSize
from offload.artifacts.codec_bench import CodecRow, Tail
from offload.codecs.base import HEADER_BYTES, Codec
from offload.datasets.tasks import errors_of
from offload.graph.cuts import Cut
from offload.graph.model_graph import Tensor
from offload.models.loaded import LoadedOnnxModel
from offload.profilers.reference import ReferenceKernel
from offload.profilers.rests import PAUSE_S
from offload.progress import Progress
from offload.runtimes.base import Runtime, Session

if TYPE_CHECKING:
    from offload.runtimes.base import Array

    Answer = Callable[[Array], Array]
    """From what was decoded for a batch of examples to the model's first output."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method at one cut."""

    method: str
    cut: Cut
    tensor: Tensor
    layer: str
    codecs: tuple[Codec, ...]
    """One, or several that differ in their seed alone; plans take the first."""
    encoder: NetworkSize | None = None
    decoder: NetworkSize | None = None
    ablation: bool = False
    tune: Callable[[Codec], Answer] | None = None
    """Trains the layers after the cut on what the codec leaves of the tensor; None takes them as they are."""

    @property
    def tail(self) -> Tail:
        """Which layers answer."""
        return "as it is" if self.tune is None else "fine-tuned"


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What accuracy is measured on."""

    inputs: Array
    """Shape (examples, ...)."""
    labels: Sequence[object]
    task: str
    answers: Array
    """The intact model's first output for each."""

    def errors(self, answers: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Errors of each example's answer and what they count against."""
        reference = self.answers if self.task == "detection" else self.labels
        errors, weights = errors_of(self.task, answers, reference)
        return tuple(map(float, errors)), tuple(map(float, weights))


class Halves:
    """What runs before and after one cut, on any number of examples.

    Args:
        model: The model for a batch of some size; its layers are those of the model for one.
        cut: Across which one tensor goes.
        runtime: What runs both sides.
        threads: Threads of the runtime.
    """

    def __init__(self, model: LoadedOnnxModel, cut: Cut, runtime: Runtime, *, threads: int) -> None:
        segments = model.divide(cut)
        (self._tensor,), self._batch = cut.crossing, model.batch
        self._output = model.graph.outputs[0]
        self._head = None if segments.head is None else runtime.load(segments.head, threads=threads)
        self._tail = None if segments.tail is None else runtime.load(segments.tail, threads=threads)
        self._answers_there = self._output in cut.returning

    def crossing(self, inputs: Mapping[str, Array]) -> Array:
        """The tensor that crosses, for examples of one model input each; shape (examples, ...)."""
        if self._head is None or self._tensor in inputs:
            return inputs[self._tensor]
        return in_batches(self._head, inputs, self._tensor, self._batch)

    def answers(self, crossed: Array) -> Array | None:
        """The model's first output for what was decoded; None where the head gives it, whatever crosses."""
        if self._tail is None or not self._answers_there:
            return None
        return in_batches(self._tail, {self._tensor: crossed}, self._output, self._batch)


def in_batches(session: Session, feeds: Mapping[str, Array], output: str, batch: int) -> Array:
    """One output of a model made for batches, for any number of examples."""
    import numpy as np

    count = len(next(iter(feeds.values())))
    found = []
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)
        found.append(session.run({name: np.ascontiguousarray(values[rows]) for name, values in feeds.items()})[output])
    return np.concatenate(found)[:count]


def measure_row(
    candidate: Candidate, halves: Halves, crossed: Array, examples: Examples, progress: Progress
) -> CodecRow:
    """Bytes and errors of one method; its times are none yet (see `time_codecs`).

    Args:
        candidate: The method.
        halves: What runs before and after its cut.
        crossed: The tensor of each example, shape (examples, ...).
        examples: What the answers are judged by.
        progress: Told each codec.
    """
    import numpy as np

    errors, sizes = [], []
    for codec in candidate.codecs:
        progress.detail(f"{candidate.layer}, {candidate.method}")
        payloads = [codec.encode(crossed[index : index + 1]) for index in range(len(crossed))]
        sizes += [len(payload) for payload in payloads]
        decoded = np.concatenate([codec.decode(payload) for payload in payloads])
        answers = candidate.tune(codec)(decoded) if candidate.tune else halves.answers(decoded)
        errors.append(examples.errors(examples.answers if answers is None else answers)[0])
    return CodecRow(
        codec=candidate.codecs[0].text,
        method=candidate.method,
        tensor=candidate.tensor,
        layer=candidate.layer,
        tail=candidate.tail,
        payload_bytes=tuple(sizes),
        header_bytes=HEADER_BYTES,
        errors=tuple(errors),
        encode_s=(0.0,),
        decode_s=(0.0,),
        encoder=candidate.encoder,
        decoder=candidate.decoder,
        ablation=candidate.ablation,
    )


@dataclass(frozen=True, kw_only=True)
class CodecTimes:
    """Seconds of one codec, a call each, each after a rest."""

    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]


def time_codecs(
    jobs: Sequence[tuple[Codec, Array]], runtime: Runtime, *, threads: int, rounds: int, progress: Progress
) -> tuple[list[CodecTimes], tuple[float, ...]]:
    """What encoders and decoders take, in rounds over all of them, and the reference kernel in each round.

    Args:
        jobs: Codecs with an array each takes.
        runtime: What runs the reference kernel.
        threads: Threads of the runtime.
        rounds: Calls of each; at least 1.
        progress: Told each round.
    """
    reference = ReferenceKernel(runtime, threads=threads)
    encode_s: list[list[float]] = [[] for _ in jobs]
    decode_s: list[list[float]] = [[] for _ in jobs]
    reference_s = []
    progress.start("timing codecs", total=rounds)
    for _ in range(rounds):
        reference_s.append(reference.time_once())
        for index, (codec, array) in enumerate(jobs):
            payload = codec.encode(array)
            encode_s[index].append(_timed(lambda codec=codec, array=array: codec.encode(array)))  # type: ignore[misc]
            codec.decode(payload)
            decode_s[index].append(_timed(lambda codec=codec, payload=payload: codec.decode(payload)))  # type: ignore[misc]
        progress.advance()
    progress.finish()
    times = [CodecTimes(encode_s=tuple(e), decode_s=tuple(d)) for e, d in zip(encode_s, decode_s, strict=True)]
    return times, tuple(reference_s)


def _timed(call: Callable[[], object]) -> float:
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def stage_ends(tensors: Sequence[tuple[str, Tensor]], *, most: int) -> Iterator[tuple[str, Tensor]]:
    """Of the single tensors that may cross, in order, those at which a bench looks unless told otherwise.

    The last of each shape, which ends a stage of the network; where those are fewer than asked for, others evenly.

    Args:
        tensors: Names of layers, and the tensor that each makes.
        most: How many at most.
    """
    ends = [
        index
        for index, (_, tensor) in enumerate(tensors)
        if index + 1 == len(tensors) or tensors[index + 1][1].shape != tensor.shape
    ]
    if len(ends) > most:
        ends = [ends[round(step * (len(ends) - 1) / max(1, most - 1))] for step in range(most)]
    others = [index for index in range(len(tensors)) if index not in ends]
    missing = min(most - len(ends), len(others))
    ends += [others[(2 * step + 1) * len(others) // (2 * missing)] for step in range(missing)]
    return iter([tensors[index] for index in sorted(set(ends))])
