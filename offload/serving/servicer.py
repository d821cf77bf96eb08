# ruff: noqa: N802  the methods are named as the protocol names its calls
"""The calls of the Open Inference Protocol, on the stubs that tritonclient ships."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from offload.progress import Progress
from offload.serving.decoding import decode_payloads
from offload.serving.own_models import OwnTail
from offload.serving.refusal import RefusalError, invalid
from offload.serving.repository import VERSION, Entry, Repository
from offload.serving.statistics import RequestTimes
from offload.serving.tensors import TensorSpec, decode_inputs, encode_outputs

if TYPE_CHECKING:
    from offload.runtimes.base import Array

EXTENSIONS = ("model_repository", "model_configuration", "statistics", "parameters")
_CANCEL_POLL_S = 0.1

Call = Callable[[Any, Any, grpc.ServicerContext], Any]


def _answering(call: Call) -> Call:
    """Turn refusals into statuses, and anything unforeseen into INTERNAL with a warning, never a traceback."""

    @functools.wraps(call)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(self, request, context)
        except RefusalError as refusal:
            code, message = refusal.code, refusal.message
        except MemoryError:
            code, message = grpc.StatusCode.RESOURCE_EXHAUSTED, "the server is out of memory"
        except Exception as error:
            code, message = grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
            self._progress.warn(f"{call.__name__} failed: {message}")
        return context.abort(code, message)

    return answer


class InferenceServicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers the protocol's calls from a repository.

    Args:
        repository: The models.
        machine: Held by one exclusive inference at a time, since each uses all the server's threads.
        server_version: What ServerMetadata says.
        progress: Told about models that come and go.
    """

    def __init__(
        self, repository: Repository, machine: threading.Lock, *, server_version: str, progress: Progress
    ) -> None:
        self._repository = repository
        self._machine = machine
        self._server_version = server_version
        self._progress = progress

    @_answering
    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Always live: otherwise nothing would answer."""
        return service_pb2.ServerLiveResponse(live=True)

    @_answering
    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Ready as soon as it answers."""
        return service_pb2.ServerReadyResponse(ready=True)

    @_answering
    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Name, version and extensions."""
        return service_pb2.ServerMetadataResponse(name="offload", version=self._server_version, extensions=EXTENSIONS)

    @_answering
    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Whether the model is here; as in Triton, an unknown one is not ready rather than an error."""
        try:
            self._repository.get(request.name, request.version)
        except RefusalError:
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=True)

    @_answering
    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Inputs and outputs."""
        entry = self._repository.get(request.name, request.version)
        response = service_pb2.ModelMetadataResponse(name=entry.name, versions=[VERSION], platform=entry.model.platform)
        for specs, tensors in ((entry.inputs, response.inputs), (entry.model.outputs, response.outputs)):
            for spec in specs:
                tensors.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
        return response

    @_answering
    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The configuration Triton would show: no batching, one instance, on the CPU or where its runtime puts it."""
        entry = self._repository.get(request.name, request.version)
        response = service_pb2.ModelConfigResponse()
        config = response.config
        config.name, config.platform = entry.name, entry.model.platform
        if config.platform == "onnxruntime_onnx":
            config.backend, config.default_model_filename = "onnxruntime", "model.onnx"
        kinds = model_config_pb2.ModelInstanceGroup
        kind = kinds.KIND_MODEL if config.platform == OwnTail.platform else kinds.KIND_CPU
        config.version_policy.latest.num_versions = 1
        config.instance_group.add(name=entry.name, kind=kind, count=1)
        for spec in entry.inputs:
            config.input.add(name=spec.name, data_type=_config_type(spec), dims=spec.shape, optional=spec.optional)
        for spec in entry.model.outputs:
            config.output.add(name=spec.name, data_type=_config_type(spec), dims=spec.shape)
        return response

    @_answering
    def ModelStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Counters of one model, or of all when no name is given."""
        entries = [self._repository.get(request.name, request.version)] if request.name else list(self._repository)
        response = service_pb2.ModelStatisticsResponse()
        for entry in entries:
            entry.counters.fill(response.model_stats.add(name=entry.name, version=VERSION))
        return response

    @_answering
    def RepositoryIndex(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Every model here, all of them ready."""
        response = service_pb2.RepositoryIndexResponse()
        for entry in self._repository:
            response.models.add(name=entry.name, version=VERSION, state="READY")
        return response

    @_answering
    def RepositoryModelLoad(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Take an upload, or divide one of the server's own models."""
        self._repository.load(request)
        self._progress.note(f"loaded {request.model_name}")
        return service_pb2.RepositoryModelLoadResponse()

    @_answering
    def RepositoryModelUnload(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Forget what was loaded."""
        self._repository.unload(request.model_name)
        self._progress.note(f"unloaded {request.model_name}")
        return service_pb2.RepositoryModelUnloadResponse()

    @_answering
    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        """One inference; the response's parameters tell when it came, when it left and where the time went."""
        received_ns = time.perf_counter_ns()
        entry = self._repository.get(request.model_name, request.model_version)
        cancelled = threading.Event()
        if not context.add_callback(cancelled.set):
            cancelled.set()
        times = RequestTimes()
        try:
            response = self._infer(entry, request, times, received_ns, cancelled)
        except BaseException:
            entry.counters.record_failure(time.perf_counter_ns() - received_ns)
            raise
        sent_ns = time.perf_counter_ns()
        entry.counters.record_success(times, sent_ns - received_ns)
        stamps = {
            "offload_received_ns": received_ns,
            "offload_sent_ns": sent_ns,
            "offload_queue_ns": times.queue_ns,
            "offload_compute_input_ns": times.compute_input_ns,
            "offload_compute_infer_ns": times.compute_infer_ns,
            "offload_compute_output_ns": times.compute_output_ns,
            "offload_decode_ns": times.decode_ns,
        }
        for key, value in stamps.items():
            response.parameters[key].int64_param = value
        return response

    def _infer(
        self, entry: Entry, request: Any, times: RequestTimes, received_ns: int, cancelled: threading.Event
    ) -> Any:
        inputs: Mapping[str, Array] = decode_inputs(request, entry.inputs, entry.name)
        names = _requested_outputs(request, entry)
        decoded_ns = time.perf_counter_ns()
        times.compute_input_ns = decoded_ns - received_ns
        if entry.model.exclusive:
            self._wait_for_machine(cancelled)
        started_ns = time.perf_counter_ns()
        times.queue_ns = started_ns - decoded_ns
        try:
            inputs = decode_payloads(inputs, entry.codecs)
            ready_ns = time.perf_counter_ns()
            outputs = entry.model.infer(inputs, cancelled)
        finally:
            if entry.model.exclusive:
                self._machine.release()
        inferred_ns = time.perf_counter_ns()
        times.decode_ns = ready_ns - started_ns
        times.compute_input_ns += times.decode_ns
        times.compute_infer_ns = inferred_ns - ready_ns
        response = service_pb2.ModelInferResponse(model_name=entry.name, model_version=VERSION, id=request.id)
        encode_outputs(response, outputs, names)
        times.compute_output_ns = time.perf_counter_ns() - inferred_ns
        return response

    def _wait_for_machine(self, cancelled: threading.Event) -> None:
        while not self._machine.acquire(timeout=_CANCEL_POLL_S):
            if cancelled.is_set():
                raise RefusalError(grpc.StatusCode.CANCELLED, "the request was cancelled while it waited")
        if cancelled.is_set():
            self._machine.release()
            raise RefusalError(grpc.StatusCode.CANCELLED, "the request was cancelled while it waited")

    def _unimplemented(self, request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not offer that call")

    ModelStreamInfer = TraceSetting = LogSettings = _unimplemented
    SystemSharedMemoryStatus = SystemSharedMemoryRegister = SystemSharedMemoryUnregister = _unimplemented
    CudaSharedMemoryStatus = CudaSharedMemoryRegister = CudaSharedMemoryUnregister = _unimplemented


def _config_type(spec: TensorSpec) -> Any:
    name = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return model_config_pb2.DataType.Value(f"TYPE_{name}")


def _requested_outputs(request: Any, entry: Entry) -> list[str]:
    available = [spec.name for spec in entry.model.outputs]
    for output in request.outputs:
        if output.name not in available:
            raise invalid(f"unexpected inference output '{output.name}' for model '{entry.name}'")
        for parameter in ("classification", "shared_memory_region"):
            if parameter in output.parameters:
                raise invalid(f"output '{output.name}' asks for {parameter}, which this server does not offer")
    return [output.name for output in request.outputs] or available
