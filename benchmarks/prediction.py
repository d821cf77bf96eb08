"""Latency predicted without running the model, against what was measured: the zoo and the onnx package's light models.

Costs are fitted on this machine for each number of threads (`offload fit`; random networks, none of these models).
Then each model is profiled and predicted. Beside the fitted costs stand three baselines, fitted on the same random
networks: time linear in FLOPs, one roofline for all kernels (operations, bytes, weights, steps and a launch; not
below zero), and Neurosurgeon's regressions for each kind of kernel. Measured profiles are made in two passes, before
and after the fit, and both count: a machine's speed moves. Predictions are for the speed that the machine's reference
kernel and empty call had in the rounds of the profile that they stand beside, as `offload profile --predict` takes
the speed of the moment; the same without knowing it stands below.

The split regret: how much longer a request takes, by the measured profiles, under the cut that is chosen from predicted
profiles than under the cut chosen from the measured ones. The device is the one-thread machine, as it is and slowed
down, the server the two-thread one; five bandwidths, a round trip of 4 ms.

    python benchmarks/prediction.py --folder work [--budget 20m] [--threads 1 2] [--models resnet50 ...] [--duration 6s]

What is in the folder already (profiles, costs) is not made again.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offload import api
from offload.api.fits import FitRequest, fit
from offload.api.models import load
from offload.artifacts.costs import Costs
from offload.artifacts.link import Link
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace, write_artifact
from offload.environment import current_environment
from offload.graph.cuts import make_cut
from offload.models.executed import ExecutedBlock, Kernel, TimedNetwork
from offload.models.zoo.catalogue import CATALOGUE
from offload.planners.base import Problem
from offload.planners.costs import predict
from offload.planners.mincut import MinCut
from offload.predictors.costs import predict_kernels, predicted_profile
from offload.predictors.features import is_free, terms
from offload.predictors.forms import fit_trend, trend_s
from offload.profilers.instruments import executed_blocks
from offload.profilers.sampling.measuring import read_checkpoint
from offload.progress import NullProgress
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.units import format_duration, parse_duration
from tests.light_models import LIGHT_MODELS, light_model_path

RATES_MBPS = (1, 5, 20, 100, 450)
SLOWDOWNS = (1.0, 8.0)
RTT_S = 0.004
PASSES = 2
LONG_S = 50e-6
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model in one pass."""

    model: str
    measured: Profile
    predicted: Profile
    """For the speed that the machine had while it was measured, as its reference kernel tells it."""
    blind: float
    """Seconds of the whole, predicted without knowing that."""
    baselines: Mapping[str, float]
    """Seconds of the whole by each baseline."""

    @property
    def error(self) -> float:
        """Of the whole, signed, as a fraction."""
        return self.predicted.whole.value / self.measured.whole.value - 1


class Bench:
    """Makes and keeps everything in one folder."""

    def __init__(self, folder: Path, *, budget_s: float, duration_s: float) -> None:
        self.folder, self.workspace = folder, Workspace(folder)
        self.budget_s, self.duration_s = budget_s, duration_s

    def spec(self, model: str) -> str:
        """What a verb is given for a model."""
        name = model.removeprefix("light ")
        return str(light_model_path(name, self.folder)) if name != model else model

    def measured(self, model: str, threads: int, pass_number: int) -> Profile:
        """The measured profile of one pass."""
        path = self.folder / f"{model.replace(' ', '-')}-{threads}-{pass_number}.profile.json"
        if not path.exists():
            request = api.ProfileRequest(model=self.spec(model), threads=threads, max_time_s=self.duration_s)
            write_artifact(api.profile(request, workspace=self.workspace), path)
        return Profile.load(path)

    def costs(self, threads: int) -> Costs:
        """The fitted costs."""
        path = self.folder / f"costs-{threads}.json"
        if not path.exists():
            write_artifact(fit(self.request(threads), workspace=self.workspace), path)
        return Costs.load(path)

    def request(self, threads: int) -> FitRequest:
        """What is asked of the fit."""
        return FitRequest(threads=threads, budget_s=self.budget_s)

    def networks(self, threads: int) -> list[TimedNetwork]:
        """The random networks that the costs were fitted on."""
        path = next(self.workspace.cache.glob(f"fit-onnxruntime-cpu-{threads}-*.jsonl"))
        return [line.network for line in read_checkpoint(path)]

    def blocks(self, model: str, threads: int) -> tuple[ExecutedBlock, ...]:
        """What the runtime would execute."""
        runtime = OnnxRuntime()
        loaded = load(
            self.spec(model), runtime, inputs={}, batch=1, weights=None, precision="fp32",
            workspace=self.workspace, progress=NullProgress(),
        )  # fmt: skip
        return executed_blocks(loaded, runtime, threads=threads)


