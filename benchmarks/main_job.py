"""The main job on real networks: predicted end-to-end latency of the chosen cut against what its execution takes.

For each network the device (one thread) and the server (two threads) are profiled; for each link and device a plan
is made and verified over the emulated link, together with its best alternatives, for the regret. Where `verify` answers
that a machine has changed since it was profiled, its advice is followed once: profile, plan and verify again; the last
answer stands, whatever it is, and the number of tries is in the table.

A plan that runs everything on the device is the same execution whatever the link: it is measured at the fastest link
that has it, where the alternatives are at their best, and counts for the slower links as well, marked "as at" in the
table. Every case is measured for `--duration`, beside starting the server and uploading; one whose requests take
longer than that is measured with five of them. Of VGG-19, half a gigabyte, one alternative is measured rather than
three.

    python benchmarks/main_job.py [--networks resnet50 ...] [--rates 20mbps ...] [--record cases.jsonl]

With `--record` every finished case is kept in a file, and a case that is in it is not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from offload.environment import current_environment
from offload.units import format_duration, parse_duration, parse_rate
from tests.light_models import light_model_path

NETWORKS = (
    *("alexnet", "vgg19", "resnet50", "squeezenet", "mobilenet_v2"),
    *("densenet121", "tiny_yolo", "vit_s_16", "deepspeech", "gru_tagger"),
)
LIGHT = ("squeezenet",)
"""Networks taken from the onnx package."""
FEWER_ALTERNATIVES = {"vgg19": 1}
"""Each alternative is uploaded: half a gigabyte takes longer than measuring it."""
RATES = ("450mbps", "100mbps", "20mbps", "5mbps")
SLOWDOWNS = (1.0, 2.0, 8.0, 30.0)
RTT_S = 0.004
TRIES = 2
PROFILE_S = 60.0
COLUMNS = (
    *("network", "device", "link", "chosen", "sends", "predicted", "95 % interval", "measured", "error", "corrected"),
    *("drift", "verdict", "tries", "requests", "regret", "95 % interval", "best measured", "not measured"),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network, device and link, and what came out."""

    network: str
    slowdown: float
    rate: str
    chosen: str
    everything_here: bool
    uplink_bytes: int
    predicted_s: tuple[float, float, float]
    measured_s: float
    error: float
    corrected_error: float | None
    drift: float
    verdict: str
    tries: int
    requests: int
    regret: tuple[float, float, float]
    best: str
    left_out: tuple[str, ...]
    as_at: str | None = None
    """The link at which this execution was measured, when it was not this one."""

    @property
    def key(self) -> tuple[str, float, str]:
        """What tells cases apart."""
        return self.network, self.slowdown, self.rate

    @property
    def inside(self) -> bool:
        """Whether the measured median lies in the predicted interval."""
        return self.predicted_s[1] <= self.measured_s <= self.predicted_s[2]

    def row(self) -> str:
        """The case as a Markdown row."""
        value, low, high = self.predicted_s
        cells = (
            self.network,
            f"{self.slowdown:g}× slower" if self.slowdown > 1 else "as it is",
            self.rate if self.as_at is None else f"{self.rate} (as at {self.as_at})",
            self.chosen,
            f"{self.uplink_bytes} B",
            format_duration(value),
            f"{format_duration(low)} – {format_duration(high)}",
            format_duration(self.measured_s),
            f"{self.error:+.1%}",
            "–" if self.corrected_error is None else f"{self.corrected_error:+.1%}",
            f"{self.drift:.1%}",
            self.verdict,
            str(self.tries),
            str(self.requests),
            f"{self.regret[0]:.1%}",
            f"{self.regret[1]:.1%} – {self.regret[2]:.1%}",
            self.best,
            ", ".join(self.left_out) or "–",
        )
        return f"| {' | '.join(cells)} |"


def case_of(network: str, slowdown: float, rate: str, found: Verification, tries: int) -> Case:
    """What a verification says of a case."""
    chosen, regret = found.chosen, found.regret
    option, predicted = chosen.option, chosen.option.breakdown.latency_s
    words = {"device": "all on the device", "server": "all on the server"}.get(option.place)
    return Case(
        network=network,
        slowdown=slowdown,
        rate=rate,
        chosen=words or option.words.partition(" here,")[0].removeprefix("run "),
        everything_here=option.place == "device",
        uplink_bytes=option.uplink_bytes,
        predicted_s=(predicted.value, predicted.low, predicted.high),
        measured_s=chosen.measured["latency_s"].value,
        error=chosen.error,
        corrected_error=found.corrected_error,
        drift=found.drift,
        verdict=found.verdict,
        tries=tries,
        requests=len(chosen.samples),
        regret=(regret.fraction.value, regret.fraction.low, regret.fraction.high),
        best=regret.best,
        left_out=tuple(one.role for one in found.left_out),
    )


