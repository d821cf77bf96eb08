"""Execute the options of a plan side by side and measure each request."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.plan import Option
from offload.artifacts.profile import Precision
from offload.codecs.base import Codec
from offload.errors import OffloadError, VerdictError
from offload.graph.cuts import make_cut
from offload.graph.model_graph import ModelGraph
from offload.models.loaded import LoadedModel
from offload.models.segments import OnnxSegment
from offload.profilers.rests import PAUSE_S
from offload.runtimes.base import Runtime
from offload.serving.client import ServerClient
from offload.serving.split_session import SplitSession
from offload.serving.timing import ClockOffset
from offload.verification.rounds import Contender

if TYPE_CHECKING:
    from offload.runtimes.base import Array

OUTPUT_TOLERANCE: Mapping[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 8e-2}
"""Largest accepted difference of an output from the whole model's, relative to the largest magnitude of that output:
above what the order of additions changes between machines, far below what a wrong tensor does."""
_WARM_UP_REQUESTS = 3
_WARM_UP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """An option that is ready to run."""

    option: Option
    session: SplitSession
    tail_bytes: int
    upload_s: float


@contextmanager
def deployed(
    options: Sequence[Option],
    *,
    model: LoadedModel,
    runtime: Runtime,
    threads: int,
    codec: Codec,
    slowdown: float,
    server_load: float,
    client: ServerClient,
    uploader: ServerClient,
    offset: ClockOffset | None,
) -> Iterator[list[Deployed]]:
    """The options with their heads loaded here and their tails on the server; the tails are unloaded at the end.

    Args:
        options: What to deploy.
        model: The whole.
        runtime: What runs the heads.
        threads: Threads of the heads.
        codec: How tensors cross.
        slowdown: See `SplitSession`.
        server_load: See `SplitSession`.
        client: The connection requests take.
        uploader: The connection tails are uploaded by; the emulated link need not carry them.
        offset: The server's clock, None where it tells none.

    Raises:
        OffloadError: a head cannot be loaded, or the server refuses a tail.
    """
    graph = model.graph
    loaded: list[str] = []
    try:
        ready = []
        for option in options:
            cut = make_cut(graph, option.device_layers)
            segments = model.divide(cut)
            head = None
            if segments.head is not None:
                head = (runtime.load(segments.head, threads=threads), segments.head.inputs)
            name, tail_bytes, upload_s = None, 0, 0.0
            if segments.tail is not None:
                content = segments.tail.onnx if isinstance(segments.tail, OnnxSegment) else model.hash.encode()
                # By its content, and this run's own: another run of the same plan unloads its own tail only.
                name = f"offload-{hashlib.sha256(content).hexdigest()[:24]}-{secrets.token_hex(4)}"
                started = time.perf_counter()
                loaded.append(name)
                if isinstance(segments.tail, OnnxSegment):
                    uploader.upload(name, segments.tail.onnx)
                    tail_bytes = len(segments.tail.onnx)
                else:  # the server has the model, too, and divides its own
                    uploader.load_tail(name, model_hash=model.hash, device_layers=cut.device)
                upload_s = time.perf_counter() - started
                _check_loaded(uploader, name, graph, segments.tail.inputs, segments.tail.outputs)
            session = SplitSession(
                head=head,
                tail=name,
                client=client,
                cut=cut,
                outputs=graph.outputs,
                codec=codec,
                slowdown=slowdown,
                server_load=server_load,
                offset=offset,
                downlink_s=option.breakdown.downlink_s.value,
            )
            ready.append(Deployed(option=option, session=session, tail_bytes=tail_bytes, upload_s=upload_s))
        yield ready
    finally:
        for name in loaded:
            with suppress(OffloadError):  # the server may be what failed
                uploader.unload(name)


def _check_loaded(
    client: ServerClient, name: str, graph: ModelGraph, inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    """Some servers answer an upload with OK and ignore it: ask for the model and its signature."""
    if not client.ready(name):
        raise OffloadError(
            f"the server accepted the upload of {name} but does not have it ready",
            hint="it may ignore uploads: start it in explicit model-control mode, or use `offload serve`",
        )
    for wanted, told in zip((inputs, outputs), client.metadata(name), strict=True):
        expected = {tensor: graph.tensor_by_name[tensor].shape for tensor in wanted}
        found = {spec.name: tuple(spec.shape) for spec in told}
        if expected != found:
            raise OffloadError(
                f"the server's {name} has {found}, the plan's tail has {expected}",
                hint="it serves another model under that name: unload it there",
            )


def output_error(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference over all outputs, each relative to the largest magnitude of its expected values.

    Infinite when a shape differs or a value is not finite where the expected one is.
    """
    import numpy as np

    worst = 0.0
    for name, right in expected.items():
        left = outputs[name]
        if left.shape != right.shape:
            return float("inf")
        scale = float(np.max(np.abs(right.astype(np.float64)), initial=0.0)) or 1.0
        difference = np.max(np.abs(left.astype(np.float64) - right.astype(np.float64)), initial=0.0)
        worst = max(worst, float(difference) / scale if np.isfinite(difference) else float("inf"))
    return worst


def check_outputs(
    one: Deployed, feeds: Mapping[str, Array], expected: Mapping[str, Array], *, tolerance: float
) -> float:
    """The output error of one request, whose time does not matter.

    Raises:
        VerdictError: it is above the tolerance.
    """
    outputs, _ = one.session.run(feeds, slowed=False)
    error = output_error(outputs, expected)
    if error > tolerance:
        raise VerdictError(
            f"wrong numbers: the outputs of the divided model are off by {error:.2g} of their largest value, "
            f"{tolerance:g} is accepted ({one.option.words})",
            hint="the server runs another model or computes wrongly; nothing was timed",
        )
    return error


def contender(one: Deployed, feeds: Mapping[str, Array]) -> Contender:
    """The option, warmed up, for `measure`.

    Warming up does not emulate slower sides, and ends early when requests are long.
    """
    warmed_s = 0.0
    for _ in range(_WARM_UP_REQUESTS):
        _, sample = one.session.run(feeds, slowed=False)
        warmed_s += sample.latency_s
        if warmed_s >= _WARM_UP_S:
            break
    repeated_s = (one.session.repeats - 1) * (PAUSE_S + sample.device_s)
    return Contender(ask=lambda: one.session.run(feeds)[1], request_s=sample.latency_s + repeated_s)
