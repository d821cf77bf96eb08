"""Prove a plan: execute it and its baselines, and put what was measured beside what was predicted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from offload.artifacts.plan import Option, Party, Plan
from offload.artifacts.verification import (
    CHOSEN,
    DEVICE_ONLY,
    SERVER_ONLY,
    Drift,
    LeftOut,
    Measurement,
    RequestSample,
    Verdict,
    Verification,
    alternative_role,
)
from offload.codecs.catalogue import CODECS
from offload.environment import physical_cores
from offload.errors import OffloadError
from offload.graph.cuts import is_legal
from offload.graph.model_graph import ModelGraph
from offload.models.loaded import LoadedModel, LoadedTorchModel
from offload.profilers.layers import random_feeds
from offload.profilers.reference import ReferenceKernel
from offload.progress import Progress
from offload.runtimes.catalogue import can_run, runtime_of
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.emulated_client import emulated_client
from offload.serving.link_emulation import LinkShape
from offload.serving.own_models import OwnModel
from offload.serving.server import ServeSettings
from offload.units import format_duration, format_rate
from offload.verification.charges import flight_of, waiting_of
from offload.verification.execute import OUTPUT_TOLERANCE, check_outputs, contender, deployed
from offload.verification.rounds import WINDOW_REQUESTS, Budget, Measured, is_stable, measure


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
    budget: Budget,
    alternatives: int,
    tolerance: float,
    slowdown: float,
    progress: Progress,
) -> Verification:
    """Execute a plan.

    Args:
        plan: What to prove.
        model: The whole; its hash is the plan's.
        endpoint: Where the server's side runs.
        budget: When measuring ends.
        alternatives: How many of the plan's next best options to measure, too.
        tolerance: Accepted latency error, as a fraction.
        slowdown: How many times slower the device is made, beside the load that the plan has for it. The plan's load
            of the server is emulated with the embedded server only: another one's load is its own.
        progress: Told of requests done.

    Raises:
        OffloadError: the plan cannot be executed here; the server cannot be reached, refuses a tail, or dies.
        VerdictError: the divided model's outputs are wrong.
        KeyboardInterrupt: before there was enough to keep; a later one ends measuring.
    """
    graph = model.graph
    roles = options_by_role(plan, alternatives=alternatives)
    _check_executable(plan, roles.values(), graph)
    runtime = runtime_of(plan.device.runtime)
    server_runtime = runtime_of(plan.server.runtime) if _runs_as_planned(plan) else runtime
    tolerated = OUTPUT_TOLERANCE[plan.model.precision]
    threads = plan.device.runtime.threads
    feeds = random_feeds(graph)
    expected = runtime.load(model.whole, threads=threads).run(feeds)
    options = list({option.device_layers: option for option in roles.values()}.values())
    with _connected(endpoint, plan, model, progress) as (client, uploader):
        offset = client.clock_offset()
        server_load = plan.server.load if endpoint.address is None and offset is not None else 1.0
        with deployed(
            options,
            model=model,
            runtime=runtime,
            threads=threads,
            codec=CODECS[plan.codec],
            slowdown=slowdown * plan.device.load,
            server_load=server_load,
            client=client,
            uploader=uploader,
            offset=offset,
        ) as ready:
            errors = [check_outputs(one, feeds, expected, tolerance=tolerated) for one in ready]
            here = ReferenceKernel(runtime, threads=threads)
            there = None
            if endpoint.address is None:
                there = ReferenceKernel(server_runtime, threads=plan.server.runtime.threads)
            device_now: list[float] = []
            server_now: list[float] = []

            def time_references() -> None:
                device_now.append(here.time_once())
                if there is not None:
                    server_now.append(there.time_once())

            found = measure(
                [contender(one, feeds) for one in ready], budget=budget, between=time_references, progress=progress
            )
    measured, left_out = _sorted_out(roles, options, found, least=budget.least)
    chosen = measured[CHOSEN]
    draft = Verification.create(
        plan_hash=plan.content_hash,
        model=plan.model,
        server=endpoint.address or "embedded",
        link=_link_words(endpoint),
        network_split="server clock" if offset is not None else "predicted downlink",
        chosen=chosen,
        device_only=measured.get(DEVICE_ONLY),
        server_only=measured.get(SERVER_ONLY),
        alternatives=tuple(
            measurement for role, measurement in measured.items() if role not in (CHOSEN, DEVICE_ONLY, SERVER_ONLY)
        ),
        left_out=left_out,
        maybe_forbidden=ruled_out(plan),
        target=plan.target,
        waiting=waiting_of(plan),
        flight=flight_of(plan),
        stopped=found.stopped,
        measuring_s=found.measuring_s,
        output_error=max(errors),
        output_tolerance=tolerated,
        tolerance=tolerance,
        device_drift=_drift(plan.device, device_now),
        server_drift=_drift(plan.server, server_now),
        tail_bytes=ready[0].tail_bytes,
        upload_s=ready[0].upload_s,
        verdict="within tolerance",
        warnings=(
            *_warnings(plan, chosen, endpoint, budget, found, slowdown),
            *_loads(plan, server_load),
            *_missing(alternatives, roles),
        ),
    )
    return draft.model_copy(update={"verdict": verdict_of(draft)})


def options_by_role(plan: Plan, *, alternatives: int) -> dict[str, Option]:
    """What to measure; the alternatives are the best ones that are neither chosen nor a baseline."""
    roles = {CHOSEN: plan.chosen, DEVICE_ONLY: plan.device_only, SERVER_ONLY: plan.server_only}
    known = {option.device_layers for option in roles.values()}
    others = {option.device_layers: option for option in plan.alternatives if option.device_layers not in known}
    best = itertools.islice(others.values(), alternatives)
    return roles | {alternative_role(number): option for number, option in enumerate(best, 1)}


def _missing(alternatives: int, roles: Mapping[str, Option]) -> tuple[str, ...]:
    named = len(roles) - len((CHOSEN, DEVICE_ONLY, SERVER_ONLY))
    if named >= alternatives:
        return ()
    return (f"the plan names {named} other options beside the baselines, {alternatives} were asked for",)


def _loads(plan: Plan, server_load: float) -> tuple[str, ...]:
    """How the loads that the plan is for were brought about."""
    found = [
        f"the {name} computes {load:g}x as long in the plan, because of its load: this run counts what it computed so "
        "many times"
        for name, load in (("device", plan.device.load), ("server", server_load))
        if load != 1
    ]
    if plan.server.load != server_load:
        found.append(
            f"the plan is for a server whose load makes it compute {plan.server.load:g}x as long, this run took the "
            "server's load as it was: verify without --server emulates it"
        )
    return tuple(found)


def ruled_out(plan: Plan) -> tuple[str, ...]:
    """Roles of the baselines that the plan's limits rule out."""
    places = {DEVICE_ONLY: plan.device_only.place, SERVER_ONLY: plan.server_only.place}
    return tuple(role for role, place in places.items() if place in plan.ruled_out)


