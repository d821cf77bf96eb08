"""Prove a plan: execute it and its baselines, and put what was measured beside what was predicted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from offload.artifacts.wire_accuracy import WireAccuracy, beyond_promise
from offload.datasets.base import Task
from offload.errors import OffloadError
from offload.graph.cuts import is_legal
from offload.graph.model_graph import ModelGraph
from offload.models.loaded import LoadedModel
from offload.profilers.layers import random_feeds
from offload.profilers.reference import ReferenceKernel
from offload.progress import Progress
from offload.runtimes.base import Session
from offload.runtimes.catalogue import runtime_of
from offload.verification.accuracy import Examples, draw_examples, measure_accuracy
from offload.verification.caveats import warnings_of
from offload.verification.charges import flight_of, waiting_of
from offload.verification.crossing import crossing_of
from offload.verification.deployment import Deployed, Deployment
from offload.verification.endpoint import Endpoint, connected, link_words, runs_as_planned
from offload.verification.execute import OUTPUT_TOLERANCE, check_outputs, contender
from offload.verification.rounds import WINDOW_REQUESTS, Budget, Measured, is_stable, measure


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Which labelled examples to measure the accuracy with."""

    data: str
    """As `load_dataset` takes it."""
    task: Task | None = None
    """None for what the data have."""
    samples: int = 200
    """How many at most."""


