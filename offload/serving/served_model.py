"""What the server can answer inferences for: an uploaded ONNX model, or something built in."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from offload.errors import OffloadError
from offload.runtimes.onnxruntime import DTYPE_OF_ORT_TYPE, OnnxRuntime, OnnxRuntimeSession
from offload.serving.refusal import RefusalError, invalid
from offload.serving.tensors import DATATYPE_OF_NUMPY, TensorSpec

if TYPE_CHECKING:
    from offload.runtimes.base import Array


class ServedModel(Protocol):
    """A model as the servicer sees it."""

    @property
    def platform(self) -> str:
        """What runs it, as Triton names platforms."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a request must bring."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What a response carries."""

    @property
    def exclusive(self) -> bool:
        """Whether it must have the machine to itself; such models run one at a time."""

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """Outputs by name; `cancelled` is set when nobody waits for them any more.

        Raises:
            RefusalError: the inputs cannot be answered.
        """


class OnnxModel:
    """An uploaded model in ONNX Runtime.

    Raises:
        RefusalError: the model cannot be loaded or has inputs or outputs that are not plain tensors.
    """

    platform = "onnxruntime_onnx"
    exclusive = True

    def __init__(self, onnx: bytes, *, threads: int) -> None:
        self.size_bytes = len(onnx)
        try:
            self._session = OnnxRuntime().load_onnx(onnx, threads=threads)
        except OffloadError as error:
            raise invalid(error.message) from error
        self.inputs, self.outputs = signature(self._session)

    def infer(self, inputs: Mapping[str, Array], cancelled: threading.Event) -> Mapping[str, Array]:
        """See `ServedModel.infer`."""
        import grpc

        try:
            return self._session.run(inputs)
        except OffloadError as error:
            raise RefusalError(grpc.StatusCode.INTERNAL, error.message) from error


def signature(session: OnnxRuntimeSession) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a loaded ONNX model as the protocol describes them.

    Raises:
        RefusalError: one of them is not a tensor of a supported type.
    """
    return _specs(list(session.inputs.values()), "input"), _specs(list(session.outputs.values()), "output")


def _specs(values: Sequence[Any], what: str) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        dtype = DTYPE_OF_ORT_TYPE.get(value.type)
        if dtype is None:
            raise invalid(f"{what} '{value.name}' has the type {value.type}, which this server does not carry")
        shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in value.shape)
        specs.append(TensorSpec(name=value.name, datatype=DATATYPE_OF_NUMPY[dtype], shape=shape))
    return tuple(specs)