def _sorted_out(
    roles: Mapping[str, Option], options: Sequence[Option], found: Measured, *, least: int
) -> tuple[dict[str, Measurement], tuple[LeftOut, ...]]:
    """What was measured by role, and what was not measured often enough; the chosen option always counts."""
    measured, left_out = {}, []
    numbers = {option.device_layers: number for number, option in enumerate(options)}
    for role, option in roles.items():
        number = numbers[option.device_layers]
        samples = found.samples[number]
        if number == 0 or len(samples) >= least:
            measured[role] = Measurement(option=option, samples=samples, stable=_stable(samples))
        else:
            left_out.append(
                LeftOut(
                    role=role,
                    option=option,
                    request_s=found.request_s[number],
                    available_s=found.available_s,
                    interrupted=found.stopped == "interrupted" and number not in found.refused,
                )
            )
    return measured, tuple(left_out)


def verdict_of(verification: Verification) -> Verdict:
    """Within tolerance by the raw error; otherwise "cannot tell" when the machines explain more than half of it.

    They do when one has changed since it was profiled, or other work took the device's cores.
    """
    if abs(verification.chosen.error) <= verification.tolerance:
        return "within tolerance"
    disturbed = max(verification.drift, verification.waited)
    return "cannot tell" if disturbed > verification.tolerance / 2 else "out of tolerance"


def _check_executable(plan: Plan, options: Iterable[Option], graph: ModelGraph) -> None:
    if plan.codec not in CODECS:
        raise OffloadError(
            f"the plan sends tensors by the codec {plan.codec!r}, which this offload does not have",
            hint="make the plan again with this version, or verify it with the one that made it",
        )
    for option in options:
        if not (set(option.device_layers) <= set(range(len(graph.layers))) and is_legal(graph, option.device_layers)):
            raise OffloadError(
                f"the plan is damaged: the model cannot be divided like this: {option.words}",
                hint="make the plan again with `offload plan --bw 450mbps`",
            )
        times = option.breakdown.times().values()
        if option.breakdown.latency_s.value <= 0 or any(each.value < 0 for each in times):
            raise OffloadError(
                f"the plan is damaged: it predicts a time that no request takes: {option.words}",
                hint="make the plan again with `offload plan --bw 450mbps`",
            )


