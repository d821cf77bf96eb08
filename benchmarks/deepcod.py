"""DeepCOD's tables and figures for networks that come with the program: codecs trained, benched, planned and executed.

First, on `digits_resnet` and digits-in-clutter, every method at the input and behind each block (the paper's Table 1);
then `digits_deepspeech` on synthetic speech at the input and behind its layers; then the latency of DeepCOD, the
entropy bottleneck, WebP, the tensor as it is and the device alone, executed over emulated links of 1 to 500 Mbit/s with
a device ten times slower, and with background traffic on the link (the shape of the paper's Figures 6 to 11). What is
trained is kept in --folder, and a second run goes on from there.

    python benchmarks/deepcod.py [--quick] [--folder FOLDER] [--seeds 1] [--epochs 2] [--plot FOLDER]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offload import api
from offload.artifacts.codec_bench import CodecBench
from offload.artifacts.link import Link
from offload.artifacts.plan import Option
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Measurement, Verification
from offload.artifacts.workspace import Workspace, write_artifact
from offload.environment import current_environment
from offload.graph.cuts import make_cut, single_tensor_cuts
from offload.planners.base import Constraints, Problem
from offload.planners.codings import codings_of
from offload.planners.costs import make_option
from offload.planners.deepcod import accurate
from offload.planners.plan import load_planner, make_plan
from offload.reports.codec_bench import codec_bench_picture
from offload.reports.picture import write_picture
from offload.reports.render import render
from offload.units import format_duration

IMAGES, SPEECH = ("digits_resnet", "digits-in-clutter"), ("digits_deepspeech", "spoken-digits")
BLOCKS = ("input", "block1", "block2", "block3", "block4")
LAYERS = ("input", "layer1", "layer2", "layer3", "layer4", "layer5")
IMAGE_FAMILIES = (
    *("deepcod", "entropic", "autoencoder", "zstd", "fp16", "int8", "int4", "lossy", "interpolate"),
    *("uint8", "jpeg", "webp"),
)
SLOW_FAMILIES = ("cs-dct", "cs-wavelet", "avif")
"""About half of the work of an image's tables."""
SPEECH_FAMILIES = ("deepcod", "zstd", "fp16", "int8", "int4", "lossy", "interpolate", "cs-dct", "cs-wavelet")
SPEECH_TRAININGS = (
    (("layer1", "layer2", "layer3"), 0.04, 1),
    (("layer4", "layer5"), 0.04, 1),
    (("input",), 0.08, 2),
)
"""Cuts that are trained together, the ratio and how many times the images' epochs: what holds the token error rate. The
paper's tables have ratios of 0.2 to 1.5 %. The input has half as many values as what the layers make: 8 % of it are as
many bytes; and it learns slowest, at a quarter of the time."""
SMALL_BATCHES = ("--batch", "16")
"""For the same examples, twice as many steps learn more than larger ones."""
ABLATED = "block2"
"""Where `codec bench` looks at ablations, too: in the middle."""
RATES_BPS = (1e6, 5e6, 20e6, 100e6, 500e6)
RTT_S = 0.002
SLOWER = 10.0
WORKERS = 2
FAMILIES = {"uint8": "uint8", "DeepCOD": "deepcod", "Entropic": "entropic", "WebP": "webp", "fp16+zstd": "fp16+zstd"}
MOST_LOSS = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """How much of it all."""

    folder: Path
    quick: bool
    seeds: int
    epochs: int
    """On images; see SPEECH_TRAININGS for speech, of which there are fewer examples."""
    requests: int
    examples: int
    """Of the test split."""

    @property
    def blocks(self) -> Sequence[str]:
        """Cuts of the network for images."""
        return (ABLATED,) if self.quick else BLOCKS

    @property
    def layers(self) -> Sequence[str]:
        """Cuts of the network for speech."""
        return ("layer3",) if self.quick else LAYERS

    @property
    def workspace(self) -> Workspace:
        """Where everything lands."""
        return Workspace(self.folder)


