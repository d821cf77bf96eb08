"""The main job on real networks: predicted end-to-end latency of the chosen cut against what its execution takes.

For each network the device (one thread) and the server (two threads) are profiled; for each link and device a plan
is made and verified over the emulated link. Where `verify` answers that a machine has changed since it was profiled,
its advice is followed: profile, plan and verify again, at most twice more; the last answer stands, whatever it is,
and the number of tries is in the table.

    python benchmarks/main_job.py [--networks resnet50 ...] [--rates 20mbps ...]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from offload.environment import current_environment
from offload.units import format_duration, parse_rate
from tests.light_models import light_model_path

NETWORKS = ("alexnet", "resnet50", "squeezenet", "mobilenet_v2")
RATES = ("20mbps", "100mbps", "450mbps")
SLOWDOWNS = (1.0, 8.0)
RTT_S = 0.004
TRIES = 3


def profile_sides(spec: str, workspace: Workspace) -> tuple[Path, Path]:
    """Profile files of the device (one thread) and the server (two)."""
    paths = []
    for threads in (1, 2):
        profile: Profile = api.profile(api.ProfileRequest(model=spec, inputs={}, threads=threads), workspace=workspace)
        paths.append(workspace.save(profile, name=profile.model.name))
    return paths[0], paths[1]


def plan_and_verify(device: Path, server: Path, rate: str, slowdown: float, workspace: Workspace) -> Verification:
    """The verification of the plan for one link and device."""
    plan = api.plan(
        api.PlanRequest(
            profile=device, server=str(server), uplink_bps=parse_rate(rate), rtt_s=RTT_S, device_slowdown=slowdown
        ),
        workspace=workspace,
    )
    return api.verify(api.VerifyRequest(plan=workspace.save(plan, name=plan.model.name)), workspace=workspace)


def main() -> None:
    """Print one Markdown row a case, then the median and the largest error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--rates", nargs="+", default=list(RATES))
    arguments = parser.parse_args()
    environment = current_environment()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {environment.processor}, {environment.logical_cores} cores, ", end="")
    print(f"{platform.system()}, onnxruntime {environment.packages['onnxruntime']}, RTT {format_duration(RTT_S)}\n")
    print("| network | link | device | chosen | sends | predicted | 95 % interval | measured | error | ", end="")
    print("corrected | drift | verdict | tries |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    errors, inside = [], 0
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for network in arguments.networks:
            spec = str(light_model_path(network, Path(folder))) if network == "squeezenet" else network
            sides = profile_sides(spec, workspace)
            for slowdown in SLOWDOWNS:
                for rate in arguments.rates:
                    for tries in range(1, TRIES + 1):
                        found = plan_and_verify(*sides, rate, slowdown, workspace)
                        if found.verdict != "cannot tell" or tries == TRIES:
                            break
                        sides = profile_sides(spec, workspace)
                    errors.append(found.chosen.error)
                    inside += predicted_holds_measured(found)
                    print(row(network, rate, slowdown, found, tries), flush=True)
    sizes = [abs(error) for error in errors]
    print(f"\nmedian error {statistics.median(sizes):.1%}, largest {max(sizes):.1%}, {len(sizes)} cases; ", end="")
    print(f"the predicted 95 % interval held the measured median in {inside}")


def predicted_holds_measured(found: Verification) -> bool:
    """Whether the measured median lies in the predicted interval."""
    predicted = found.chosen.option.breakdown.latency_s
    return predicted.low <= found.chosen.measured["latency_s"].value <= predicted.high


def row(network: str, rate: str, slowdown: float, found: Verification, tries: int) -> str:
    """One case as a Markdown row."""
    chosen = found.chosen
    option, predicted = chosen.option, chosen.option.breakdown.latency_s
    words = {"device": "all on the device", "server": "all on the server"}.get(option.place)
    cells = (
        network,
        rate,
        f"{slowdown:g}× slower" if slowdown > 1 else "as it is",
        words or option.words.partition(" here,")[0].removeprefix("run "),
        f"{option.uplink_bytes} B",
        format_duration(predicted.value),
        f"{format_duration(predicted.low)} – {format_duration(predicted.high)}",
        format_duration(chosen.measured["latency_s"].value),
        f"{chosen.error:+.1%}",
        f"{found.corrected_error:+.1%}",
        f"{found.drift:.1%}",
        found.verdict,
        str(tries),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
