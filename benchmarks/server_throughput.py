"""How many queries a second a server sustains when devices keep their plan's share of the layers.

The embedded server is alone on one core with one thread; clients, in processes of their own on the other core, each
send the next query as soon as they have an answer. A round asks for the whole model and for the plan's share of it, in
turn; the ratio is that of the two in each round. Beside it stands what the profile predicts of the server's time a
query: computing and decoding, and with all that the protocol takes on either side of the connection. Over all eight
networks of the paper the ratio is computed by `offload reproduce neurosurgeon`.

    python benchmarks/server_throughput.py [--networks alexnet squeezenet] [--rounds 7] [--seconds 4]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from offload import api
from offload.api.models import load_again
from offload.artifacts.link import Link
from offload.artifacts.plan import Option, Plan
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.graph.cuts import Cut, make_cut
from offload.models.segments import OnnxSegment
from offload.planners.base import Problem
from offload.planners.costs import predict
from offload.profilers.layers import random_feeds
from offload.progress import NullProgress
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.units import parse_rate
from tests.light_models import light_model_path

LIGHT = ("squeezenet",)
"""Networks taken from the onnx package."""
SLOWDOWN, RATE, RTT_S = 8.0, "20mbps", 0.004
"""The device and the link that the measured networks are planned for."""
CLIENTS = 3
COLUMNS = (
    *("network", "on the device", "sends", "all there, queries/s", "share, queries/s", "ratio", "of rounds"),
    *("predicted", "with the protocol"),
)
Feeds = Mapping[str, np.ndarray]


def client_main(address: str, core: int, port: Connection) -> None:
    """A process that asks for one model until the time is over, again and again; tells how many it had answered."""
    os.sched_setaffinity(0, {core})
    with ServerClient(address) as client:
        while (order := port.recv()) is not None:
            name, feeds, seconds = order
            client.infer(name, feeds)
            port.send(None)  # ready
            port.recv()  # go
            answered, started = 0, time.perf_counter()
            while (elapsed_s := time.perf_counter() - started) < seconds:
                client.infer(name, feeds)
                answered += 1
            port.send((answered, elapsed_s))


def ask(clients: Sequence[Connection], name: str, feeds: Feeds, seconds: float) -> float:
    """Queries a second that all clients together had answered."""
    for client in clients:
        client.send((name, feeds, seconds))
    for client in clients:
        client.recv()
    for client in clients:
        client.send(None)
    return sum(answered / elapsed_s for answered, elapsed_s in (client.recv() for client in clients))


def partition(plan: Plan) -> Option:
    """The plan's cut; the best that divides the model where the plan does not."""
    return next(option for option in (plan.chosen, *plan.alternatives) if option.place == "both")


def occupied_s(profile: Profile, cut: Cut) -> tuple[float, float]:
    """Predicted seconds of the server for a query: computing and decoding, and with all of the protocol's own cost."""
    loopback = Link(uplink_bps=1e14, downlink_bps=1e14, rtt_s=0.0)
    told = predict(Problem(device=profile, server=profile, link=loopback, target="latency"), cut)
    own = told.server_s.value + told.decode_s.value
    return own, own + told.uplink_s.value + told.downlink_s.value


def measured(network: str, folder: Path, rounds: int, seconds: float) -> str:
    """A row of the table of the measured networks."""
    workspace = Workspace(folder)
    spec = str(light_model_path(network, folder)) if network in LIGHT else network
    os.sched_setaffinity(0, {0})
    profile = api.profile(api.ProfileRequest(model=spec, threads=1, max_time_s=30.0), workspace=workspace)
    os.sched_setaffinity(0, {0, 1})
    path = workspace.save(profile, name=network)
    request = api.PlanRequest(
        profile=path, server=str(path), uplink_bps=parse_rate(RATE), rtt_s=RTT_S, device_slowdown=SLOWDOWN
    )
    option = partition(api.plan(request, workspace=workspace))
    model = load_again(profile.model, OnnxRuntime(device="cpu"), workspace=workspace, progress=NullProgress())
    cut = make_cut(model.graph, frozenset(option.device_layers))
    predicted = [occupied_s(profile, each) for each in (make_cut(model.graph, frozenset()), cut)]
    segments = model.divide(cut)
    inputs = random_feeds(model.graph)
    assert segments.head is not None
    head = OnnxRuntime(device="cpu").load(segments.head, threads=1)
    produced = head.run({name: inputs[name] for name in segments.head.inputs})
    crossing = {name: {**inputs, **produced}[name] for name in cut.crossing}
    assert isinstance(segments.tail, OnnxSegment)
    assert isinstance(model.whole, OnnxSegment)
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        os.sched_setaffinity(0, {0})  # the server's process and all of its threads inherit it
        server = stack.enter_context(EmbeddedServer(threads=1))
        os.sched_setaffinity(0, {0, 1})
        with ServerClient(server.address) as uploader:
            uploader.upload("whole", model.whole.onnx)
            uploader.upload("share", segments.tail.onnx)
        ports = []
        for _ in range(CLIENTS):
            ours, theirs = context.Pipe()
            process = context.Process(target=client_main, args=(server.address, 1, theirs), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(ours.send, None)
            ports.append(ours)
        found = []
        for number in range(rounds):
            asked = [("whole", inputs), ("share", crossing)]
            rates = {name: ask(ports, name, feeds, seconds) for name, feeds in asked[:: 1 if number % 2 else -1]}
            found.append((rates["whole"], rates["share"]))
    ratios = sorted(share / whole for whole, share in found)
    own, with_protocol = (predicted[0][kind] / predicted[1][kind] for kind in (0, 1))
    cells = (
        network,
        option.words.partition(" here,")[0].removeprefix("run "),
        f"{option.uplink_bytes:,} B".replace(",", " "),
        f"{statistics.median(whole for whole, _ in found):.1f}",
        f"{statistics.median(share for _, share in found):.1f}",
        f"**{statistics.median(ratios):.2f}**",
        f"{ratios[0]:.2f} – {ratios[-1]:.2f}",
        f"{own:.2f}",
        f"{with_protocol:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["alexnet", "squeezenet"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}\n")
    with tempfile.TemporaryDirectory() as folder:
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for network in arguments.networks:
            print(measured(network, Path(folder), arguments.rounds, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