Baseline = Callable[[Sequence[Kernel]], float]


def baselines(costs: Costs, networks: Sequence[TimedNetwork]) -> Mapping[str, Baseline]:
    """What predicts a whole from its kernels, fitted on the random networks."""
    whole = np.array([np.median(network.whole_s) for network in networks])
    flops = np.array([sum(terms(kernel)[0] for kernel in network.kernels) for network in networks])
    linear = fit_trend(np.column_stack([flops, np.ones(len(flops))]), whole)
    rows = [
        (terms(kernel), max(float(np.median(samples)), 3e-7))
        for network in networks
        for kernel, samples in zip(network.kernels, network.kernel_s, strict=True)
        if not is_free(kernel)
    ]
    roofline = fit_trend(np.array([row for row, _ in rows]), np.array([seconds for _, seconds in rows]))

    def by_paper(kernels: Sequence[Kernel]) -> float:
        return sum(one.seconds for one in predict_kernels(costs, kernels, predictor="neurosurgeon"))

    def by_roofline(kernels: Sequence[Kernel]) -> float:
        counted = [terms(kernel) for kernel in kernels if not is_free(kernel)]
        return float(trend_s(roofline, np.array(counted)).sum())

    return {
        "FLOPs-linear": lambda kernels: linear[0] * sum(terms(kernel)[0] for kernel in kernels) + linear[1],
        "roofline": by_roofline,
        "the paper's forms": by_paper,
    }


def regret(
    device: tuple[Profile, Profile], server: tuple[Profile, Profile], rate_mbps: float, slowdown: float
) -> float:
    """Of the cut chosen from predictions; each side is (measured, predicted)."""

    def problem(which: int) -> Problem:
        link = Link(uplink_bps=rate_mbps * 1e6, downlink_bps=rate_mbps * 1e6, rtt_s=RTT_S)
        here, there = device[which], server[which]
        return Problem(device=here, server=there, link=link, target="latency", device_slowdown=slowdown)

    truth, guess = problem(0), problem(1)
    chosen = MinCut().rank(guess).options[0]
    best = MinCut().rank(truth).options[0]
    took = predict(truth, make_cut(truth.graph, chosen.device_layers)).latency_s.value
    return max(0.0, took / best.breakdown.latency_s.value - 1)


def covered(result: Result) -> tuple[int, int]:
    """Layers of LONG_S and more whose measured time lies in the predicted interval, and how many there are."""
    inside = count = 0
    for measured, group in zip(result.measured.group_medians_s, result.predicted.groups, strict=True):
        prediction = group.prediction
        if measured >= LONG_S and prediction is not None:
            count += 1
            inside += prediction.low_s <= measured <= prediction.high_s
    return inside, count


def layer_errors(result: Result) -> list[float]:
    """Relative errors of the layers of LONG_S and more."""
    pairs = zip(result.measured.group_medians_s, result.predicted.group_medians_s, strict=True)
    return [abs(predicted / measured - 1) for measured, predicted in pairs if measured >= LONG_S]


def shares(errors: Sequence[float]) -> str:
    """Cells of a summary: within 5, 10 and 20 %, and the root mean square."""
    sizes = [abs(error) for error in errors]
    within = [f"{sum(size <= limit for size in sizes) / len(sizes):.0%}" for limit in (0.05, 0.1, 0.2)]
    return " | ".join([*within, f"{statistics.fmean(size**2 for size in sizes) ** 0.5:.1%}"])


def show(threads: int, results: Sequence[Result], costs: Costs) -> None:
    """The tables of one number of threads; the results of a model stand one after the other."""
    print(f"\n### {threads} thread{'s' if threads > 1 else ''}\n")
    print(f"Fitted on {costs.networks} random networks measured in {format_duration(costs.measuring_s)}.\n")
    names = list(results[0].baselines)
    print(f"| model | measured | predicted | error | 95 % interval | holds | {' | '.join(names)} |")
    print("|---" * (6 + len(names)) + "|")
    for one in results:
        measured, predicted = one.measured.whole.value, one.predicted.whole
        others = [f"{one.baselines[name] / measured - 1:+.0%}" for name in names]
        print(
            f"| {one.model} | {format_duration(measured)} | {format_duration(predicted.value)} | {one.error:+.1%} | "
            f"{format_duration(predicted.low)} – {format_duration(predicted.high)} | {'yes' if held(one) else 'no'} | "
            f"{' | '.join(others)} |"
        )
    print("\n| | within ±5 % | ±10 % | ±20 % | RMSPE |\n|---|---|---|---|---|")
    print(f"| fitted costs | {shares([one.error for one in results])} |")
    blind = [one.blind / one.measured.whole.value - 1 for one in results]
    print(f"| the same, not told how fast the machine was | {shares(blind)} |")
    for name in names:
        print(f"| {name} | {shares([one.baselines[name] / one.measured.whole.value - 1 for one in results])} |")
    inside, count = (sum(pair) for pair in zip(*(covered(one) for one in results), strict=True))
    errors = [error for one in results for error in layer_errors(one)]
    print(f"\nlayers of 50 µs and more: {count}, median error {statistics.median(errors):.1%}, ", end="")
    print(f"{inside / count:.1%} in their 90 % intervals; models in their 95 % ones: {sum(map(held, results))}", end="")
    print(f" of {len(results)}")