def verify_plan(
    plan: Plan,
    *,
    model: LoadedModel,
    endpoint: Endpoint,
    budget: Budget,
    alternatives: int,
    tolerance: float,
    slowdown: float,
    codecs: Path,
    labelled: Labelled | None = None,
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
        codecs: Folder of trained codecs.
        labelled: Examples to send for the accuracy, which are then what is timed, too; None times made-up inputs.
        progress: Told of requests done.

    Raises:
        OffloadError: the plan cannot be executed here, one of its codecs is not there, or the data do not fit; the
            server cannot be reached, refuses a tail, or dies.
        VerdictError: the divided model's outputs are wrong.
        KeyboardInterrupt: before there was enough to keep; a later one ends measuring.
    """
    graph = model.graph
    roles = options_by_role(plan, alternatives=alternatives)
    _check_executable(roles.values(), graph)
    runtime = runtime_of(plan.device.runtime)
    server_runtime = runtime_of(plan.server.runtime) if runs_as_planned(plan) else runtime
    tolerated = OUTPUT_TOLERANCE[plan.model.precision]
    threads = plan.device.runtime.threads
    options = list({_execution(option): option for option in roles.values()}.values())
    crossings = [
        crossing_of(option, model=model, codecs=codecs, runtime=runtime, threads=threads) for option in options
    ]
    examples = None
    if labelled is not None:
        chosen_by = plan.codec_examples if labelled.data == plan.codec_data else 0
        examples = draw_examples(
            labelled.data, task=labelled.task, samples=labelled.samples, graph=graph, chosen_by=chosen_by
        )
    feeds = [random_feeds(graph)] if examples is None else examples.feeds
    whole = runtime.load(model.whole, threads=threads)
    expected = whole.run(feeds[0])
    accuracies: dict[int, WireAccuracy] = {}
    with connected(endpoint, plan, model, progress) as (client, uploader):
        offset = uploader.clock_offset()  # beside the link: one that is slower one way than the other shifts it
        server_load = plan.server.load if endpoint.address is None and offset is not None else 1.0
        deployment = Deployment(
            model=model,
            runtime=runtime,
            threads=threads,
            slowdown=slowdown * plan.device.load,
            server_load=server_load,
            client=client,
            uploader=uploader,
            offset=offset,
        )
        with deployment.deployed(list(zip(options, crossings, strict=True))) as ready:
            errors = [check_outputs(one, feeds[0], expected, tolerance=tolerated) for one in ready]
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
            if examples is not None and found.stopped != "interrupted":
                accuracies, interrupted = _accuracies(ready, examples, whole, progress)
                found = replace(found, stopped="interrupted") if interrupted else found
    measured, left_out = _sorted_out(roles, ready, found, accuracies, least=budget.least)
    chosen = measured[CHOSEN]
    draft = Verification.create(
        plan_hash=plan.content_hash,
        model=plan.model,
        server=endpoint.address or "embedded",
        link=link_words(endpoint),
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
        warnings=warnings_of(
            plan,
            chosen,
            endpoint=endpoint,
            budget=budget,
            run=found,
            slowdown=slowdown,
            server_load=server_load,
            examples=examples,
            wanted=alternatives,
            roles=roles,
        ),
    )
    return draft.model_copy(update={"verdict": verdict_of(draft)})


def options_by_role(plan: Plan, *, alternatives: int) -> dict[str, Option]:
    """What to measure; the alternatives are the best ones that are neither chosen nor a baseline.

    The same layers behind another codec are another option.
    """
    roles = {CHOSEN: plan.chosen, DEVICE_ONLY: plan.device_only, SERVER_ONLY: plan.server_only}
    known = {_execution(option) for option in roles.values()}
    others = {_execution(option): option for option in plan.alternatives if _execution(option) not in known}
    best = itertools.islice(others.values(), alternatives)
    return roles | {alternative_role(number): option for number, option in enumerate(best, 1)}


def _execution(option: Option) -> tuple[tuple[int, ...], str]:
    """What two options that are executed alike have in common."""
    return option.device_layers, option.codec


def _accuracies(
    ready: Sequence[Deployed], examples: Examples, whole: Session, progress: Progress
) -> tuple[dict[int, WireAccuracy], bool]:
    """By place among the options: of the chosen one and of all behind a codec; the others answer as the whole does."""
    places = [place for place, one in enumerate(ready) if not place or one.option.coding is not None]
    found, interrupted = measure_accuracy([ready[place] for place in places], examples, whole=whole, progress=progress)
    return {places[number]: accuracy for number, accuracy in found.items()}, interrupted


def ruled_out(plan: Plan) -> tuple[str, ...]:
    """Roles of the baselines that the plan's limits rule out."""
    places = {DEVICE_ONLY: plan.device_only.place, SERVER_ONLY: plan.server_only.place}
    return tuple(role for role, place in places.items() if place in plan.ruled_out)


def _sorted_out(
    roles: Mapping[str, Option],
    ready: Sequence[Deployed],
    found: Measured,
    accuracies: Mapping[int, WireAccuracy],
    *,
    least: int,
) -> tuple[dict[str, Measurement], tuple[LeftOut, ...]]:
    """What was measured by role, and what was not measured often enough; the chosen option always counts."""
    measured, left_out = {}, []
    numbers = {_execution(one.option): number for number, one in enumerate(ready)}
    for role, option in roles.items():
        number = numbers[_execution(option)]
        samples = found.samples[number]
        if number == 0 or len(samples) >= least:
            measured[role] = Measurement(
                option=option,
                samples=samples,
                stable=_stable(samples),
                accuracy=accuracies.get(number),
                decoder_s=ready[number].decoder_s,
            )
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

    They do when one has changed since it was profiled, or other work took the device's cores. An option that is less
    accurate over the wire than its plan promised, beyond chance, fails before all that.
    """
    chosen = verification.chosen
    if chosen.accuracy is not None and beyond_promise(chosen.option, chosen.accuracy).high < 0:
        return "less accurate than promised"
    if abs(verification.chosen.error) <= verification.tolerance:
        return "within tolerance"
    disturbed = max(verification.drift, verification.waited)
    return "cannot tell" if disturbed > verification.tolerance / 2 else "out of tolerance"


def _check_executable(options: Iterable[Option], graph: ModelGraph) -> None:
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


def _drift(party: Party, now_s: Sequence[float]) -> Drift | None:
    if not party.reference_s or not now_s:
        return None
    return Drift(profiled_s=party.reference_s, now_s=tuple(now_s))
