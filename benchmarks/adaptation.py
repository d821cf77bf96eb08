"""Following the network and the server's load: Neurosurgeon's two experiments, replayed.

AlexNet between a Tegra K1 and a Tesla K40, both from their published peak rates (assumed, not measured). First the
link varies while the server is idle: for the GPU a random walk from twice the Wi-Fi's rate of JointDNN's Table 3 to a
fiftieth of it, for the CPU a made-up LTE around that table's rate. Then the server's load grows from idle to a hundred
times while the link stays. Each time requests that are always run on the server, always on the device, and as planned
at the start are set beside those of a session that follows the plan's policy by what its messages showed, and of an
oracle. The paper's own traces are not public, so it is the shape that is compared: the status quo's latency follows the
bandwidth and the load, the adaptive session's does not.

    python benchmarks/adaptation.py [--plot FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from offload import api
from offload.artifacts.workspace import Workspace
from offload.reports.document import Report
from offload.reports.picture import write_picture
from offload.reports.render import render_report
from offload.reports.simulation import simulation_picture, simulation_report
from offload.units import parse_rate

DURATION_S = 300.0
IDLE_POWER_W = 2.0
"""Of the board while it waits: assumed, for energies to compare with one another; while it computes, the preset's."""
SHOWN = 3
"""Sections of the report: the strategies, what was run, the course of time."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A device, a link and a load."""

    name: str
    device: str
    radio: str
    uplink: str
    downlink: str
    bandwidth: str | None
    load: str | None


CASES = (
    Case(
        name="network-gpu", device="tegra-k1-gpu", radio="wifi", uplink="18.88mbps", downlink="54.97mbps",
        bandwidth="random-walk", load=None,
    ),
    Case(
        name="network-cpu", device="tegra-k1-cpu", radio="lte", uplink="5.85mbps", downlink="13.76mbps",
        bandwidth="lte", load=None,
    ),
    Case(
        name="load-gpu", device="tegra-k1-gpu", radio="wifi", uplink="18.88mbps", downlink="54.97mbps",
        bandwidth=None, load="ramp",
    ),
)  # fmt: skip


def replay(case: Case, workspace: Workspace, plots: Path | None) -> None:
    """Print what came out of one case."""
    profile = api.ProfileRequest(model="alexnet", predict=case.device, idle_power_w=IDLE_POWER_W)
    device = workspace.save(api.profile(profile, workspace=workspace), name=case.name)
    plan = api.PlanRequest(
        profile=device,
        server="tesla-k40",
        uplink_bps=parse_rate(case.uplink),
        downlink_bps=parse_rate(case.downlink),
        radio=case.radio,
    )
    planned = workspace.save(api.plan(plan, workspace=workspace), name=case.name)
    simulation = api.simulate(
        api.SimulateRequest(plan=planned, bandwidth=case.bandwidth, load=case.load, duration_s=DURATION_S),
        workspace=workspace,
    )
    whole = simulation_report(simulation)
    varied = f"bandwidth: {simulation.bandwidth_source}; load: {simulation.load_source}"
    title = f"{case.device}, {case.radio}: {varied}"
    print(render_report(Report(title=title, sections=whole.sections[:SHOWN], records=()), "md"))
    if plots is not None:
        write_picture(simulation_picture(simulation), plots / f"{case.name}.png")


def main() -> None:
    """Print the tables of every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="a folder for pictures")
    arguments = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}\n")
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            replay(case, Workspace(Path(folder)), arguments.plot)


if __name__ == "__main__":
    main()
