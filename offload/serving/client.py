"""The client of any Open Inference Protocol server, on `tritonclient.grpc`; our own server tells it more."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from offload.errors import OffloadError
from offload.runtimes.allocator import keep_large_buffers
from offload.serving.addresses import is_loopback, parse_address
from offload.serving.builtin_models import MODELS, PING
from offload.serving.channel import client_channel_arguments
from offload.serving.client_errors import ServerError, server_error
from offload.serving.decoding import PARAMETER, Coded, announcement
from offload.serving.own_models import ServerModel
from offload.serving.tail_request import tail_config
from offload.serving.tensors import DATATYPE_OF_NUMPY, TensorSpec
from offload.serving.timing import ClockOffset, InferResult, ModelCounts, ServerInfo, ServerTimes, best_offset
from offload.serving.upload import MODEL_FILE

if TYPE_CHECKING:
    from offload.runtimes.base import Array

_PADDING, _PAD = "offload_padding", "0" * 197
"""A parameter that servers pass over; with it a ping is as long as its answer."""
_CONFIG = {"backend": "onnxruntime"}
"""Triton wants a config beside uploaded files; it completes this one from the model."""


class ServerClient:
    """A connection to a server, opened lazily by the first call.

    Args:
        address: HOST:PORT.
        token: Presented with every call.
        tls: PEM file with the certificate authority to trust, "system" for the system's own, None for no TLS.
        timeout_s: Longest time a call may take; uploads and profiles take their own.

    Raises:
        UsageError: the address is not one.
        OffloadError: the certificate file cannot be read.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        tls: Path | Literal["system"] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        host, _ = parse_address(address)
        keep_large_buffers()
        self.address = address
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {token}"} if token else None
        self._client = triton.InferenceServerClient(
            address,
            creds=_credentials(tls) if tls else None,
            channel_args=client_channel_arguments(loopback=is_loopback(host)),
        )

    def check(self) -> ServerInfo:
        """Name, version and extensions of a server that is live and ready.

        Raises:
            ServerError: it cannot be reached, refuses us, or is not ready.
        """
        if not (self._call(self._client.is_server_live) and self._call(self._client.is_server_ready)):
            hint = "wait until it has started, then try again"
            raise ServerError(f"the server at {self.address} is not ready", hint=hint, code="UNAVAILABLE")
        metadata = self._call(self._client.get_server_metadata)
        return ServerInfo(name=metadata.name, version=metadata.version, extensions=tuple(metadata.extensions))

    def upload(
        self, name: str, onnx: bytes, *, coded: Mapping[str, Coded] | None = None, timeout_s: float = 300.0
    ) -> None:
        """Load a model under a name, replacing one of that name on our own server.

        Other servers may ignore a second upload under a known name, so names should carry the content's hash.

        Args:
            name: What it is to be called.
            onnx: The model.
            coded: Inputs, by name, whose payloads the server is to decode; only our own server does.
            timeout_s: What loading may take.

        Raises:
            ServerError: the server refuses the model, does not take uploads, or decodes no payloads.
        """
        config: dict[str, Any] = dict(_CONFIG)
        if coded:
            config["parameters"] = {PARAMETER: {"string_value": announcement(coded)}}
        self._call(
            self._client.load_model, name, config=json.dumps(config), files={MODEL_FILE: onnx}, timeout_s=timeout_s
        )
        if coded:
            self._check_decodes(name, coded)

    def _check_decodes(self, name: str, coded: Mapping[str, Coded]) -> None:
        """Servers that do not know the announcement pass over it and take the tensors themselves."""
        taken = {spec.name: (spec.datatype, spec.shape) for spec in self.metadata(name)[0]}
        for key, one in coded.items():
            if taken.get(key) != ("UINT8", (-1,)):
                self.unload(name)
                raise ServerError(
                    f"the server at {self.address} does not decode payloads of the codec {one.codec}",
                    hint="use `offload serve`, or a plan whose codec is raw or a trained one with packed symbols, "
                    "which any server that runs ONNX decodes",
                    code="",
                )

    def models(self) -> tuple[ServerModel, ...]:
        """The torch models that our own server was started with; none for any other server."""
        if not self.ready(MODELS):
            return ()
        text = self.infer(MODELS, {}).outputs["models"][0]
        try:
            return tuple(ServerModel(**fields) for fields in json.loads(text))
        except (ValueError, TypeError) as error:
            hint = "run the same version of offload on both sides"
            message = f"what the server at {self.address} tells about its models cannot be read"
            raise ServerError(message, hint=hint, code="") from error

    def load_tail(self, name: str, *, model_hash: str, device_layers: Iterable[int], timeout_s: float = 300.0) -> None:
        """Have the server divide a model that it was started with, and serve its own side under a name.

        Neither code nor weights travel. The tail's inputs are the cut's crossing tensors, its outputs the returning.

        Args:
            name: A fresh name; a tail that has it already is replaced.
            model_hash: The content of the whole model, which must be the server's too.
            device_layers: Indices of the layers that run here.
            timeout_s: What loading may take.

        Raises:
            ServerError: the server has no models of its own, has another one, or refuses the cut.
        """
        if not self.ready(MODELS):
            raise ServerError(
                f"the server at {self.address} serves no tails of models of its own",
                hint="start one with `offload serve --model NAME`",
                code="UNIMPLEMENTED",
            )
        config = tail_config(model_hash, device_layers)
        self._call(self._client.load_model, name, config=config, timeout_s=timeout_s)

    def unload(self, name: str) -> None:
        """Forget a model; one that is not there is no error."""
        self._call(self._client.unload_model, name)

    def ready(self, name: str) -> bool:
        """Whether the server can answer inferences of a model."""
        try:
            return bool(self._call(self._client.is_model_ready, name))
        except ServerError as error:
            if error.code == "NOT_FOUND":  # what some servers answer where Triton says false
                return False
            raise

    def metadata(self, name: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs of a model."""
        answer = self._call(self._client.get_model_metadata, name)
        inputs, outputs = (
            tuple(TensorSpec(name=one.name, datatype=one.datatype, shape=tuple(one.shape)) for one in tensors)
            for tensors in (answer.inputs, answer.outputs)
        )
        return inputs, outputs

    def infer(self, name: str, feeds: Mapping[str, Array], *, timeout_s: float | None = None) -> InferResult:
        """One inference, with the clocks around each step of it.

        Arrays of dtype object hold `bytes` and travel as BYTES. Outputs are read-only views of the response.

        Raises:
            ServerError: the server cannot be reached, or refuses, or takes too long.
        """
        return self._infer(name, feeds, timeout_s=timeout_s)

    def _infer(
        self, name: str, feeds: Mapping[str, Array], *, timeout_s: float | None = None, **more: Any
    ) -> InferResult:
        encoding_ns = time.perf_counter_ns()
        inputs = [self._input(key, array) for key, array in feeds.items()]
        started_ns = time.perf_counter_ns()
        result = self._call(self._client.infer, name, inputs, timeout_s=timeout_s, **more)
        return _read(result, encoding_ns, started_ns)

    def begin(
        self,
        name: str,
        feeds: Mapping[str, Array],
        done: Callable[[InferResult | ServerError], None],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Start one inference and return: many of one connection may be on their way, and overlap.

        Args:
            name: The model.
            feeds: As for `infer`.
            done: Told once what came of it, on a thread of the connection; it must not wait, nor raise.
            timeout_s: Longest time until then.

        Raises:
            ServerError: a tensor cannot be sent.
        """
        allowed_s = timeout_s or self._timeout_s
        encoding_ns = time.perf_counter_ns()
        inputs = [self._input(key, array) for key, array in feeds.items()]
        started_ns = time.perf_counter_ns()

        def told(result: Any, error: InferenceServerException | None) -> None:
            if error is not None:
                done(server_error(error, self.address, allowed_s))
                return
            try:
                answer = _read(result, encoding_ns, started_ns)
            except Exception as problem:  # whatever a malformed answer makes the client library stumble over
                hint = "run the same version of offload on both sides"
                done(ServerError(f"what {self.address} answers cannot be read: {problem}", hint=hint, code=""))
                return
            done(answer)

        self._call(self._client.async_infer, name, inputs, told, timeout_s=allowed_s)

    def statistics(self, name: str) -> ModelCounts:
        """What the model has done since it was loaded."""
        return ModelCounts.of_message(self._call(self._client.get_inference_statistics, name).model_stats[0])

    def rtt(self, samples: int = 10, *, rest_s: float = 0.0) -> tuple[float, ...]:
        """Round-trip seconds of tiny calls, the server's own time taken off where it tells it.

        The first call of a new connection is not among them.

        Args:
            samples: How many calls.
            rest_s: Seconds to wait before each.
        """
        if self._stamps():
            return tuple(self._rested(lambda: self.infer(PING, {}).network_s, rest_s) for _ in range(samples))
        self._call(self._client.is_server_live)
        timed = partial(self._timed, lambda: self._call(self._client.is_server_live))
        return tuple(self._rested(timed, rest_s) for _ in range(samples))

    def clock_offset(self, samples: int = 20) -> ClockOffset | None:
        """The server's clock against ours, from the fastest of some tiny calls; None when it does not tell.

        They are as long as their answers, which carry the server's stamps: a slow link would take longer for these
        than for bare calls, and the clocks would seem apart by half of that.
        """
        if not self._stamps():
            return None
        return best_offset([self._infer(PING, {}, parameters={_PADDING: _PAD}) for _ in range(samples)])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stamps(self) -> bool:
        return self.ready(PING) and self.infer(PING, {}).server is not None

    @staticmethod
    def _rested(call: Callable[[], float], rest_s: float) -> float:
        time.sleep(rest_s)
        return call()

    @staticmethod
    def _timed(call: Callable[[], object]) -> float:
        started_ns = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - started_ns) / 1e9

    def _input(self, name: str, array: Array) -> Any:
        datatype = "BYTES" if array.dtype == np.object_ else DATATYPE_OF_NUMPY.get(array.dtype.name)
        if datatype is None:
            raise ServerError(
                f"tensor '{name}' of dtype {array.dtype} cannot be sent", hint="cast it to a standard type", code=""
            )
        return triton.InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)

    def _call(self, method: Callable[..., Any], *args: Any, timeout_s: float | None = None, **options: Any) -> Any:
        allowed_s = timeout_s or self._timeout_s
        try:
            return method(*args, headers=self._headers, client_timeout=allowed_s, **options)
        except InferenceServerException as error:
            raise server_error(error, self.address, allowed_s) from error


def _read(result: Any, encoding_ns: int, started_ns: int) -> InferResult:
    """What came of a call, as soon as it is there."""
    finished_ns = time.perf_counter_ns()
    response = result.get_response()
    outputs = {output.name: result.as_numpy(output.name) for output in response.outputs}
    decoded_ns = time.perf_counter_ns()
    return InferResult(
        outputs=outputs,
        encoding_ns=encoding_ns,
        started_ns=started_ns,
        finished_ns=finished_ns,
        decoded_ns=decoded_ns,
        server=ServerTimes.of_response(response),
    )


def _credentials(tls: Path | Literal["system"]) -> grpc.ChannelCredentials:
    if tls == "system":
        return grpc.ssl_channel_credentials()
    try:
        ssl.create_default_context(cafile=tls)  # gRPC itself would only fail to connect
        return grpc.ssl_channel_credentials(tls.read_bytes())
    except OSError as error:  # ssl.SSLError is one
        reason = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        hint = "give a PEM file that you may read"
        raise OffloadError(f"cannot read the certificate {tls}: {reason}", hint=hint) from error
