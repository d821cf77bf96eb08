"""Torch models that a server is started with, and the tails that clients ask for by hash and layers.

Neither code nor weights cross the network: a client names the whole model by the hash of its content and says which
layers it runs itself; the server divides its own copy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import grpc

from offload.errors import OffloadError
from offload.graph.cuts import Cut
from offload.serving.refusal import RefusalError, exhausted, invalid, unprepared
from offload.serving.tensors import DATATYPE_OF_NUMPY, NUMPY_OF_DATATYPE, TensorSpec

if TYPE_CHECKING:
    from offload.graph.model_graph import ModelGraph
    from offload.models.loaded import LoadedModel
    from offload.runtimes.base import Array, Runtime, Session


@dataclass(frozen=True, kw_only=True)
class OwnModel:
    """A torch model to start a server with."""

    spec: str
    """A built-in name, `package.module:callable`, `torchvision:NAME` or `timm:NAME`."""
    device: str = "cpu"
    """What runs it: `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "fp32"
    """What weights and floating-point tensors are cast to: `fp32`, `fp16` or `bf16`."""
    batch: int = 1
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Input shapes by name, for models that do not have their own."""
    weights: str | None = None
    """A safetensors file."""
    channels_last: bool = False
    """Keep images with their channels innermost."""
    compiled: bool = False
    """Compile each tail by torch.compile."""

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> Self:
        """From what `dataclasses.asdict` and JSON have made of one."""
        return cls(**{**fields, "inputs": {name: tuple(shape) for name, shape in fields["inputs"].items()}})


@dataclass(frozen=True, kw_only=True)
class ServerModel:
    """What a server tells about one of its own models."""

    name: str
    hash: str
    """SHA-256 of its content."""
    spec: str
    """What the server was started with."""
    device: str
    dtype: str


class TailSource(Protocol):
    """A model of the server's own that can be divided anywhere."""

    @property
    def name(self) -> str:
        """A short name for messages."""

    @property
    def hash(self) -> str:
        """SHA-256 of its content."""

    @property
    def own(self) -> OwnModel:
        """What it was loaded from."""

    @property
    def graph(self) -> ModelGraph:
        """Its layers and tensors."""

    def load_tail(self, cut: Cut) -> Session:
        """The server's side of a cut, ready to run.

        Raises:
            OffloadError: it cannot be loaded.
        """


class Sources:
    """The models a server was started with, by hash."""

    def __init__(self, sources: Iterable[TailSource]) -> None:
        self._by_hash = {source.hash: source for source in sources}

    @property
    def described(self) -> tuple[ServerModel, ...]:
        """What clients are told about them."""
        return tuple(
            ServerModel(name=one.name, hash=one.hash, spec=one.own.spec, device=one.own.device, dtype=one.own.dtype)
            for one in self._by_hash.values()
        )

    def find(self, model_hash: str) -> TailSource:
        """The model with this content.

        Raises:
            RefusalError: FAILED_PRECONDITION, when there is none.
        """
        found = self._by_hash.get(model_hash)
        if found is not None:
            return found
        if not self._by_hash:
            raise unprepared(f"content {model_hash[:12]!r} is asked for, this server was started without models")
        held = ", ".join(f"{source.name} with content {source.hash[:12]!r}" for source in self._by_hash.values())
        raise unprepared(f"content {model_hash[:12]!r} is asked for, this server was started with {held}")


@dataclass(frozen=True, kw_only=True)
class LoadedSource:
    """A loaded model as a `TailSource`."""

    own: OwnModel
    model: LoadedModel
    runtime: Runtime
    threads: int

    @property
    def name(self) -> str:
        """See `TailSource.name`."""
        return self.model.name

    @property
    def hash(self) -> str:
        """See `TailSource.hash`."""
        return self.model.hash

    @property
    def graph(self) -> ModelGraph:
        """See `TailSource.graph`."""
        return self.model.graph

    def load_tail(self, cut: Cut) -> Session:
        """See `TailSource.load_tail`."""
        tail = self.model.divide(cut).tail
        if tail is None:
            raise OffloadError("this cut leaves nothing for the server to compute")
        return self.runtime.load(tail, threads=self.threads)


class OwnTail:
    """The server's side of a cut of one of its own models; runs once on zeros, so that it is warm and known to fit.

    Raises:
        RefusalError: it cannot be loaded, does not fit into memory, or has tensors of a type that is not carried.
    """

    platform = "offload_torch"
    exclusive = True

    def __init__(self, source: TailSource, cut: Cut) -> None:
        graph = source.graph
        self.inputs, self.outputs = (_specs(graph, names) for names in (cut.crossing, cut.returning))
        try:
            self._session = source.load_tail(cut)
            self._session.run(_zeros(self.inputs))
        except (OffloadError, MemoryError, RuntimeError) as error:
            raise _refusal(error) from error

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """See `ServedModel.infer`."""
        try:
            return self._session.run(inputs)
        except (OffloadError, RuntimeError) as error:
            raise _refusal(error) from error


def tail_bytes(graph: ModelGraph, cut: Cut) -> int:
    """Weights of the layers that the server runs."""
    return sum(layer.weight_bytes for index, layer in enumerate(graph.layers) if index not in cut.device)


def _zeros(specs: Sequence[TensorSpec]) -> dict[str, Array]:
    import numpy as np

    return {spec.name: np.zeros(spec.shape, NUMPY_OF_DATATYPE[spec.datatype]) for spec in specs}


def _refusal(error: Exception) -> RefusalError:
    message = error.message if isinstance(error, OffloadError) else str(error)
    first = next(iter(message.splitlines()), type(error).__name__)
    if isinstance(error, MemoryError) or "out of memory" in message:
        return exhausted(first)
    return RefusalError(grpc.StatusCode.INTERNAL, first)


def _specs(graph: ModelGraph, names: Sequence[str]) -> tuple[TensorSpec, ...]:
    specs = []
    for name in names:
        tensor = graph.tensor_by_name[name]
        if tensor.dtype not in DATATYPE_OF_NUMPY:
            raise invalid(f"tensor '{name}' is of the type {tensor.dtype}, which this server does not carry")
        specs.append(TensorSpec(name=name, datatype=DATATYPE_OF_NUMPY[tensor.dtype], shape=tensor.shape))
    return tuple(specs)