def train(run: Run) -> None:
    """All learned codecs, two trainings at a time, one thread each; the longest first."""
    seeds = range(run.seeds)
    jobs = [
        _job(IMAGES, run.blocks, kind, run.epochs, seed, *SMALL_BATCHES)
        for kind in ("entropic", "deepcod")
        for seed in seeds
    ]
    jobs += [
        _job(
            *(SPEECH, places, "deepcod", 1 if run.quick else math.ceil(longer * run.epochs), seed),
            *("--ratio", str(ratio), *SMALL_BATCHES),
        )
        for group, ratio, longer in SPEECH_TRAININGS
        for seed in seeds
        if (places := [layer for layer in group if layer in run.layers])
    ]
    jobs += [_job(IMAGES, run.blocks, "autoencoder", run.epochs, seed, *SMALL_BATCHES) for seed in seeds]
    jobs += [
        _job(IMAGES, (ABLATED,), "deepcod", run.epochs, 0, *SMALL_BATCHES, ablation)
        for ablation in ("--no-distillation", "--random-encoder")
    ]
    done = run.folder / "trained.txt"
    known = set(done.read_text().splitlines()) if done.exists() else set()
    lock = threading.Lock()

    def one(job: Sequence[str]) -> None:
        words = " ".join(job)
        if words in known:
            return
        started = time.perf_counter()
        offload(run, "codec", "train", *job, "--threads", "1", "--resume")
        with lock:
            print(f"trained {words}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            with done.open("a") as file:
                file.write(words + "\n")

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, jobs))


def _job(asked: tuple[str, str], places: Sequence[str], kind: str, epochs: int, seed: int, *more: str) -> list[str]:
    (model, data), at = asked, ",".join(places)
    return ["--at", at, "--codec", kind, "--epochs", str(epochs), "--seed", str(seed), "--data", data, *more, model]


def bench(run: Run, plot: Path | None) -> list[CodecBench]:
    """The tables of both models; two processes, each with one thread."""
    asked = [
        (IMAGES, run.blocks, SLOW_FAMILIES, True),
        (IMAGES, run.blocks, IMAGE_FAMILIES, True),
        (SPEECH, run.layers, SPEECH_FAMILIES, False),  # tails of an unrolled recurrent layer would take an hour
    ]

    def one(job: int) -> CodecBench:
        (model, data), places, families, tuned = asked[job]
        path = run.folder / f"{job}.codec-bench.json"
        if not path.exists():
            options = ["--seeds", str(run.seeds), "--threads", "1", "--bw", "20mbps", "--examples", str(run.examples)]
            options += ["--at", ",".join(places), "--codecs", ",".join(families), "-o", str(path)]
            options += ["--quick"] * run.quick + ["--no-train"] * (not tuned)
            offload(run, "codec", "bench", model, "--data", data, *options)
        return CodecBench.load(path)

    with ThreadPoolExecutor(WORKERS) as pool:
        slow, images, speech = pool.map(one, range(len(asked)))
    known = {(row.tensor.name, row.method, row.tail) for row in images.rows}
    more = tuple(row for row in slow.rows if (row.tensor.name, row.method, row.tail) not in known)
    images = images.model_copy(update={"rows": (*images.rows, *more)})
    if plot is not None:
        plot.mkdir(parents=True, exist_ok=True)
        for found in (images, speech):
            write_picture(codec_bench_picture(found), plot / f"{found.model.name}.png")
    return [images, speech]


def offload(run: Run, *words: str) -> None:
    """One command of the program, in the run's workspace, on one thread."""
    environment = {"OFFLOAD_HOME": str(run.folder.resolve()), "OMP_NUM_THREADS": "1", "PYTHONPATH": sys.path[0]}
    command = [sys.executable, "-m", "offload", "-q", *words]
    told = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if told.returncode:
        raise RuntimeError(f"{' '.join(words)}: {told.stderr}")


def table(found: CodecBench) -> str:
    """The rows as Markdown."""
    text: str = render(found, "md")
    return text


def latencies(run: Run, found: CodecBench) -> None:
    """Methods over links, predicted and measured, alone and beside another flow."""
    profile = api.profile(
        api.ProfileRequest(model=IMAGES[0], threads=1, max_time_s=10.0 if run.quick else 20.0), workspace=run.workspace
    )
    for competing in (False,) if run.quick else (False, True):
        print(f"\n### {'Beside background traffic' if competing else 'Alone on the link'}\n")
        names = ["as it is", *FAMILIES, "device alone"]
        print("| uplink | " + " | ".join(names) + " | DeepCOD against as it is | against uint8 |")
        print("|---" * (len(names) + 3) + "|")
        for rate in RATES_BPS[::2] if run.quick else RATES_BPS:
            told = executed(run, profile, found, rate, competing=competing)
            cells = [f"{_shown(told.get(name))}" for name in names]
            cells += [_gain(told.get(name), told.get("DeepCOD")) for name in ("as it is", "uint8")]
            print(f"| {rate / 1e6:g} Mbit/s | " + " | ".join(cells) + " |", flush=True)


