"""A plan of the made run's clip and a verification of it, whose every figure is known."""

from __future__ import annotations

from offload.artifacts.estimate import Estimate
from offload.artifacts.link import AffineCost, Link, ProtocolCost
from offload.artifacts.video_plan import FramePrediction, VideoOption, VideoPlan, VideoServer
from offload.artifacts.video_profile import DetectionAccuracy, Setting
from offload.artifacts.video_verification import MethodRun, VideoVerification
from tests.made_profiles import made_profile
from tests.made_runs import SERVERS, made_run

RUN = made_run("squares")
TWO, WHOLE = Setting(servers=2, expansion=0.25), Setting(servers=1, rule="equal", interval=0)


def option(setting: Setting, mean_s: float, ap50: float, *, told: bool) -> VideoOption:
    """A way to offload, whose frames are those of the made run on as many servers as it has."""
    mine = [
        (record, tuple(ask for ask in record.asks if ask.server < setting.servers)) for record in RUN.frames if told
    ]
    return VideoOption(
        setting=setting, servers=tuple(range(setting.servers)), accuracy_servers=setting.servers,
        mean_s=Estimate.exactly(mean_s), p50_s=Estimate.exactly(mean_s), p95_s=Estimate.exactly(2 * mean_s),
        bytes_a_frame=1e6 * mean_s, pixels_a_frame=1000, radio_j=None, ap50=ap50, ap=ap50 / 2, ap50_change=ap50 - 0.9,
        frames=tuple(
            FramePrediction(
                number=record.number, asks=asks, plan_s=record.plan_s, merge_s=record.merge_s,
                latency_s=record.latency_s,
            )
            for record, asks in mine
        ),
    )  # fmt: skip


def server(name: str) -> VideoServer:
    """One of the plan's."""
    return VideoServer(
        name=name, address=None, fixed_s=1e-3, seconds_per_pixel=1e-8, residual=0, decode_fixed_s=0,
        decode_seconds_per_pixel=0, profile_hash=None,
    )  # fmt: skip


def made_plan() -> VideoPlan:
    """A plan that chose two servers."""
    none = AffineCost()
    one = option(TWO.model_copy(update={"servers": 1}), 0.05, 0.88, told=False)
    return VideoPlan.create(
        clip=RUN.clip, detector=RUN.detector, runtime=made_profile().runtime, profile_hash="0" * 64,
        servers=tuple(server(name) for name in SERVERS), link=Link(uplink_bps=2e8, downlink_bps=2e8, rtt_s=0.002),
        protocol=ProtocolCost(encode=none, uplink=none, decode=none, downlink=none), target="latency", radio=None,
        least_ap50=0.8, chosen=option(TWO, 0.034, 0.89, told=True), whole=option(WHOLE, 0.1, 0.9, told=True),
        by_servers=(one, option(TWO, 0.034, 0.89, told=False)), alternatives=(one,), considered=3,
    )  # fmt: skip


def method(name: str, servers: int, ap50: float, slower: float) -> MethodRun:
    """A method that took longer than the made run by so many seconds a frame."""
    frames = []
    for record in RUN.frames:
        asks = tuple(ask for ask in record.asks if ask.server < servers)
        frames.append(record.model_copy(update={"asks": asks, "latency_s": record.latency_s + slower}))
    return MethodRun(
        name=name, setting=TWO, servers=tuple(range(servers)), emulated=True, frames=tuple(frames),
        accuracy=DetectionAccuracy(
            ap50=ap50, ap=ap50 / 2, ap50_whole=ap50, duplicates=0, missed=0.1, new_object_delay_frames=None,
            never_found=None,
        ),
        ap50_change=Estimate.exactly(ap50 - 0.9), shifted_ap50=ap50 / 4, asked_by_age=(), missed_by_age=(),
    )  # fmt: skip


def made_verification() -> VideoVerification:
    """A verification of it, emulated."""
    plan = made_plan()
    return VideoVerification.create(
        plan_hash=plan.content_hash, clip=RUN.clip, first_frame=0, fresh=False, detector=RUN.detector,
        servers=plan.servers, link="200 Mbit/s", predicted=plan.chosen, predicted_whole=plan.whole,
        promised_change=-0.01, runs=(method("whole", 1, 0.9, 0.07), method("elf", 2, 0.8, 0.0)), tolerance=0.2,
        verdict="within tolerance",
    )  # fmt: skip
