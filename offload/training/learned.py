"""From a model, a cut and examples to a trained codec in its folder."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from offload.artifacts.codec import INPUT_LAYER, LearnedKind, NetworkSize, TrainedCodec, TrainingRecord
from offload.artifacts.profile import ModelIdentity
from offload.codecs.symbols import fit_tables
from offload.codecs.trained import DECODER, ENCODER, TrainedFiles, save_trained
from offload.datasets.base import PixelScale, Task
from offload.models.loaded import LoadedOnnxModel
from offload.models.onnx_graph import graph_of
from offload.models.onnx_in_torch import DifferentiableSegment
from offload.models.segments import OnnxSegment
from offload.progress import Progress
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.trained_codec import TrainedCodecSession
from offload.training.autoencoder import AutoEncoder
from offload.training.checkpoints import remove_checkpoint
from offload.training.deepcod import DeepCod
from offload.training.entropic import Entropic
from offload.training.examples import CutExamples, error_rate, first_of, taught_tensors
from offload.training.export import exported
from offload.training.layout import layout_of
from offload.training.network import Bounds, LearnedCodec, Shaping
from offload.training.places import Place
from offload.training.processes import Processes
from offload.training.trainer import Trained, Training, TrainingSettings, train

if TYPE_CHECKING:
    from torch import Tensor

_IMAGE_RANK = 2
_CHECKED = 16
"""Examples with which the exported models are compared with torch."""
_COUNTED = 2048
"""Examples whose symbols fill the range coder's tables."""
_AT_ONCE = 64
_INPUT_SHARE, _CUT_SHARE = 0.01, 0.005
"""Of the float32 input's bytes; see `usual_ratio`."""
_MOST_RATIO = 0.1

NETWORKS: Mapping[LearnedKind, Callable[[Shaping, TrainingSettings], LearnedCodec]] = {
    "deepcod": lambda shaping, settings: DeepCod(shaping, orthogonality=settings.orthogonality),
    "autoencoder": lambda shaping, settings: AutoEncoder(shaping),
    "entropic": lambda shaping, settings: Entropic(shaping),
}


@dataclass(frozen=True, kw_only=True)
class CodecJob:
    """One codec to train."""

    model: LoadedOnnxModel
    """For a batch of 1."""
    identity: ModelIdentity
    """The same model, for the manifest."""
    place: Place
    pixels: PixelScale | None
    """Of the data; None where they are no images."""
    train: CutExamples
    validation: CutExamples | None
    """None in a process that does not validate."""
    intact_errors: float | None
    """Error rate of the intact model on the validation examples; None without labels."""
    examples: int
    """To train on, in all processes."""
    data: str
    task: Task
    settings: TrainingSettings
    device: str
    root: Path
    """Where folders of codecs are kept."""
    checkpoints: Path
    """Where checkpoints are kept; a folder for each training is made in it."""
    resume: bool = False
    processes: Processes = Processes()  # noqa: RUF009  frozen


def usual_ratio(model: LoadedOnnxModel, place: Place) -> float:
    """A ratio as the paper's tables have it: 1 % of the float32 input at the input, half a per cent of it elsewhere.

    Of an image's uint8 bytes that is 4 % and 2 %. No more than a tenth of the tensor itself, and 1 % of it where the
    model's input is no float tensor.
    """
    entry = model.graph.tensor_by_name[model.graph.inputs[0]]
    if place.layer == INPUT_LAYER or entry.dtype != "float32":
        return _INPUT_SHARE
    return min(_MOST_RATIO, _CUT_SHARE * entry.size_bytes / place.tensor.size_bytes)


def shaping_of(model: LoadedOnnxModel, place: Place, *, ratio: float, pixels: PixelScale | None) -> Shaping:
    """What a learned codec for a place is built for.

    The stride follows the paper's tables, where ResNet-50's 56 and 28 places a side became 14 and 7, its 14 became 7,
    and its 7 stayed.

    Raises:
        OffloadError: learned codecs do not take such a tensor.
    """
    layout = layout_of(model.graph, place.tensor)
    image = place.layer == INPUT_LAYER and pixels is not None and len(layout.places) == _IMAGE_RANK
    side = min(layout.places)
    return Shaping(
        layout=layout,
        stride=4 if side >= 16 or (image and side >= 4) else 2 if side >= 8 else 1,
        ratio=ratio,
        bounds=_bounds(pixels) if image and pixels is not None else None,
    )


def train_codec(job: CodecJob, progress: Progress) -> TrainedFiles | None:
    """Train, export, check, measure and save one codec.

    Returns:
        The codec; None in a process that does not write.

    Raises:
        OffloadError: the tensor, the model or a checkpoint cannot be used, or the folder cannot be written to.
        KeyboardInterrupt: interrupted before the first epoch was over.
    """
    settings, place = job.settings, job.place
    shaping = shaping_of(job.model, place, ratio=settings.ratio, pixels=job.pixels)
    torch.manual_seed(settings.seed)
    network = NETWORKS[settings.codec](shaping, settings)
    taught, answer = taught_tensors(job.model.graph, place.cut), place.cut.returning[0]
    tail = job.model.divide(place.cut).tail
    assert isinstance(tail, OnnxSegment)  # noqa: S101  a place has something behind it
    behind = DifferentiableSegment(tail, results=(*taught, answer)).to(job.device)
    training = Training(
        settings=settings,
        tail=behind,
        taught=taught,
        answer=answer,
        train=job.train,
        validation=job.validation,
        examples=job.examples,
        task=job.task,
        device=job.device,
        checkpoints=checkpoint_folder(job),
        resume=job.resume,
        processes=job.processes,
        identity=f"{job.model.hash} {place.tensor.name} {job.data}",
    )
    trained = train(network, training, progress)
    if job.validation is None:
        return None
    files = _saved(job, network, trained, behind.cpu(), progress)
    if trained.stopped != "interrupted":
        remove_checkpoint(training.checkpoints)
    return files


