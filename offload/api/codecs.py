"""Learned codecs: trained for a model's cuts, and those that a workspace has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.models import identity_of, load
from offload.artifacts.codec import LearnedKind
from offload.artifacts.workspace import Workspace
from offload.codecs.trained import TrainedFiles, find_trained, named_trained
from offload.datasets.base import Task
from offload.environment import chosen_threads
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.datasets.base import Dataset
    from offload.models.loaded import LoadedOnnxModel
    from offload.training.examples import CutExamples
    from offload.training.places import Place
    from offload.training.trainer import TrainingSettings

BATCH = 32
STEPS, FEWEST_EPOCHS = 1500, 4
"""How long a training is unless it is said: the epochs of so many steps, but not fewer than so many."""
LEARNING_RATE = 2e-3
"""For short training. DeepCOD's authors take 1e-4, over many more steps."""


@dataclass(frozen=True, kw_only=True)
class CodecTrainRequest:
    """What `codec train` is asked for."""

    model: str
    data: str
    at: tuple[str, ...]
    """Layers or tensors, or `input`; a codec for each."""
    codec: LearnedKind = "deepcod"
    ratio: float | None = None
    """Payload bits against those of the tensor's float32 values; None takes what the paper's tables have."""
    task: Task | None = None
    """None takes what the data have answers for."""
    epochs: int | None = None
    """None takes as many as make STEPS steps, and FEWEST_EPOCHS at least."""
    batch: int = BATCH
    learning_rate: float = LEARNING_RATE
    seed: int = 0
    distilled: bool = True
    """Whether the intact model's answers are taught besides the tensor."""
    encoder_trained: bool = True
    """False leaves the encoder as it was drawn."""
    labelled: bool = False
    """Whether the data's labels are taught, too."""
    orthogonality: float = 0.0
    """Weight of ‖WᵀW − I‖² of DeepCOD's encoder."""
    patience: int = 5
    """Epochs without a lower validation loss, after which training stops."""
    resume: bool = False
    """Go on from a checkpoint where there is one."""
    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:N`."""
    threads: int | None = None
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    weights: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CodecOutlook:
    """What would be trained at one cut."""

    layer: str
    tensor_shape: tuple[int, ...]
    symbols_shape: tuple[int, ...]
    levels: int
    ratio: float
    payload_bytes: int | None
    """Header included; None where a range coder makes of it what it may."""
    encoder_parameters: int
    decoder_parameters: int
    examples: int
    epochs: int
    steps: int


def train_codecs(
    request: CodecTrainRequest, *, workspace: Workspace, progress: Progress | None = None
) -> tuple[TrainedFiles, ...]:
    """Train a codec for each of a model's cuts, export, check, measure and save them.

    An interrupt keeps the best epoch of the codec in training, whose manifest says so, and leaves out those after it.
    Under torchrun the first process returns the codecs, the others none.

    Raises:
        OffloadError: the model, a cut or the data cannot be used; the message says why.
        KeyboardInterrupt: interrupted before the first epoch of the first codec was over.
    """
    import torch

    from offload.training.examples import cut_examples, intact_error_rate
    from offload.training.learned import CodecJob, train_codec
    from offload.training.processes import joined

    progress = progress or NullProgress()
    device = _device(request.device)
    torch.set_num_threads(chosen_threads(request.threads))
    model, places = _model_and_places(request, workspace, progress)
    train, validation = _training_data(request, model, places), _data(request, model, "validation")
    trained: list[TrainedFiles] = []
    with joined(device) as processes:
        if not processes.first:
            progress = NullProgress()
        cuts = [place.cut for place in places]
        part = (processes.rank, processes.count)
        held: Mapping[str, CutExamples] = {}
        intact: dict[str, float | None] = {}
        if processes.first:
            held = cut_examples(model, cuts, validation, labelled=True, device=device, progress=progress)
            for place in places:  # answers that do not fit the model are told before an hour of training
                name = place.tensor.name
                intact[name] = intact_error_rate(train.task, place.cut.returning[0], held[name], progress)
        known = cut_examples(model, cuts, train, labelled=request.labelled, device=device, progress=progress, part=part)
        for place in places:
            job = CodecJob(
                model=model,
                identity=identity_of(model, inputs=request.inputs, weights=request.weights),
                place=place,
                pixels=train.pixels,
                train=known[place.tensor.name],
                validation=held.get(place.tensor.name),
                intact_errors=intact.get(place.tensor.name),
                examples=len(train),
                data=request.data,
                task=train.task,
                settings=_settings(request, model, place, len(train)),
                device=device,
                root=workspace.codecs,
                checkpoints=workspace.cache,
                resume=request.resume,
                processes=processes,
            )
            try:
                files = train_codec(job, progress)
            except KeyboardInterrupt:
                if not trained:
                    raise
                break
            finally:
                progress.finish()
            if files is not None:
                trained.append(files)
                if files.manifest.training.stopped == "interrupted":
                    break
    return tuple(trained)


def train_outlook(
    request: CodecTrainRequest, *, workspace: Workspace, progress: Progress | None = None
) -> tuple[CodecOutlook, ...]:
    """What `train_codecs` would train; nothing is run.

    Raises:
        OffloadError: as `train_codecs`.
    """
    from offload.codecs.base import HEADER_BYTES
    from offload.codecs.symbols import packed_bytes
    from offload.training.learned import NETWORKS, shaping_of

    _device(request.device)
    model, places = _model_and_places(request, workspace, progress or NullProgress())
    data = _training_data(request, model, places)
    found = []
    for place in places:
        settings = _settings(request, model, place, len(data))
        shaping = shaping_of(model, place, ratio=settings.ratio, pixels=data.pixels)
        network = NETWORKS[request.codec](shaping, settings)
        count = 1
        for size in network.symbols_shape:
            count *= size
        packed = packed_bytes(count, (network.levels - 1).bit_length()) + HEADER_BYTES
        found.append(
            CodecOutlook(
                layer=place.layer,
                tensor_shape=place.tensor.shape,
                symbols_shape=network.symbols_shape,
                levels=network.levels,
                ratio=settings.ratio,
                payload_bytes=packed if network.coding == "packed" else None,
                encoder_parameters=sum(weight.numel() for weight in network.encoder.parameters()),
                decoder_parameters=sum(weight.numel() for weight in network.decoder.parameters()),
                examples=len(data),
                epochs=settings.epochs,
                steps=settings.epochs * max(1, len(data) // request.batch),
            )
        )
    return tuple(found)


def list_codecs(workspace: Workspace, *, progress: Progress | None = None) -> list[TrainedFiles]:
    """The trained codecs of a workspace; `progress` is warned of those whose manifest cannot be read."""
    return find_trained(workspace.codecs, damaged=(progress or NullProgress()).warn)


def show_codec(name: str, workspace: Workspace) -> TrainedFiles:
    """One of them, by its folder, its text or the beginning of its id; its files are checked.

    Raises:
        OffloadError: there is none or several, or it is damaged.
    """
    return named_trained(workspace.codecs, name)


def _model_and_places(
    request: CodecTrainRequest, workspace: Workspace, progress: Progress
) -> tuple[LoadedOnnxModel, list[Place]]:
    from offload.models.loaded import LoadedOnnxModel
    from offload.runtimes.onnxruntime import OnnxRuntime
    from offload.training.places import places_at

    if request.ratio is not None and not 0 < request.ratio < 1:
        raise UsageError(
            f"--ratio {request.ratio:g} is no compression",
            hint="give what a payload has of the tensor's float32 bits, as 0.01",
        )
    model = load(
        request.model,
        OnnxRuntime(),
        inputs=request.inputs,
        batch=1,
        weights=request.weights,
        precision="fp32",
        workspace=workspace,
        progress=progress,
    )
    assert isinstance(model, LoadedOnnxModel)  # noqa: S101  ONNX Runtime takes no other
    return model, places_at(model.graph, request.at)


def _data(request: CodecTrainRequest, model: LoadedOnnxModel, split: str) -> Dataset:
    from typing import cast

    from offload.datasets.base import Split
    from offload.datasets.catalogue import load_dataset

    tensor = model.graph.tensor_by_name[model.graph.inputs[0]]
    return load_dataset(request.data, tensor=tensor, split=cast(Split, split), task=request.task)


def _training_data(request: CodecTrainRequest, model: LoadedOnnxModel, places: Sequence[Place]) -> Dataset:
    """The training split; labels that are to be taught are checked at each place."""
    from offload.training.labels import check_labels

    data = _data(request, model, "train")
    for place in places if request.labelled else ():
        check_labels(model.graph, place.cut, data)
    return data


def _settings(request: CodecTrainRequest, model: LoadedOnnxModel, place: Place, examples: int) -> TrainingSettings:
    from offload.training.learned import usual_ratio
    from offload.training.trainer import TrainingSettings

    return TrainingSettings(
        codec=request.codec,
        ratio=request.ratio or usual_ratio(model, place),
        epochs=request.epochs or max(FEWEST_EPOCHS, -(-STEPS * request.batch // examples)),
        batch=request.batch,
        learning_rate=request.learning_rate,
        seed=request.seed,
        distilled=request.distilled,
        encoder_trained=request.encoder_trained,
        labelled=request.labelled,
        orthogonality=request.orthogonality,
        patience=request.patience,
    )


def _device(asked: str) -> str:
    """The device as torch calls it; under torchrun each process has the GPU of its number."""
    import os

    if asked == "cpu":
        return asked
    from offload.runtimes.torch import torch_device

    name = f"cuda:{os.environ['LOCAL_RANK']}" if asked == "cuda" and "LOCAL_RANK" in os.environ else asked
    if not name.startswith("cuda"):
        raise OffloadError(f"--device {asked}: there is no such device", hint="devices are cpu, cuda and cuda:0")
    return str(torch_device(name))
