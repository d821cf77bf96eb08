"""`offload serve`: the Open Inference Protocol server, until it is told to stop."""

from __future__ import annotations

import dataclasses
import errno
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2_grpc

from offload.errors import OffloadError, UsageError
from offload.progress import Progress
from offload.runtimes.allocator import keep_large_buffers
from offload.serving.addresses import format_address, is_loopback
from offload.serving.authentication import TokenCheck
from offload.serving.builtin_models import (
    MODELS,
    PING,
    PROBE_DOWN,
    PROBE_UP,
    PROFILE,
    Models,
    Ping,
    ProbeDown,
    ProbeUp,
    ProfileInChild,
)
from offload.serving.own_loading import load_own_models
from offload.serving.own_models import OwnModel, Sources, TailSource
from offload.serving.repository import Repository
from offload.serving.served_model import ServedModel
from offload.serving.servicer import InferenceServicer
from offload.serving.upload import UploadLimits
from offload.units import format_duration
from offload.version import __version__

_MAX_MESSAGE_BYTES = 2**31 - 1
_ENVELOPE_BYTES = 1024**2
"""What a message may hold beside the model or tensors themselves."""
_SWEEP_S = 5.0
"""How often idle models are looked for."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How to serve."""

    host: str = "127.0.0.1"
    port: int = 8001
    """0 takes a free one."""
    threads: int = 1
    """Threads of each inference."""
    token: str | None = dataclasses.field(default=None, repr=False)
    """What clients must present."""
    tls_cert: str | None = None
    """PEM file with the certificate chain."""
    tls_key: str | None = None
    """PEM file with its private key."""
    insecure: bool = False
    """Serve beyond this machine without token and TLS."""
    limits: UploadLimits = dataclasses.field(default_factory=UploadLimits)
    models: tuple[OwnModel, ...] = ()
    """Torch models that clients may ask for tails of."""
    idle_unload_s: float = 1800.0
    """What clients loaded is forgotten when no call has named it for so many seconds; 0 keeps it."""
    max_concurrent_calls: int = 64
    """Calls in progress or waiting; more are refused with RESOURCE_EXHAUSTED."""
    grace_s: float = 30.0
    """How long requests in flight may take to finish at shutdown."""


def builtin_models(settings: ServeSettings, sources: Sources) -> dict[str, ServedModel]:
    """The models every server has."""
    profile = ProfileInChild(threads=settings.threads, memory_bytes=settings.limits.trial_memory_bytes, sources=sources)
    return {
        PING: Ping(),
        PROBE_UP: ProbeUp(),
        PROBE_DOWN: ProbeDown(),
        PROFILE: profile,
        MODELS: Models(sources),
    }


def serve(
    settings: ServeSettings,
    progress: Progress,
    ready: Callable[[int], None],
    *,
    stop: threading.Event | None = None,
    builtins: Mapping[str, ServedModel] | None = None,
    sources: Sequence[TailSource] | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; requests in flight then finish.

    Args:
        settings: Where and how.
        progress: Told about models that come and go.
        ready: Called with the port once calls are answered.
        stop: Ends the server when set; signals set it too, when this runs in the main thread.
        builtins: Replaces the built-in models.
        sources: Replaces what `settings.models` are loaded as.

    Raises:
        UsageError: an address beyond this machine without token and TLS, or a value out of range.
        OffloadError: the port is in use, the host cannot be bound, a certificate cannot be read, or one of the
            server's own models cannot be loaded.
    """
    stop = stop or threading.Event()
    _check(settings)
    credentials = _credentials(settings)
    _check_bindable(settings.host, settings.port)
    keep_large_buffers()
    if sources is None:
        sources = load_own_models(
            settings.models,
            threads=settings.threads,
            max_total_bytes=settings.limits.max_total_bytes,
            progress=progress,
        )
    own = Sources(sources)
    machine = threading.Lock()
    repository = Repository(
        builtin_models(settings, own) if builtins is None else builtins,
        settings.limits,
        threads=settings.threads,
        machine=machine,
        sources=own,
        idle_unload_s=settings.idle_unload_s,
    )
    servicer = InferenceServicer(repository, machine, server_version=__version__, progress=progress)
    server, port = _start(settings, servicer, credentials)
    try:
        with _stopping_on_signals(stop):
            ready(port)
            while not stop.wait(_SWEEP_S):
                for name in repository.unload_idle():
                    progress.note(
                        f"unloaded {name}, which nobody has used for {format_duration(settings.idle_unload_s)}"
                    )
    finally:
        server.stop(settings.grace_s).wait()


def _start(
    settings: ServeSettings, servicer: InferenceServicer, credentials: grpc.ServerCredentials | None
) -> tuple[grpc.Server, int]:
    """A started server and its port."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=settings.max_concurrent_calls, thread_name_prefix="call"),
        interceptors=[TokenCheck(settings.token)] if settings.token else [],
        options=[
            ("grpc.so_reuseport", 0),  # else two servers could share a port and each get half the calls
            ("grpc.max_receive_message_length", settings.limits.max_upload_bytes + _ENVELOPE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ],
        maximum_concurrent_rpcs=settings.max_concurrent_calls,
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    address = format_address(settings.host, settings.port)
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise OffloadError(f"cannot listen on {address}", hint="choose another --host or --port") from error
    server.start()
    return server, port


def _check(settings: ServeSettings) -> None:
    protected = settings.token and settings.tls_cert and settings.tls_key
    if not is_loopback(settings.host) and not protected and not settings.insecure:
        raise UsageError(
            f"serving on {settings.host} lets others upload and run models here",
            hint="give --token, --tls-cert and --tls-key, or --insecure on a network you trust",
        )
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError("TLS needs both a certificate and its key", hint="give --tls-cert and --tls-key")
    if settings.threads < 1:
        raise UsageError(f"{settings.threads} threads cannot run anything", hint="give --threads 1 or more")
    if not 0 <= settings.port < 65536:
        raise UsageError(f"{settings.port} is not a port", hint="use 1 to 65535, or 0 for a free one")
    if not 0 < settings.limits.max_upload_bytes <= _MAX_MESSAGE_BYTES - _ENVELOPE_BYTES:
        raise UsageError("the upload limit must be above zero and below 2 GiB", hint="give --max-upload 1GiB")


def _check_bindable(host: str, port: int) -> None:
    """Say precisely why an address cannot be bound; gRPC's own error does not."""
    address = format_address(host, port)
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "stop what listens there, or choose another --port (0 takes a free one)"
            raise OffloadError(f"port {port} on {host} is in use", hint=hint) from error
        reason = error.strerror or str(error)
        hint = "use an address of this machine, such as 127.0.0.1, and a port you may use"
        raise OffloadError(f"cannot listen on {address}: {reason}", hint=hint) from error


def _credentials(settings: ServeSettings) -> grpc.ServerCredentials | None:
    if not settings.tls_cert or not settings.tls_key:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        pair = (Path(settings.tls_key).read_bytes(), Path(settings.tls_cert).read_bytes())
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise OffloadError(
            f"cannot use the certificate {settings.tls_cert} with the key {settings.tls_key}: {reason}",
            hint="both must be readable PEM files that belong together, the key without a passphrase",
        ) from error
    return grpc.ssl_server_credentials([pair])


@contextmanager
def _stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)

    def on_signal(*_: object) -> None:
        # Not `stop.set()` here: the main thread may hold the event's lock in `wait`, and would wait for itself.
        threading.Thread(target=stop.set, daemon=True).start()

    previous = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