def checkpoint_folder(job: CodecJob) -> Path:
    """Where a training's checkpoints are: the same for the same model, cut, codec, ratio and seed."""
    settings = job.settings
    words = f"{job.model.hash} {job.place.tensor.name} {settings.ratio} {settings.seed} {settings.distilled} "
    words += f"{settings.encoder_trained} {job.data}" + " labels" * settings.labelled
    name = f"training-{settings.codec}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    return job.checkpoints / name


def _saved(
    job: CodecJob, network: LearnedCodec, trained: Trained, tail: DifferentiableSegment, progress: Progress
) -> TrainedFiles:
    validation, settings = job.validation, job.settings
    assert validation is not None  # noqa: S101  the first process has it
    network.cpu().eval()
    progress.start("exporting")
    tables = _tables(network, job.train) if network.coding == "range" else ()
    contents = exported(network, first_of(validation, _CHECKED))
    sizes = {
        name: NetworkSize(parameters=_remaining(part), flops=graph_of(contents[name]).flops)
        for name, part in ((ENCODER, network.encoder), (DECODER, network.decoder))
    }
    fields = {
        "model": job.identity,
        "tensor": job.place.tensor,
        "layer": job.place.layer,
        "codec": settings.codec,
        "ratio": settings.ratio,
        "symbols_shape": network.symbols_shape,
        "levels": network.levels,
        "coding": network.coding,
        "tables": tables,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "encoder": sizes[ENCODER],
        "decoder": sizes[DECODER],
        "training": TrainingRecord(
            data=job.data,
            task=job.task,
            seed=settings.seed,
            examples=job.examples,
            batch=settings.batch,
            distilled=settings.distilled,
            encoder_trained=settings.encoder_trained,
            labelled=settings.labelled,
            processes=job.processes.count,
            best_epoch=trained.best_epoch,
            stopped=trained.stopped,
            epochs=trained.epochs,
        ),
        "intact_errors": job.intact_errors,
    }
    draft = TrainedCodec.create(**fields, payload_bytes=(), validation_errors=None)
    with tempfile.TemporaryDirectory(prefix="offload-") as folder:
        payload_bytes, errors = _measured(job, save_trained(Path(folder), draft, contents), tail, validation, progress)
    progress.finish()
    manifest = TrainedCodec.create(**fields, payload_bytes=payload_bytes, validation_errors=errors)
    return save_trained(job.root, manifest, contents)


def _measured(
    job: CodecJob, files: TrainedFiles, tail: DifferentiableSegment, validation: CutExamples, progress: Progress
) -> tuple[tuple[int, ...], float | None]:
    """Bytes of each validation example, and the error rate of what is decoded from these very bytes."""
    session = TrainedCodecSession(files, OnnxRuntime(), threads=torch.get_num_threads())
    progress.start("measuring what crosses", len(validation))
    sizes, outputs, intact = [], [], []
    rows = torch.split(torch.arange(len(validation)), _AT_ONCE)
    for at, (right,) in validation.batches(rows, answers=(job.place.cut.returning[0],), device="cpu"):
        decoded = []
        for example in at:
            payload = session.encode(example.numpy())
            sizes.append(len(payload))
            decoded.append(torch.from_numpy(session.decode(payload)))
            progress.advance()
        with torch.no_grad():
            outputs.append(tail(torch.stack(decoded))[-1])
        intact.append(right)
    return tuple(sizes), error_rate(job.task, torch.cat(outputs), torch.cat(intact), validation.labels)


def _tables(network: LearnedCodec, examples: CutExamples) -> tuple[tuple[int, ...], ...]:
    """Counted on training examples, hard symbols."""
    layout = network.shaping.layout
    rows = torch.split(torch.arange(min(_COUNTED, len(examples))), _AT_ONCE)
    with torch.no_grad():
        parts = [network.symbols(layout.to_channels(at)) for at, _ in examples.batches(rows, answers=(), device="cpu")]
    return fit_tables(torch.cat(parts).numpy(), network.levels)


def _remaining(part: torch.nn.Module) -> int:
    """Parameters that are not 0: what pruning left."""
    weights: list[Tensor] = list(part.parameters())
    return sum(int(torch.count_nonzero(weight)) for weight in weights)


def _bounds(pixels: PixelScale) -> Bounds:
    channels = max(len(pixels.mean), len(pixels.std))
    means, stds = (each * (channels // len(each)) for each in (pixels.mean, pixels.std))
    return Bounds(
        low=tuple((0 - mean) / std for mean, std in zip(means, stds, strict=True)),
        high=tuple((1 - mean) / std for mean, std in zip(means, stds, strict=True)),
    )
