"""ELF beside sending full frames, on made-up clips of three densities: profiled on one, verified on another.

For each density a clip for tuning (other drawings, photographs and motion than the one that is reported) is profiled
with the detector that comes with the program; a plan is made for one to five servers like this machine, over one line
that they share, and verified on the held-out clip: speed-up against the full frame with what crops and what further
servers give apart, bytes saved, and accuracy lost. With four servers the other ways of offloading run beside it.
Servers are emulated: each image is decoded and inferred alone here, and its frame's schedule follows from a model of
the line.

    python benchmarks/elf.py [--quick] [--folder FOLDER] [--detector digits] [--bw 450mbps] [--densities 8,14,20]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offload import api
from offload.artifacts.video_verification import MethodRun, VideoVerification
from offload.artifacts.workspace import Workspace, write_artifact
from offload.environment import current_environment
from offload.units import format_duration, parse_rate

SERVERS = (1, 2, 3, 4, 5)
COMPARED = 4
"""With so many servers the other methods are run, too."""
RTT_S = 0.002
FPS, SIZE = 15.0, (2560, 1440)
MOST_LOST = 0.01


@dataclass(frozen=True, kw_only=True)
class Run:
    """How much of it all."""

    folder: Path
    detector: str
    rate_bps: float
    densities: Sequence[int]
    servers: Sequence[int]
    frames: int

    @property
    def workspace(self) -> Workspace:
        """Where everything lands."""
        return Workspace(self.folder)


def verified(run: Run, density: int) -> dict[int, VideoVerification]:
    """By number of servers; what is there from an earlier run is taken."""
    tuning, held_out = (clip(run, density, split, seed) for split, seed in (("validation", 1), ("test", 2)))
    profile = run.folder / f"profile-{density}.json"
    if not profile.exists():
        request = api.VideoProfileRequest(
            clip=tuning, detector=run.detector, servers=COMPARED, frames=run.frames, threads=1
        )
        write_artifact(api.profile_video(request, workspace=run.workspace), profile)
    done = {}
    for servers in run.servers:
        path, plan = (run.folder / f"{kind}-{density}-{servers}.json" for kind in ("verification", "plan"))
        if not path.exists():
            wanted = api.VideoPlanRequest(
                profile=profile,
                alike=servers,
                link=api.LinkChoice(uplink_bps=run.rate_bps, rtt_s=RTT_S),
                most_lost=MOST_LOST,
            )
            write_artifact(api.plan_video(wanted, workspace=run.workspace), plan)
            asked = api.VerifyVideoRequest(
                plan=plan,
                clip=held_out,
                frames=run.frames,
                methods=None if servers == COMPARED else (),
                emulate_servers=True,
            )
            write_artifact(api.verify_video(asked, workspace=run.workspace), path)
        done[servers] = VideoVerification.load(path)
    return done


def clip(run: Run, density: int, split: str, seed: int) -> Path:
    """A clip of these digits, made where it is not there."""
    path = run.folder / f"{split}-{density}.mp4"
    if not path.exists():
        width, height = SIZE
        api.make_video(
            api.MakeVideoRequest(
                clip=path, density=density, seconds=run.frames / FPS, width=width, height=height, fps=FPS, seed=seed,
                split=split,
            )
        )  # fmt: skip
    return path


def by_servers(run: Run, density: int, done: dict[int, VideoVerification]) -> None:
    """A row for each number of servers."""
    print(f"\n### Density {density}: on {next(iter(done.values())).clip.frames} frames that nothing was chosen by\n")
    heads = (
        *("servers", "full frame", "ELF, mean", "p50", "p95", "predicted", "faster", "crops alone", "by more servers"),
        *("bytes saved", "AP50, full frame", "change", "planned"),
    )
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for servers, told in done.items():
        elf, whole, change = told.elf, told.whole, told.elf.ap50_change
        predicted = told.predicted.mean_s.value
        cells = (
            str(servers),
            format_duration(whole.mean_s),
            format_duration(elf.mean_s),
            *(format_duration(elf.percentile_s(each)) for each in (50, 95)),
            f"{format_duration(predicted)} ({predicted / elf.mean_s - 1:+.0%})",
            f"{told.speedup(elf):.2f}×",
            f"{told.crop_gain or 0:.2f}×",
            f"{told.parallel_gain or 0:.2f}×",
            f"{1 - elf.bytes_a_frame / whole.bytes_a_frame:.0%}",
            f"{whole.accuracy.ap50:.3f}",
            f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})",
            setting_words(elf),
        )
        print("| " + " | ".join(cells) + " |")


def setting_words(run: MethodRun) -> str:
    """The setting in a few words."""
    setting = run.setting
    small = f"small frame {setting.ratio:g} 1 in {setting.interval}" if setting.interval else "no small frame"
    return f"{setting.rule}, +{setting.expansion:.0%}, {small}, {setting.predictor}, JPEG {setting.quality}"


def by_method(told: VideoVerification) -> None:
    """A row for each way of offloading with four servers."""
    heads = (
        *("method", "mean", "p50", "p95", "faster", "bytes a frame", "AP50", "change", "on the screen"),
        *("duplicates a frame", "missed", "new objects after"),
    )
    print(f"\n#### All ways, {len(told.servers)} servers\n")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for run in told.runs:
        delay = run.accuracy.new_object_delay_frames
        cells = (
            run.name,
            format_duration(run.mean_s),
            *(format_duration(run.percentile_s(each)) for each in (50, 95)),
            f"{told.speedup(run):.2f}×",
            f"{run.bytes_a_frame / 1e3:.0f} kB",
            f"{run.accuracy.ap50:.3f}",
            f"{run.ap50_change.value:+.3f}",
            f"{run.shifted_ap50:.3f}",
            f"{run.accuracy.duplicates:.2f}",
            f"{run.accuracy.missed:.1%}",
            "–" if delay is None else f"{delay:.2f} frames",
        )
        print("| " + " | ".join(cells) + " |")
    for reason in told.left_out:
        print(f"- left out: {reason}")


def on_the_device(densities: dict[int, VideoVerification]) -> None:
    """What the device's own functions take of a frame, with four servers."""
    print("\n### On the device, a frame of 2560×1440, one core, four servers\n")
    print("| density | predicting and partitioning | JPEG | merging and indexing | all | p95 of all | without JPEG |")
    print("|---|---|---|---|---|---|---|")
    for density, told in densities.items():
        frames = told.elf.frames
        parts = [(frame.plan_s, sum(ask.encode_s for ask in frame.asks), frame.merge_s) for frame in frames]
        totals = sorted(map(sum, parts))
        cells = (
            *(format_duration(sum(each) / len(frames)) for each in zip(*parts, strict=True)),
            format_duration(sum(totals) / len(totals)),
            format_duration(totals[int(0.95 * len(totals))]),
            format_duration(sum(plan + merge for plan, _, merge in parts) / len(parts)),
        )
        print(f"| {density} | " + " | ".join(cells) + " |")