@dataclass(kw_only=True)
class Bench:
    """Measures the cases of one network after the other."""

    workspace: Workspace
    duration_s: float
    alternatives: int

    def profile_sides(self, spec: str) -> tuple[Path, Path]:
        """Profile files of the device (one thread) and the server (two)."""
        paths = []
        for threads in (1, 2):
            request = api.ProfileRequest(model=spec, threads=threads, max_time_s=PROFILE_S)
            profile: Profile = api.profile(request, workspace=self.workspace)
            paths.append(self.workspace.save(profile, name=profile.model.name))
        return paths[0], paths[1]

    def plan_and_verify(self, sides: tuple[Path, Path], rate: str, slowdown: float) -> Verification:
        """The verification of the plan for one link and device."""
        device, server = sides
        plan = api.plan(
            api.PlanRequest(
                profile=device, server=str(server), uplink_bps=parse_rate(rate), rtt_s=RTT_S, device_slowdown=slowdown
            ),
            workspace=self.workspace,
        )
        path = self.workspace.save(plan, name=plan.model.name)
        return api.verify(
            api.VerifyRequest(plan=path, duration_s=self.duration_s, alternatives=self.alternatives),
            workspace=self.workspace,
        )

    def run(self, network: str, rates: Sequence[str], slowdowns: Sequence[float], record: Record) -> None:
        """Measure and print the cases of a network that are not in the record."""
        wanted = [(network, slowdown, rate) for slowdown in slowdowns for rate in rates]
        spec, sides = network, None
        if network in LIGHT and any(key not in record.cases for key in wanted):
            spec = str(light_model_path(network, self.workspace.root))
        for slowdown in slowdowns:
            here: Case | None = None
            for rate in rates:
                case = record.cases.get((network, slowdown, rate))
                if case is None and here is not None:
                    case = dataclasses.replace(here, rate=rate, as_at=here.rate)
                elif case is None:
                    sides = sides or self.profile_sides(spec)
                    for tries in range(1, TRIES + 1):
                        found = self.plan_and_verify(sides, rate, slowdown)
                        if found.verdict != "cannot tell" or tries == TRIES:
                            break
                        sides = self.profile_sides(spec)
                    case = case_of(network, slowdown, rate, found, tries)
                record.add(case)
                print(case.row(), flush=True)
                # A slower link makes nothing but offloading slower.
                here = here or (case if case.everything_here else None)


class Record:
    """The finished cases, kept in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.cases: dict[tuple[str, float, str], Case] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                case = Case(**json.loads(line))
                self.cases[case.key] = case

    def add(self, case: Case) -> None:
        """Keep a case."""
        if case.key not in self.cases and self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(dataclasses.asdict(case)) + "\n")
        self.cases[case.key] = case


def summary(cases: Sequence[Case]) -> str:
    """Errors, intervals and regrets of all cases beside their targets."""
    errors = sorted(abs(case.error) for case in cases)
    regrets = [case.regret[0] for case in cases]
    same = sum(case.as_at is not None for case in cases)
    return "\n".join(
        (
            f"{len(cases)} cases, {same} of them the same execution as at another link",
            f"median error {statistics.median(errors):.1%} (target 5 %), largest {errors[-1]:.1%} (target 10 %), "
            f"{sum(error <= 0.1 for error in errors)} within 10 %",
            f"the predicted 95 % interval held the measured median in {sum(case.inside for case in cases)}",
            f"mean regret {statistics.mean(regrets):.1%} (target 2 %), largest {max(regrets):.1%}; "
            f"established in {sum(case.regret[1] > 0 for case in cases)}",
            f"an option was too slow to be measured in {sum(bool(case.left_out) for case in cases)}",
        )
    )


def main() -> None:
    """Print one Markdown row a case, then errors and regrets over all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--rates", nargs="+", default=list(RATES), help="any order; the fastest is measured first")
    parser.add_argument("--slowdowns", nargs="+", type=float, default=list(SLOWDOWNS))
    parser.add_argument("--duration", type=parse_duration, default=10.0)
    parser.add_argument("--alternatives", type=int, default=3)
    parser.add_argument("--record", type=Path, help="a file to keep finished cases in, and to resume from")
    arguments = parser.parse_args()
    environment = current_environment()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {environment.processor}, {environment.logical_cores} cores, ", end="")
    print(f"{platform.system()}, onnxruntime {environment.packages['onnxruntime']}, RTT {format_duration(RTT_S)}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    record = Record(arguments.record)
    rates = sorted(arguments.rates, key=parse_rate, reverse=True)
    started = time.monotonic()
    for network in arguments.networks:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(
                workspace=Workspace(Path(folder)),
                duration_s=arguments.duration,
                alternatives=min(arguments.alternatives, FEWER_ALTERNATIVES.get(network, arguments.alternatives)),
            )
            bench.run(network, rates, arguments.slowdowns, record)
        print(f"{network}: {format_duration(time.monotonic() - started)} since the start", file=sys.stderr, flush=True)
    print(f"\n{summary(list(record.cases.values()))}")


if __name__ == "__main__":
    main()
