"""Where the server's side of a plan is executed, and the connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from offload.artifacts.link import Link
from offload.artifacts.plan import Plan
from offload.environment import physical_cores
from offload.errors import OffloadError
from offload.models.loaded import LoadedModel, LoadedTorchModel
from offload.progress import Progress
from offload.runtimes.catalogue import can_run
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.emulated_client import emulated_client
from offload.serving.link_emulation import LinkShape
from offload.serving.own_models import OwnModel
from offload.serving.server import ServeSettings
from offload.units import format_duration, format_rate


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where to execute the server's side."""

    address: str | None = None
    """HOST:PORT; None starts the embedded server."""
    link: tuple[LinkShape, LinkShape] | None = None
    """Uplink and downlink to emulate; None uses the network as it is."""
    traffic: bool = False
    """Whether another client sends all the time over the emulated link."""
    token: str | None = None
    tls_ca: Path | None = None


def plan_link(plan: Plan) -> tuple[LinkShape, LinkShape]:
    """The plan's link as one to emulate: half of the round trip is each direction's delay."""
    return link_shapes(plan.link)


def link_shapes(link: Link) -> tuple[LinkShape, LinkShape]:
    """A link as one to emulate, uplink and downlink."""
    return (
        LinkShape(rate_bps=link.uplink_bps, delay_s=link.rtt_s / 2),
        LinkShape(rate_bps=link.downlink_bps, delay_s=link.rtt_s / 2),
    )


def runs_as_planned(plan: Plan) -> bool:
    """Whether an embedded server can run models as the plan's did; a preset and another tool's device it cannot be."""
    return plan.server.source != "assumed" and can_run(plan.server.runtime)


def _own_models(plan: Plan, model: LoadedModel) -> tuple[OwnModel, ...]:
    """What an embedded server must be started with: a torch model is not uploaded."""
    identity, known = plan.model, runs_as_planned(plan)
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
def connected(
    endpoint: Endpoint, plan: Plan, model: LoadedModel, progress: Progress
) -> Iterator[tuple[ServerClient, ServerClient]]:
    """A client through the link and one beside it; the same when nothing is emulated."""
    with ExitStack() as stack:
        address = endpoint.address
        if address is None:
            threads = plan.server.runtime.threads if runs_as_planned(plan) else physical_cores()
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
        emulated = emulated_client(direct, connect, uplink=uplink, downlink=downlink, traffic=endpoint.traffic)
        yield stack.enter_context(emulated), direct


def link_words(endpoint: Endpoint) -> str:
    """What is between the client and the server."""
    if endpoint.link is None:
        return "the network as it is"
    up, down = (f"{format_rate(shape.rate_bps)}, {format_duration(shape.delay_s)} delay" for shape in endpoint.link)
    beside = ", beside background traffic" if endpoint.traffic else ""
    return f"emulated: {up} each way{beside}" if up == down else f"emulated: up {up}, down {down}{beside}"