def held(result: Result) -> bool:
    """Whether the measured whole lies in the predicted interval."""
    return result.predicted.whole.low <= result.measured.whole.value <= result.predicted.whole.high


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--budget", type=parse_duration, default=1200.0)
    parser.add_argument("--duration", type=parse_duration, default=6.0, help="of measuring one profile, at most")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--models", nargs="+")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    untrained = [name for name, entry in CATALOGUE.items() if not entry.trained]  # the same 22 as ever
    models = arguments.models or untrained + [f"light {name}" for name in LIGHT_MODELS]
    bench = Bench(arguments.folder, budget_s=arguments.budget, duration_s=arguments.duration)
    environment = current_environment()
    for threads in arguments.threads:
        for model in models:
            bench.measured(model, threads, 0)
            print(f"{threads} threads, {model}: measured", file=sys.stderr, flush=True)
    for threads in arguments.threads:
        bench.costs(threads)
    for threads in reversed(arguments.threads):
        for model in models:
            bench.measured(model, threads, PASSES - 1)
            print(f"{threads} threads, {model}: measured again", file=sys.stderr, flush=True)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {environment.processor}, {environment.logical_cores} cores, ", end="")
    print(f"{platform.system()}, onnxruntime {environment.packages['onnxruntime']}")
    by_threads: dict[int, list[Result]] = {}
    for threads in arguments.threads:
        costs = bench.costs(threads)
        predictors = baselines(costs, bench.networks(threads))
        results = by_threads.setdefault(threads, [])
        for model in models:
            blocks = bench.blocks(model, threads)
            kernels = [kernel for block in blocks for kernel in block.kernels]
            others = {name: each(kernels) for name, each in predictors.items()}
            for number in range(PASSES):
                measured = bench.measured(model, threads, number)
                about = measured.graph, measured.model, measured.runtime, costs, blocks
                clean = measured.clean_rounds
                speed = {
                    "reference_s": [measured.reference_s[index] for index in clean],
                    "empty_call_s": [measured.empty_call_s[index] for index in clean],
                }
                predicted = predicted_profile(*about, **speed)
                if [group.layers for group in measured.groups] != [group.layers for group in predicted.groups]:
                    print(f"{model}: the runtime divided it in another way this time", file=sys.stderr)
                    continue
                blind = predicted_profile(*about).whole.value
                results.append(
                    Result(model=model, measured=measured, predicted=predicted, blind=blind, baselines=others)
                )
        show(threads, results, costs)
    if len(by_threads) == 2:
        show_regrets(*by_threads.values())


def show_regrets(devices: Sequence[Result], servers: Sequence[Result]) -> None:
    """The split regret of every model, bandwidth and device."""
    there: dict[str, list[Result]] = {}
    for one in servers:
        there.setdefault(one.model, []).append(one)
    found = []
    for one in devices:
        if not there.get(one.model):
            continue
        other = there[one.model].pop(0)
        for slowdown in SLOWDOWNS:
            for rate in RATES_MBPS:
                sides = (one.measured, one.predicted), (other.measured, other.predicted)
                found.append((regret(*sides, rate, slowdown), one.model, slowdown, rate))
    values = [value for value, *_ in found]
    print("\n### Split regret\n")
    print(f"{len(found)} cases ({', '.join(map(str, RATES_MBPS))} Mbit/s; device as it is and 8× slower): ", end="")
    print(f"at most 5 % in {sum(value <= 0.05 for value in values) / len(values):.1%}, ", end="")
    print(f"none in {sum(value < 1e-9 for value in values) / len(values):.1%}, mean {statistics.fmean(values):.2%}\n")
    print("| the largest | model | device | uplink |\n|---|---|---|---|")
    for value, model, slowdown, rate in sorted(found, reverse=True)[:8]:
        print(f"| {value:.1%} | {model} | {f'{slowdown:g}× slower' if slowdown > 1 else 'as it is'} | {rate} Mbit/s |")


if __name__ == "__main__":
    main()
