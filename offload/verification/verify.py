"""Prove a plan: execute it and its baselines, and put what was measured beside what was predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from offload.artifacts.plan import Option, Party, Plan
from offload.artifacts.verification import Drift, Measurement, RequestSample, Verdict, Verification
from offload.codecs.catalogue import CODECS
from offload.environment import physical_cores
from offload.errors import OffloadError
from offload.graph.cuts import is_legal
from offload.graph.model_graph import ModelGraph
from offload.models.loaded import LoadedModel
from offload.profilers.layers import random_feeds
from offload.profilers.reference import ReferenceKernel
from offload.progress import Progress
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_emulation import LinkEmulator, LinkShape
from offload.units import format_duration, format_rate
from offload.verification.execute import OUTPUT_TOLERANCE, WINDOW_REQUESTS, check_outputs, deployed, is_stable, measure


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where to execute the server's side."""

    address: str | None = None
    """HOST:PORT; None starts the embedded server."""
    link: tuple[LinkShape, LinkShape] | None = None
    """Uplink and downlink to emulate; None uses the network as it is."""
    token: str | None = None
    tls_ca: Path | None = None


def plan_link(plan: Plan) -> tuple[LinkShape, LinkShape]:
    """The plan's link as one to emulate: half of the round trip is each direction's delay."""
    link = plan.link
    return (
        LinkShape(rate_bps=link.uplink_bps, delay_s=link.rtt_s / 2),
        LinkShape(rate_bps=link.downlink_bps, delay_s=link.rtt_s / 2),
    )


def verify_plan(
    plan: Plan,
    *,
    model: LoadedModel,
    endpoint: Endpoint,
    requests: int,
    tolerance: float,
    slowdown: float,
    progress: Progress,
) -> Verification:
    """Execute a plan.

    Args:
        plan: What to prove.
        model: The whole; its hash is the plan's.
        endpoint: Where the server's side runs.
        requests: At most this many requests of the chosen option.
        tolerance: Accepted latency error, as a fraction.
        slowdown: How many times slower the device is made.
        progress: Told of requests done.

    Raises:
        OffloadError: the plan cannot be executed here; the server cannot be reached, refuses a tail, or dies.
        VerdictError: the divided model's outputs are wrong.
    """
    graph = model.graph
    _check_executable(plan, graph)
    runtime = OnnxRuntime()
    threads = plan.device.runtime.threads
    feeds = random_feeds(graph)
    expected = runtime.load(model.whole, threads=threads).run(feeds)
    options = _distinct([plan.chosen, plan.device_only, plan.server_only])
    with _connected(endpoint, plan.server, progress) as (client, uploader):
        offset = client.clock_offset()
        with deployed(
            options,
            model=model,
            runtime=runtime,
            threads=threads,
            codec=CODECS[plan.codec],
            slowdown=slowdown,
            client=client,
            uploader=uploader,
            offset=offset,
        ) as ready:
            errors = [check_outputs(one, feeds, expected) for one in ready]
            here = ReferenceKernel(runtime, threads=threads)
            there = ReferenceKernel(runtime, threads=plan.server.runtime.threads) if endpoint.address is None else None
            device_now: list[float] = []
            server_now: list[float] = []

            def time_references() -> None:
                device_now.append(here.time_once())
                if there is not None:
                    server_now.append(there.time_once())

            rows = measure(ready, feeds, requests=requests, between=time_references, progress=progress)
    by_layers = {
        one.option.device_layers: Measurement(option=one.option, samples=samples, stable=_stable(samples))
        for one, samples in zip(ready, rows, strict=True)
    }
    chosen = by_layers[plan.chosen.device_layers]
    draft = Verification.create(
        plan_hash=plan.content_hash,
        model=plan.model,
        server=endpoint.address or "embedded",
        link=_link_words(endpoint),
        network_split="server clock" if offset is not None else "predicted downlink",
        chosen=chosen,
        device_only=by_layers[plan.device_only.device_layers],
        server_only=by_layers[plan.server_only.device_layers],
        output_error=max(errors),
        output_tolerance=OUTPUT_TOLERANCE,
        tolerance=tolerance,
        device_drift=_drift(plan.device, device_now),
        server_drift=_drift(plan.server, server_now),
        tail_bytes=ready[0].tail_bytes,
        upload_s=ready[0].upload_s,
        verdict="within tolerance",
        warnings=_warnings(plan, chosen, endpoint, requests, slowdown),
    )
    return draft.model_copy(update={"verdict": verdict_of(draft)})


