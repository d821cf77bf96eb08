"""The verbs as functions: what the command line calls and applications may call; nothing here prints.

Each function reads artifacts or a model and returns one artifact. All raise OffloadError for whatever the user can
mend.
"""

from offload.api.codec_benches import CodecBenchRequest, bench_codecs
from offload.api.codecs import (
    CodecOutlook,
    CodecTrainRequest,
    list_codecs,
    show_codec,
    train_codecs,
    train_outlook,
)
from offload.api.devices import CalibrateRequest, calibrate
from offload.api.fits import FitOutlook, FitRequest, fit, fit_outlook
from offload.api.imports import ImportRequest, import_trace
from offload.api.links import LinkChoice, LinkRequest, link
from offload.api.plans import PlanRequest, plan
from offload.api.profiles import ProfileRequest, profile
from offload.api.reproductions import ReproduceRequest, reproduce
from offload.api.simulations import SimulateRequest, simulate
from offload.api.verifications import VerifyRequest, verify
from offload.api.video_plans import VideoPlanRequest, plan_video
from offload.api.video_profiles import VideoProfileRequest, profile_video
from offload.api.video_runs import VideoRunRequest, run_video
from offload.api.video_verifications import VerifyVideoRequest, verify_video
from offload.api.videos import MakeVideoOutlook, MakeVideoRequest, make_video, make_video_outlook

__all__ = [
    "CalibrateRequest",
    "CodecBenchRequest",
    "CodecOutlook",
    "CodecTrainRequest",
    "FitOutlook",
    "FitRequest",
    "ImportRequest",
    "LinkChoice",
    "LinkRequest",
    "MakeVideoOutlook",
    "MakeVideoRequest",
    "PlanRequest",
    "ProfileRequest",
    "ReproduceRequest",
    "SimulateRequest",
    "VerifyRequest",
    "VerifyVideoRequest",
    "VideoPlanRequest",
    "VideoProfileRequest",
    "VideoRunRequest",
    "bench_codecs",
    "calibrate",
    "fit",
    "fit_outlook",
    "import_trace",
    "link",
    "list_codecs",
    "make_video",
    "make_video_outlook",
    "plan",
    "plan_video",
    "profile",
    "profile_video",
    "reproduce",
    "run_video",
    "show_codec",
    "simulate",
    "train_codecs",
    "train_outlook",
    "verify",
    "verify_video",
]
