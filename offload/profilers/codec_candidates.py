"""Which methods a bench of codecs compares at a cut."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.codec import LearnedKind, TrainingRecord
from offload.artifacts.codec_bench import EXAMPLES_A_STEP, family_of
from offload.codecs.base import Codec
from offload.codecs.catalogue import default_texts, make_codec
from offload.codecs.trained import TrainedFiles
from offload.datasets.base import Dataset
from offload.models.loaded import LoadedOnnxModel
from offload.profilers.codec_bench import Candidate
from offload.runtimes.base import Runtime
from offload.runtimes.trained_codec import TrainedCodecSession
from offload.training.places import Place

if TYPE_CHECKING:
    from offload.models.segments import OnnxSegment
    from offload.profilers.codec_bench import Answer
    from offload.runtimes.base import Array

METHODS: Mapping[LearnedKind, str] = {"deepcod": "DeepCOD", "entropic": "Entropic", "autoencoder": "AE+"}
_WORDS = {
    "jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "interpolate": "Intp", "cs-dct": "CS-DCT",
    "cs-wavelet": "CS-wavelet", "lossy": "Lossy",
}  # fmt: skip
BATCH = 32
"""Examples of a step."""
TUNED = ("jpeg", "webp", "interpolate", "cs-dct", "lossy")
"""Families whose tail is trained, too: of each the setting with the smallest payload; clipping not at images, where
JPEG stands for it in DeepCOD's paper, too."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How tails are trained for what cannot train itself."""

    data: Dataset
    """To learn from."""
    examples: int
    """How many at most: fewer where what codecs leave of so many does not fit in memory."""
    steps: int
    """Batches of 32 examples."""


def trained_candidates(
    files: Sequence[TrainedFiles], place: Place, runtime: Runtime, *, threads: int
) -> Iterator[Candidate]:
    """The learned codecs for a cut; those that differ in their seed alone are one method.

    Of a seed that was trained several times (interrupted, or briefly before) the one that was trained longest counts.

    Args:
        files: Trained for this model; those for other cuts are passed over.
        place: The cut.
        runtime: What runs encoders and decoders.
        threads: Threads of the runtime.
    """
    groups: dict[tuple[object, ...], dict[int, TrainedFiles]] = {}
    for each in sorted(files, key=_how_long):
        told, training = each.manifest, each.manifest.training
        if told.tensor == place.tensor:
            same = (told.codec, told.ratio, training.distilled, training.encoder_trained, training.labelled)
            groups.setdefault(same, {})[training.seed] = each
    ratios = {kind: {ratio for other, ratio, *_ in groups if other == kind} for kind in METHODS}
    for (_, ratio, distilled, encoder_trained, labelled), by_seed in groups.items():
        # Chosen on validation examples, never on those of the bench.
        alike = sorted(
            by_seed.values(), key=lambda each: (each.manifest.validation_errors or 0.0, each.manifest.training.seed)
        )
        first = alike[0].manifest
        method = METHODS[first.codec]
        if len(ratios[first.codec]) > 1:
            method += f" {ratio:.2g}"
        method += ", no distillation" * (not distilled) + ", random encoder" * (not encoder_trained)
        method += ", labels" * bool(labelled)
        yield Candidate(
            method=method,
            cut=place.cut,
            tensor=place.tensor,
            layer=place.layer,
            codecs=tuple(TrainedCodecSession(each, runtime, threads=threads) for each in alike),
            encoder=first.encoder,
            decoder=first.decoder,
            trained_steps=trained_steps(first.training),
            ablation=not (distilled and encoder_trained),
        )


def trained_steps(training: TrainingRecord) -> int:
    """Of EXAMPLES_A_STEP examples that a codec learned from."""
    return len(training.epochs) * max(1, training.examples // EXAMPLES_A_STEP)


def _how_long(files: TrainedFiles) -> tuple[bool, int, str]:
    """By what the one of two codecs that was trained longer is told."""
    training = files.manifest.training
    return training.stopped != "interrupted", len(training.epochs), files.manifest.created_at


def plain_candidates(
    model: LoadedOnnxModel,
    place: Place,
    data: Dataset,
    *,
    families: Collection[str] | None = None,
    tuning: Tuning | None = None,
) -> Iterator[Candidate]:
    """The codecs that need no training, and where tails may be trained those with a tail of their own.

    Args:
        model: Whose cut it is.
        place: The cut.
        data: Whether the input is an image, and how it was scaled.
        families: Their names; None takes all.
        tuning: How tails are trained; None trains none.
    """
    pixels = data.pixels if place.tensor.name in model.graph.inputs else None
    texts = [text for text in default_texts(place.tensor, pixels=pixels) if text != "raw"]
    tuned = {family: text for text in reversed(texts) if (family := family_of(text)) in TUNED}
    if "jpeg" in tuned:
        del tuned["lossy"]
    for text in texts:
        if families is not None and family_of(text) not in families:
            continue
        for tune in (None, *([_tuner(model, place, tuning)] if tuning and tuned.get(family_of(text)) == text else [])):
            yield Candidate(
                method=_method(text),
                cut=place.cut,
                tensor=place.tensor,
                layer=place.layer,
                codecs=(make_codec(text, place.tensor),),
                trained_steps=0 if tune is None or tuning is None else tuning.steps,
                tune=tune,
            )


def _method(text: str) -> str:
    """A codec's text as tables show it: `WebP 5`, `CS-DCT 0.25`, `int8+zstd`."""
    name, _, parameters = text.partition(":")
    first = parameters.partition(",")[0].partition("=")
    return _WORDS.get(name, name) + (f" {first[2]}" if first[0] in ("quality", "factor", "ratio", "bits") else "")


def _tuner(model: LoadedOnnxModel, place: Place, tuning: Tuning) -> Callable[[Codec], Answer]:
    def tune(codec: Codec) -> Answer:
        import numpy as np
        import torch

        from offload.progress import NullProgress
        from offload.training.examples import MOST_BYTES, cut_examples, taught_tensors
        from offload.training.tails import TailExamples, tune_tail

        fitting = max(1, MOST_BYTES // place.tensor.size_bytes)
        shares = max(1, len(tuning.data) // tuning.examples, -(-len(tuning.data) // fitting))
        (known,) = cut_examples(
            model, [place.cut], tuning.data, labelled=False, device="cpu", progress=NullProgress(), part=(0, shares)
        ).values()
        taught = taught_tensors(model.graph, place.cut)[0]
        rows = torch.split(torch.arange(len(known)), BATCH)
        batches = known.batches(rows, answers=(taught,), device="cpu")
        parts = [(_left(codec, at.numpy()), right.numpy()) for at, (right,) in batches]
        left, answers = (np.concatenate(each) for each in zip(*parts, strict=True))
        held = max(1, len(left) // 10)
        tail = _tail(model, place)
        return tune_tail(
            tail,
            taught=taught,
            output=model.graph.outputs[0],
            train=TailExamples(decoded=left[held:], answers=answers[held:]),
            validation=TailExamples(decoded=left[:held], answers=answers[:held]),
            steps=tuning.steps,
        )

    return tune


def _left(codec: Codec, values: Array) -> Array:
    """What a codec leaves of each array."""
    import numpy as np

    return np.stack([codec.decode(codec.encode(each)) for each in values])


def _tail(model: LoadedOnnxModel, place: Place) -> OnnxSegment:
    from offload.models.segments import OnnxSegment

    tail = model.divide(place.cut).tail
    if not isinstance(tail, OnnxSegment):
        raise ValueError("a cut at which a codec stands leaves a tail")
    return tail