def verdict_of(verification: Verification) -> Verdict:
    """Within tolerance by the raw error; otherwise "cannot tell" when a machine has changed by more than half of it."""
    if abs(verification.chosen.error) <= verification.tolerance:
        return "within tolerance"
    return "cannot tell" if verification.drift > verification.tolerance / 2 else "out of tolerance"


def _check_executable(plan: Plan, graph: ModelGraph) -> None:
    if plan.codec not in CODECS:
        raise OffloadError(
            f"the plan sends tensors by the codec {plan.codec!r}, which this offload does not have",
            hint="make the plan again with this version, or verify it with the one that made it",
        )
    for option in (plan.chosen, plan.device_only, plan.server_only):
        if not (set(option.device_layers) <= set(range(len(graph.layers))) and is_legal(graph, option.device_layers)):
            raise OffloadError(
                f"the plan is damaged: the model cannot be divided like this: {option.words}",
                hint="make the plan again with `offload plan --bw 450mbps`",
            )


def _stable(samples: Sequence[RequestSample]) -> bool:
    """In windows of ten requests, or of a third of them where there are fewer: baselines are asked less often."""
    return is_stable([one.latency_s for one in samples], window=min(WINDOW_REQUESTS, len(samples) // 3))


def _distinct(options: list[Option]) -> list[Option]:
    return list({option.device_layers: option for option in options}.values())


@contextmanager
def _connected(endpoint: Endpoint, server: Party, progress: Progress) -> Iterator[tuple[ServerClient, ServerClient]]:
    """A client through the link and one beside it; the same when nothing is emulated."""
    with ExitStack() as stack:
        address = endpoint.address
        if address is None:
            threads = server.runtime.threads if server.source == "measured" else physical_cores()
            progress.note(f"starting the embedded server with {threads} thread{'s' if threads > 1 else ''}")
            address = stack.enter_context(EmbeddedServer(threads=threads)).address
        direct = stack.enter_context(ServerClient(address, token=endpoint.token, tls=endpoint.tls_ca))
        direct.check()
        if endpoint.link is None:
            yield direct, direct
            return
        uplink, downlink = endpoint.link
        emulated = stack.enter_context(LinkEmulator(address, uplink=uplink, downlink=downlink)).address
        client = ServerClient(emulated, token=endpoint.token, tls=endpoint.tls_ca)
        yield stack.enter_context(client), direct


def _drift(party: Party, now_s: Sequence[float]) -> Drift | None:
    if not party.reference_s or not now_s:
        return None
    return Drift(profiled_s=party.reference_s, now_s=tuple(now_s))


def _link_words(endpoint: Endpoint) -> str:
    if endpoint.link is None:
        return "the network as it is"
    up, down = (f"{format_rate(shape.rate_bps)}, {format_duration(shape.delay_s)} delay" for shape in endpoint.link)
    return f"emulated: {up} each way" if up == down else f"emulated: up {up}, down {down}"


def _warnings(plan: Plan, chosen: Measurement, endpoint: Endpoint, requests: int, slowdown: float) -> tuple[str, ...]:
    found = []
    if not chosen.stable:
        found.append(
            f"the last windows of {requests} requests differ by more than 10 %: add --requests, or quiet the machine"
        )
    if plan.server.source == "assumed":
        found.append(
            f"the plan assumed its server ({plan.server.preset}) and did not measure it: "
            "errors show how far the assumption is from the server that answered"
        )
    if slowdown != plan.device.slowdown:
        found.append(f"the plan is for a device slowed {plan.device.slowdown:g}x, this run slowed it {slowdown:g}x")
    if endpoint.link is not None:
        found.append("the upload of the tail went beside the emulated link")
    if plan.model.untrained:
        found.append("untrained weights: times are real, the model's answers mean nothing")
    return tuple(found)
