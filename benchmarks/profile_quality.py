"""How far profiles can be trusted: closure, repeatability, and what a profile says of segments that run apart.

For each model and number of threads, two profiles are made one after the other, then:

- closure: the calibrated layer sum against the whole measured anew in a session of its own (not the one it was
  closed against);
- repeatability: the share of executed layer groups of at least 50 µs whose medians agree within 5 %;
- segments: predicted head plus tail time at cuts between kernels against the two segments run apart.

    python benchmarks/profile_quality.py [--threads 1 2] [--models squeezenet ...]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offload.artifacts.profile import ModelIdentity, Profile
from offload.graph.cuts import prefix_cuts
from offload.models.load import LoadedModel, load_model
from offload.planners.costs import compute_time, tears_kernel
from offload.profilers.layers import profile_model, random_feeds
from offload.profilers.rests import PAUSE_S
from offload.runtimes.onnxruntime import OnnxRuntime
from tests.light_models import LIGHT_MODELS, light_model_path

SUBSTANTIAL_S = 50e-6
AGREE_WITHIN = 0.05
CUTS = 4


def profiled(model: LoadedModel, threads: int) -> Profile:
    """A profile of the model, at most 20 s of rounds."""
    identity = ModelIdentity(
        spec=model.spec, name=model.name, hash=model.hash, batch=model.batch, precision="fp32",
        weights=model.weights, untrained=model.untrained, inputs={}, weights_file=None,
    )  # fmt: skip
    return profile_model(model, OnnxRuntime(), identity, threads=threads, max_time_s=20.0)


def medians_s(profile: Profile) -> np.ndarray:
    """Closed median of each group."""
    return np.median(profile.group_samples_s, axis=0)


def repeatability(one: Profile, two: Profile) -> tuple[float, int]:
    """Share of substantial groups that agree, and their number."""
    a, b = medians_s(one), medians_s(two)
    big = np.maximum(a, b) >= SUBSTANTIAL_S
    return float(np.mean(np.abs(a[big] / b[big] - 1) <= AGREE_WITHIN)), int(big.sum())


def fresh_whole_s(model: LoadedModel, threads: int, rounds: int = 15) -> float:
    """Median of the whole in a session that no profile used."""
    session, feeds = OnnxRuntime().load(model.whole, threads=threads), random_feeds(model.graph)
    samples = []
    for _ in range(rounds + 2):
        time.sleep(PAUSE_S)
        started = time.perf_counter()
        session.run(feeds)
        samples.append(time.perf_counter() - started)
    return float(np.median(samples[2:]))


def segment_errors(model: LoadedModel, profile: Profile, threads: int, rounds: int = 11) -> list[float]:
    """Predicted over measured minus one, of head plus tail, at a few cuts between kernels."""
    cuts = [
        cut
        for cut in prefix_cuts(model.graph)
        if 0 < len(cut.device) < len(model.graph.layers) and not tears_kernel(profile, cut)
    ]
    errors = []
    for cut in [cuts[round(position * (len(cuts) - 1))] for position in np.linspace(0.1, 0.9, CUTS)]:
        segments = model.divide(cut)
        if segments.head is None or segments.tail is None:
            continue
        head = OnnxRuntime().load(segments.head, threads=threads)
        tail = OnnxRuntime().load(segments.tail, threads=threads)
        feeds = random_feeds(model.graph)
        samples = []
        for _ in range(rounds + 2):
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            produced = head.run({name: feeds[name] for name in segments.head.inputs})
            tail.run({name: {**feeds, **produced}[name] for name in segments.tail.inputs})
            samples.append(time.perf_counter() - started)
        rest = set(range(len(model.graph.layers))) - cut.device
        predicted = compute_time(profile, cut.device, "device").value + compute_time(profile, rest, "server").value
        errors.append(predicted / float(np.median(samples[2:])) - 1)
    return errors


def main() -> None:
    """Print one Markdown row a model and thread count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--models", nargs="+", default=list(LIGHT_MODELS))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/offload-light-models"))
    arguments = parser.parse_args()
    print("| model | threads | whole | raw gap | profiler inflation | calibrated sum against a fresh whole | ", end="")
    print("layers ≥ 50 µs within 5 % of a second run | head + tail, predicted against measured | profile took |")
    print("|---|---|---|---|---|---|---|---|---|")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        model = load_model(str(light_model_path(name, arguments.folder)))
        for threads in arguments.threads:
            started = time.perf_counter()
            one = profiled(model, threads)
            took = time.perf_counter() - started
            fresh = fresh_whole_s(model, threads)
            share, count = repeatability(one, profiled(model, threads))
            errors = segment_errors(model, one, threads)
            print(
                f"| {name} | {threads} | {one.whole.value * 1e3:.2f} ms | {one.raw_gap:+.1%} "
                f"| {one.profiler_inflation:+.1%} | {medians_s(one).sum() / fresh - 1:+.1%} "
                f"| {share:.0%} of {count} | {', '.join(f'{error:+.1%}' for error in errors)} | {took:.1f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