def main() -> None:
    """Everything, as tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one density, four servers, 12 frames")
    parser.add_argument("--folder", type=Path, help="keep clips, profiles, plans and verifications here")
    parser.add_argument("--detector", default="digits")
    parser.add_argument("--bw", default="450mbps")
    parser.add_argument("--densities", default="8,14,20")
    parser.add_argument("--frames", type=int, default=45)
    words = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="offload-elf-") as made:
        folder = words.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        densities = [int(each) for each in words.densities.split(",")]
        run = Run(
            folder=folder,
            detector=words.detector,
            rate_bps=parse_rate(words.bw),
            densities=densities[:1] if words.quick else densities,
            servers=(COMPARED,) if words.quick else SERVERS,
            frames=12 if words.quick else words.frames,
        )
        cpu = current_environment().processor
        print(
            f"{datetime.now(UTC):%Y-%m-%d}, {cpu}, detector {run.detector}, {words.bw} shared, rtt {RTT_S * 1e3:g} ms"
        )
        compared = {}
        for density in run.densities:
            done = verified(run, density)
            by_servers(run, density, done)
            by_method(done[COMPARED])
            compared[density] = done[COMPARED]
        on_the_device(compared)
        errors = [abs(told.error) for told in compared.values()]
        print(f"\npredicted mean latency off by {median(errors):.0%} (median), four servers")
    print(f"\nall of it took {(time.perf_counter() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
