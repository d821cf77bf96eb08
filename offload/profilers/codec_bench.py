"""Measuring codecs at the cuts of a model: bytes that decode, accuracy on labelled examples, time.

Every example's tensor is encoded to a payload and decoded from it; what counts is the answer of the layers after the
cut on what was decoded. Accuracies of all methods are of the same examples as the intact model's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from offload.artifacts.codec import NetworkSize
from offload.artifacts.codec_bench import CodecRow, Tail
from offload.codecs.base import HEADER_BYTES, Codec
from offload.datasets.base import Labels, Task
from offload.datasets.tasks import errors_of, of_each
from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph, Tensor
from offload.models.loaded import LoadedOnnxModel
from offload.profilers.reference import ReferenceKernel, waited_s
from offload.profilers.rests import PAUSE_S
from offload.progress import Progress
from offload.runtimes.base import Runtime, Session

if TYPE_CHECKING:
    from offload.runtimes.base import Array

    Answer = Callable[[Array], Array]
    """From what was decoded, (examples, *shape), to the model's first output, likewise."""


T = TypeVar("T")


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
    trained_steps: int = 0
    """See `CodecRow`."""
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
    """Shape (examples, *shape), the model's batch of 1 included."""
    labels: Labels
    task: Task
    answers: Array
    """The intact model's first output for each, likewise."""

    def errors(self, answers: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Errors of each example's answer and what they count against."""
        reference = list(of_each(self.answers)) if self.task == "detection" else self.labels
        errors, weights = errors_of(self.task, of_each(answers), reference)
        return tuple(errors.tolist()), tuple(weights.tolist())


class Halves:
    """What runs before and after one cut, an example at a time.

    Args:
        model: For a batch of 1, with one input.
        cut: Across which one tensor goes.
        runtime: What runs both sides.
        threads: Threads of the runtime.
    """

    def __init__(self, model: LoadedOnnxModel, cut: Cut, runtime: Runtime, *, threads: int) -> None:
        segments = model.divide(cut)
        (self._input,), (self._tensor,), self._output = model.graph.inputs, cut.crossing, model.graph.outputs[0]
        self._head = None if segments.head is None else runtime.load(segments.head, threads=threads)
        self._tail = None if segments.tail is None else runtime.load(segments.tail, threads=threads)
        self._answers_there = self._output in cut.returning

    def crossing(self, inputs: Array) -> Array:
        """The tensor that crosses, for model inputs of shape (examples, *shape); (examples, *its shape)."""
        if self._head is None or self._tensor == self._input:
            return inputs
        return run_each(self._head, self._input, inputs, self._tensor)

    def answers(self, crossed: Array) -> Array | None:
        """The model's first output for what was decoded; None where the head gives it, whatever crosses."""
        if self._tail is None or not self._answers_there:
            return None
        return run_each(self._tail, self._tensor, crossed, self._output)


def run_each(session: Session, name: str, values: Array, output: str) -> Array:
    """One output for each of some values of one input; shape (examples, *its shape)."""
    import numpy as np

    return np.stack([session.run({name: each})[output] for each in values])


def measure_row(
    candidate: Candidate, halves: Halves, crossed: Array, examples: Examples, progress: Progress
) -> CodecRow:
    """Bytes and errors of one method; its times are none yet (see `time_codecs`).

    Args:
        candidate: The method.
        halves: What runs before and after its cut.
        crossed: The tensor of each example, shape (examples, *shape).
        examples: What the answers are judged by.
        progress: Told what is measured.
    """
    import numpy as np

    errors, sizes = [], []
    progress.detail(f"{candidate.layer}, {candidate.method}")
    for codec in candidate.codecs:
        payloads = [codec.encode(each) for each in crossed]
        sizes += [len(payload) for payload in payloads]
        decoded = np.stack([codec.decode(payload) for payload in payloads])
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
        trained_steps=candidate.trained_steps,
        ablation=candidate.ablation,
    )


@dataclass(frozen=True, kw_only=True)
class CodecTimes:
    """Seconds of one codec, a call each, each after a rest."""

    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TimedCodec:
    """A codec to time."""

    codec: Codec
    halves: Halves
    """Of its cut: an encoder is timed right after the layers before it, whose core and caches it finds warm."""
    one: Array
    """A model input to run them on; (1, *shape)."""

    def crossing(self) -> Array:
        """Run the layers before the cut."""
        return cast("Array", self.halves.crossing(self.one)[0])


def time_codecs(
    jobs: Sequence[TimedCodec], runtime: Runtime, *, threads: int, rounds: int, progress: Progress
) -> tuple[list[CodecTimes], tuple[float, ...]]:
    """What encoders and decoders take, in rounds over all of them, and the reference kernel in each round.

    Args:
        jobs: The codecs.
        runtime: What runs the reference kernel.
        threads: Threads of the runtime.
        rounds: Calls of each; at least 1.
        progress: Told each round.

    Returns:
        The codecs' times, fewer calls of them after an interrupt; and the kernel's.

    Raises:
        KeyboardInterrupt: interrupted in the first round; a later interrupt ends the rounds.
    """
    reference = ReferenceKernel(runtime, threads=threads)
    encode_s: list[list[float]] = [[] for _ in jobs]
    decode_s: list[list[float]] = [[] for _ in jobs]
    reference_s = []
    progress.start("timing codecs", total=rounds)
    for number in range(rounds):
        try:
            reference_s.append(reference.time_once())
            for index, job in enumerate(jobs):
                payload = job.codec.encode(job.crossing())
                _rest()
                encode_s[index].append(_timed(job.codec.encode, job.crossing()))
                job.codec.decode(payload)
                _rest()
                decode_s[index].append(_timed(job.codec.decode, payload))
        except KeyboardInterrupt:
            if number == 0:
                raise
            break
        progress.advance()
    progress.finish()
    times = [CodecTimes(encode_s=tuple(e), decode_s=tuple(d)) for e, d in zip(encode_s, decode_s, strict=True)]
    return times, tuple(reference_s)


def _rest() -> None:
    time.sleep(PAUSE_S)
    waited_s()  # wakes the core: a codec follows the head's run, or the request's arrival


def _timed(call: Callable[[T], object], argument: T) -> float:
    started = time.perf_counter()
    call(argument)
    return time.perf_counter() - started


def stage_ends(graph: ModelGraph, names: Sequence[str], *, most: int) -> list[str]:
    """Of the tensors that may cross alone, in order, those at which a bench looks unless told otherwise.

    The last of each size, which ends a stage of the network; where those are fewer than asked for, others evenly. What
    an activation or a norm reads is passed over, since a runtime computes the two as one, and so is what only changes
    its shape.

    Args:
        graph: The model.
        names: Tensors at which one may cut.
        most: How many at most.
    """
    passed_over = {
        name
        for name in names
        if graph.consumers[name]
        and all(graph.layers[reader].kind in ("activation", "norm", "shape") for reader in graph.consumers[name])
    }
    kept = [name for name in names if name in graph.inputs or name not in passed_over]
    sizes = [graph.tensor_by_name[name].size_bytes for name in kept]
    ends = [index for index, size in enumerate(sizes) if index + 1 == len(sizes) or sizes[index + 1] != size]
    if len(ends) > most:
        ends = [ends[round(step * (len(ends) - 1) / max(1, most - 1))] for step in range(most)]
    others = [index for index in range(len(kept)) if index not in ends]
    missing = min(most - len(ends), len(others))
    ends += [others[(2 * step + 1) * len(others) // (2 * missing)] for step in range(missing)]
    return [kept[index] for index in sorted(set(ends))]
