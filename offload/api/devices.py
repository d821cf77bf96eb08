"""Devices that nobody measured here: presets by name, and presets scaled to latencies that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from offload.api.models import load
from offload.artifacts.preset import CalibratedPreset, Preset
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

_LONGEST_S = 1e6
"""Of a known run: factors beyond it would be figures that no file of ours may hold."""


@dataclass(frozen=True, kw_only=True)
class CalibrateRequest:
    """What `calibrate` is asked for."""

    preset: str
    """The name of a preset."""
    latencies_s: Sequence[tuple[str, float]]
    """Models, named as for `profile`, and what a run of each is known to take on the device, in seconds."""
    batch: int = 1
    """Inputs in one run, of each of them."""


def find_preset(spec: str, *, asked_by: str, others: str) -> Preset:
    """The preset of a name, or in a file that `calibrate` wrote.

    Args:
        spec: A preset's name or a path.
        asked_by: The option that names it, for errors.
        others: What else that option takes, for errors.

    Raises:
        OffloadError: it is neither, or the file is damaged.
    """
    from offload.predictors.presets import near_presets, presets

    if Path(spec).is_file():
        return CalibratedPreset.load(Path(spec)).preset
    if spec in presets():
        return presets()[spec]
    what = "not a file" if Path(spec).exists() else "no such file"
    raise OffloadError(
        f"{asked_by} {spec}: {what}, and not a preset",
        hint=f"give {others}, or one of " + ", ".join(near_presets(spec)),
    )


def calibrate(request: CalibrateRequest, *, workspace: Workspace, progress: Progress | None = None) -> CalibratedPreset:
    """Scale a preset to latencies that are known of the device.

    Raises:
        OffloadError: there is no such preset or model, or a latency cannot be the device's.
        UsageError: a latency is none, or of weeks.
    """
    from offload.predictors.calibration import KnownRun, calibrated
    from offload.predictors.presets import load_preset
    from offload.runtimes.onnxruntime import OnnxRuntime

    progress = progress or NullProgress()
    preset = load_preset(request.preset)
    for spec, known_s in request.latencies_s:
        if not 0 < known_s <= _LONGEST_S:
            raise UsageError(
                f"--latency {spec}={known_s:g}s cannot be what one run takes",
                hint="write it like --latency alexnet=80ms",
            )
    runs = []
    for spec, known_s in request.latencies_s:
        model = load(
            spec,
            OnnxRuntime(device="cpu"),
            inputs={},
            batch=request.batch,
            weights=None,
            precision="fp32",
            workspace=workspace,
            progress=progress,
        )
        runs.append(
            KnownRun(model=spec, model_hash=model.hash, batch=request.batch, graph=model.graph, known_s=known_s)
        )
    return calibrated(preset, runs)