def _stable(samples: Sequence[RequestSample]) -> bool:
    """In windows of ten requests, or of a third of them where there are fewer: baselines are asked less often."""
    return is_stable([one.latency_s for one in samples], window=min(WINDOW_REQUESTS, len(samples) // 3))


def _runs_as_planned(plan: Plan) -> bool:
    """Whether an embedded server can run models as the plan's did; a preset and another tool's device it cannot be."""
    return plan.server.source != "assumed" and can_run(plan.server.runtime)


def _own_models(plan: Plan, model: LoadedModel) -> tuple[OwnModel, ...]:
    """What an embedded server must be started with: a torch model is not uploaded."""
    identity, known = plan.model, _runs_as_planned(plan)
    runtime = plan.server.runtime
    if not isinstance(model, LoadedTorchModel):
        if known and runtime.device != "cpu":
            raise OffloadError(
                f"the plan's server runs ONNX models on {runtime.device}, the embedded server on the cpu only",
                hint="profile both sides with --runtime torch, or name a server with --server HOST:PORT",
            )
        return ()
    own = OwnModel(
        spec=identity.spec,
        device=runtime.device if known else "cpu",
        dtype=identity.precision,
        batch=identity.batch,
        inputs=identity.inputs,
        weights=identity.weights_file,
        channels_last=known and runtime.channels_last,
        compiled=known and runtime.compiled,
    )
    return (own,)


@contextmanager
def _connected(
    endpoint: Endpoint, plan: Plan, model: LoadedModel, progress: Progress
) -> Iterator[tuple[ServerClient, ServerClient]]:
    """A client through the link and one beside it; the same when nothing is emulated."""
    with ExitStack() as stack:
        address = endpoint.address
        if address is None:
            threads = plan.server.runtime.threads if _runs_as_planned(plan) else physical_cores()
            progress.note(f"starting the embedded server with {threads} thread{'s' if threads > 1 else ''}")
            address = stack.enter_context(
                EmbeddedServer(threads=threads, settings=ServeSettings(models=_own_models(plan, model)))
            ).address
        connect = partial(ServerClient, token=endpoint.token, tls=endpoint.tls_ca)
        direct = stack.enter_context(connect(address))
        direct.check()
        if endpoint.link is None:
            yield direct, direct
            return
        uplink, downlink = endpoint.link
        yield stack.enter_context(emulated_client(direct, connect, uplink=uplink, downlink=downlink)), direct


def _drift(party: Party, now_s: Sequence[float]) -> Drift | None:
    if not party.reference_s or not now_s:
        return None
    return Drift(profiled_s=party.reference_s, now_s=tuple(now_s))


def _link_words(endpoint: Endpoint) -> str:
    if endpoint.link is None:
        return "the network as it is"
    up, down = (f"{format_rate(shape.rate_bps)}, {format_duration(shape.delay_s)} delay" for shape in endpoint.link)
    return f"emulated: {up} each way" if up == down else f"emulated: up {up}, down {down}"


def _warnings(
    plan: Plan, chosen: Measurement, endpoint: Endpoint, budget: Budget, run: Measured, slowdown: float
) -> tuple[str, ...]:
    found = []
    longer = "--requests" if budget.duration_s is None else "--duration"
    if run.stopped == "interrupted":
        found.append(f"interrupted after {len(chosen.samples)} requests: run it again for a firmer answer")
    elif not chosen.stable:
        found.append(
            f"the last windows of {len(chosen.samples)} requests differ by more than 10 %, or are too few to tell: "
            f"raise {longer}, or quiet the machine"
        )
    if budget.duration_s is not None and run.stopped == "duration" and run.measuring_s > 1.5 * budget.duration_s:
        found.append(
            f"one request takes {format_duration(run.request_s[0])}: {len(chosen.samples)} of them took "
            f"{format_duration(run.measuring_s)} instead of {format_duration(budget.duration_s)}; raise --duration"
        )
    if plan.server.source == "assumed":
        found.append(
            f"the plan assumed its server ({plan.server.preset}) and did not measure it: "
            "errors show how far the assumption is from the server that answered"
        )
    for side, party in (("device", plan.device), ("server", plan.server)):
        if party.source in ("predicted", "imported"):
            found.append(
                f"the plan's {side} times are {party.source} ({party.runtime.name} on {party.runtime.device}): errors "
                "show how far they are from what answered"
            )
    if slowdown != plan.device.slowdown:
        found.append(f"the plan is for a device slowed {plan.device.slowdown:g}x, this run slowed it {slowdown:g}x")
    if endpoint.link is not None:
        found.append("the upload of the tail went beside the emulated link")
    if endpoint.link not in (None, plan_link(plan)):
        found.append("the emulated link is not the plan's, and the errors hold that: plan for it with --bw and --rtt")
    if plan.model.untrained:
        found.append("untrained weights: times are real, the model's answers mean nothing")
    return tuple(found)
