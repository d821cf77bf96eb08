"""How the one tensor of a coded option crosses: its encoder here, and the model that the server is given for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offload.artifacts.plan import Option
from offload.codecs.catalogue import make_codec
from offload.codecs.trained import TrainedFiles, check_fits, named_trained
from offload.errors import OffloadError
from offload.graph.cuts import make_cut
from offload.graph.model_graph import Tensor
from offload.models.joining import join
from offload.models.loaded import LoadedModel
from offload.models.segments import OnnxSegment
from offload.runtimes.base import Runtime
from offload.runtimes.trained_codec import TrainedCodecSession, decoder_segment
from offload.serving.decoding import Coded

if TYPE_CHECKING:
    from offload.codecs.base import Codec


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A coded tensor on both sides of a cut."""

    codec: Codec
    """Encodes on the device; decodes here only to tell what is right."""
    tail: OnnxSegment
    """What the server runs on the payload, or on what it decodes the payload to."""
    input: str
    """The input of the tail that takes the payload."""
    coded: Mapping[str, Coded] = field(default_factory=dict)
    """What the server is to decode before it runs the tail; empty where the tail decodes by itself."""
    decoder: OnnxSegment | None = None
    """The part of the tail that decodes; None where there is none."""
    shape: tuple[int, ...] = (-1,)
    """What the server says that the input takes."""


def crossing_of(option: Option, *, model: LoadedModel, codecs: Path, runtime: Runtime, threads: int) -> Crossing | None:
    """How an option's tensor is coded; None when tensors cross as they are.

    Args:
        option: What is executed.
        model: The whole.
        codecs: Folder of trained codecs.
        runtime: What runs a trained codec's encoder.
        threads: Threads of the encoder.

    Raises:
        OffloadError: the codec is not here, damaged, or not for this model and tensor.
    """
    if option.codec == "raw":
        return None
    cut = make_cut(model.graph, option.device_layers)
    tail = model.divide(cut).tail
    if not isinstance(tail, OnnxSegment):
        raise OffloadError(
            f"the codec {option.codec} cannot be executed: codecs carry tensors of ONNX models that the server has a "
            "part of",
            hint="profile with --runtime onnxruntime and plan again",
        )
    if len(cut.crossing) != 1:
        raise OffloadError(
            f"the plan is damaged: the codec {option.codec} carries one tensor, {len(cut.crossing)} cross",
            hint="make the plan again with `offload plan --planner deepcod`",
        )
    tensor = model.graph.tensor_by_name[cut.crossing[0]]
    if "@" in option.codec:
        files = named_trained(codecs, option.codec)
        check_fits(files.manifest, model_hash=model.hash, tensor=tensor)
        return _trained(files, tail, runtime, threads)
    codec = make_codec(option.codec, tensor)
    return Crossing(
        codec=codec, tail=tail, input=tensor.name, coded={tensor.name: Coded(codec=codec.text, tensor=tensor)}
    )


def _trained(files: TrainedFiles, tail: OnnxSegment, runtime: Runtime, threads: int) -> Crossing:
    """The server gets decoder and tail as one model; of range coded symbols it decodes the bytes beforehand."""
    manifest = files.manifest
    codec, decoder = TrainedCodecSession(files, runtime, threads=threads), decoder_segment(files)
    joined = join(decoder, tail)
    (name,) = joined.inputs
    if manifest.coding == "packed":  # any server that runs ONNX decodes it
        return Crossing(codec=codec, tail=joined, input=name, decoder=decoder, shape=(codec.max_bytes,))
    symbols = Tensor(name=name, shape=manifest.symbols_shape, dtype="uint8")
    coded = Coded(codec=codec.symbols.text, tensor=symbols, tables=manifest.tables)
    return Crossing(codec=codec, tail=joined, input=name, decoder=decoder, coded={name: coded})
