"""What a verification's reader is warned of, each with its remedy."""

from __future__ import annotations

from collections.abc import Mapping

from offload.artifacts.plan import Option, Plan
from offload.artifacts.verification import CHOSEN, DEVICE_ONLY, SERVER_ONLY, Measurement
from offload.units import format_duration
from offload.verification.accuracy import Examples
from offload.verification.endpoint import Endpoint, plan_link
from offload.verification.rounds import Budget, Measured


def warnings_of(
    plan: Plan,
    chosen: Measurement,
    *,
    endpoint: Endpoint,
    budget: Budget,
    run: Measured,
    slowdown: float,
    server_load: float,
    examples: Examples | None,
    wanted: int,
    roles: Mapping[str, Option],
) -> tuple[str, ...]:
    """Reasons to trust a verification less.

    Args:
        plan: What was executed.
        chosen: Its chosen option, measured.
        endpoint: Where.
        budget: What the run was to end by.
        run: What it brought.
        slowdown: How many times slower the device was made.
        server_load: The emulated load of the server.
        examples: The labelled ones that were sent; None when there were none.
        wanted: How many alternatives were asked for.
        roles: The options that were to be measured.
    """
    return (
        *_of_the_run(plan, chosen, endpoint, budget, run, slowdown),
        *_loads(plan, server_load),
        *_of_codecs(plan, roles, examples),
        *_missing(wanted, roles),
    )


def _of_codecs(plan: Plan, roles: Mapping[str, Option], examples: Examples | None) -> tuple[str, ...]:
    if all(option.coding is None for option in roles.values()) or (examples is not None and examples.fresh):
        return ()
    if examples is not None:
        return (
            f"the codec was chosen by the first {plan.codec_examples} test examples, some of which were sent: their "
            "accuracy flatters it; lower --samples, or bench with fewer --examples",
        )
    data = plan.codec_data or "DATA"
    return (
        "made-up inputs were sent, whose payloads behind a codec are not those of real examples, and no accuracy was "
        f"measured: add --data {data}",
    )


def _of_the_run(
    plan: Plan, chosen: Measurement, endpoint: Endpoint, budget: Budget, run: Measured, slowdown: float
) -> list[str]:
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
    if endpoint.traffic:
        found.append(
            "there was background traffic on the link, which the plan knows not of: for what traffic leaves, plan with "
            "a lower --bw"
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
    return found


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