def executed(
    run: Run, profile: Profile, found: CodecBench, rate_bps: float, *, competing: bool
) -> dict[str, Measurement]:
    """The best option of each family at one rate, executed."""
    link = Link(uplink_bps=rate_bps, downlink_bps=rate_bps, rtt_s=RTT_S)
    problem = Problem(
        device=profile, server=profile, link=link, target="latency", device_slowdown=SLOWER,
        codings=codings_of(found, profile, profile), intact_accuracy=found.intact_accuracy,
        constraints=Constraints(max_accuracy_loss=MOST_LOSS),
    )  # fmt: skip
    plan = make_plan(
        problem, planner=load_planner("deepcod"), device_hash=profile.content_hash, server_hash=profile.content_hash,
        codec_data=found.data,
    )  # fmt: skip
    options = {name: option for name, codec in FAMILIES.items() if (option := best_of(problem, codec))}
    whole = make_option(problem, make_cut(problem.graph, range(len(problem.graph.layers))))
    plan = plan.model_copy(update={"chosen": whole, "codec": "raw", "alternatives": tuple(options.values())})
    path = run.folder / "latency.plan.json"
    write_artifact(plan, path)
    verification = api.verify(
        api.VerifyRequest(
            plan=path, requests=run.requests, alternatives=len(options), device_slowdown=SLOWER,
            background_traffic=competing, data=IMAGES[1], samples=run.requests,
        ),
        workspace=run.workspace,
    )  # fmt: skip
    return by_name(verification, options)


def best_of(problem: Problem, codec: str) -> Option | None:
    """The fastest option of one family that is accurate enough, or the family's most accurate where none is."""
    found = [
        (coding, make_option(problem, cut, coding))
        for tensor, codings in problem.codings.items()
        for cut in single_tensor_cuts(problem.graph, tensor)
        for coding in codings
        if coding.codec == codec or coding.codec.partition(":")[0].partition("@")[0] == codec
    ]
    kept = [pair for pair in found if accurate(problem, pair[0])]
    if not kept and found:
        most = max(coding.accuracy for coding, _ in found)
        kept = [pair for pair in found if pair[0].accuracy == most]
    return min((option for _, option in kept), key=lambda option: option.breakdown.latency_s.value, default=None)


def by_name(verification: Verification, options: dict[str, Option]) -> dict[str, Measurement]:
    """Measurements by the method's name."""
    found = {}
    if verification.server_only is not None:
        found["as it is"] = verification.server_only
    found["device alone"] = verification.chosen
    for name, option in options.items():
        for each in verification.alternatives:
            if (each.option.device_layers, each.option.codec) == (option.device_layers, option.codec):
                found[name] = each
    return found


def _shown(measurement: Measurement | None) -> str:
    if measurement is None:
        return "–"
    measured = measurement.measured["latency_s"].value
    predicted = measurement.option.breakdown.latency_s.value
    shown = f"{format_duration(measured)} ({predicted / measured - 1:+.0%})"
    coding = measurement.option.coding
    if coding is None or -coding.accuracy_change.value <= MOST_LOSS:
        return shown
    return f"{shown}, {coding.accuracy_change.value:+.1%} right"


def _gain(raw: Measurement | None, coded: Measurement | None) -> str:
    if raw is None or coded is None:
        return "–"
    return f"{raw.measured['latency_s'].value / coded.measured['latency_s'].value:.1f}×"


def main() -> None:
    """Train, bench, execute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="offload-deepcod-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(
            folder=folder, quick=asked.quick, seeds=asked.seeds, epochs=asked.epochs or (1 if asked.quick else 2),
            requests=8 if asked.quick else 15, examples=200 if asked.quick else 1000,
        )  # fmt: skip
        train(run)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        print(f"trained in {time.perf_counter() - started:.0f} s, {spent:.0f} s of processors\n", flush=True)
        machine = current_environment()
        print(f"{datetime.now(UTC):%Y-%m-%d}, {machine.processor}, seeds 0 to {run.seeds - 1}\n")
        images, speech = bench(run, asked.plot)
        print(table(images))
        print(table(speech), flush=True)
        print(f"benched after {time.perf_counter() - started:.0f} s\n", flush=True)
        latencies(run, images)
        print(f"\nall of it took {(time.perf_counter() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
