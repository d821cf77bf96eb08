"""The ways of offloading frames by name: ELF, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.methods.frame_filter import FrameFilter
from offload.video.methods.micro_classifier import embedded
from offload.video.methods.oracle import Oracle
from offload.video.methods.tiles import Tiles
from offload.video.methods.whole import Whole
from offload.video.proposals.catalogue import make_predictor

if TYPE_CHECKING:
    from offload.artifacts.video_profile import Setting
    from offload.video.methods.base import Method
    from offload.video.partitioning import ServerCost
    from offload.video.truth import FrameTruth


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a method is to be used for."""

    setting: Setting
    """Of ELF; the others take its quality of JPEG alone."""
    width: int
    """Of the frame, pixels."""
    height: int
    multiple: int
    """Sides of what the detector looks at are multiples of this many pixels."""
    servers: Sequence[ServerCost | None]
    """What each server takes, None for one that is not there."""
    truth: Sequence[FrameTruth] | None = None
    """Of the frames that will be asked about, for `oracle`; None where there is none."""


def _elf(scene: Scene, **changed: object) -> Elf:
    setting = scene.setting.model_copy(update=changed)
    return Elf(
        settings=ElfSettings.of(setting, scene.multiple),
        predictor=make_predictor(setting.predictor),
        width=scene.width,
        height=scene.height,
        servers=scene.servers,
    )


def _oracle(scene: Scene) -> Oracle:
    if scene.truth is None:
        raise OffloadError("the oracle has no ground truth to see", hint="name it with --truth, or leave out `oracle`")
    return Oracle(elf=_elf(scene), truth=scene.truth)


def _whole(scene: Scene) -> Whole:
    return Whole(width=scene.width, height=scene.height, servers=scene.servers)


def _filter(scene: Scene) -> FrameFilter:
    return FrameFilter(classifier=embedded(), width=scene.width, height=scene.height, servers=scene.servers)


def _tiles(scene: Scene) -> Tiles:
    return Tiles(width=scene.width, height=scene.height, multiple=scene.multiple, servers=scene.servers)


METHODS: Mapping[str, Callable[[Scene], Method]] = {
    "elf": _elf,
    "whole": _whole,
    "filter": _filter,
    "strips": lambda scene: _elf(scene, rule="equal", interval=0),
    "tiles": _tiles,
    "hold": lambda scene: _elf(scene, predictor="hold"),
    "oracle": _oracle,
}
"""What makes each: ELF as planned; the full frame to the fastest server; a filter of frames; equal strips of the
frame; fixed overlapping tiles; ELF that predicts no motion; ELF that is told where objects are."""


def make_method(name: str, scene: Scene) -> Method:
    """A new method, for one clip.

    Raises:
        OffloadError: there is none of this name, it needs a ground truth, or its weights are damaged.
    """
    if name not in METHODS:
        raise OffloadError(f"no method is called {name!r:.80}", hint=f"methods: {', '.join(METHODS)}")
    return METHODS[name](scene)
