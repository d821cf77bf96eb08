"""Clips: what is accepted, what is refused, and that frames are what was recorded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from offload.errors import OffloadError
from offload.video.clips import UNTOLD_FPS, Clip, open_clip
from offload.video.recording import Recorder
from tests.made_videos import plain_frames, write_video

SLOW = {"g": "6", "bf": "2"}


def refused(path: Path) -> str:
    """The error of opening and reading a clip, one line with a hint."""
    with pytest.raises(OffloadError) as caught:
        list(open_clip(path).frames())
    assert caught.value.hint
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    return caught.value.message.replace(str(path), "CLIP")


def numbers(clip: Clip) -> list[int]:
    """Which of `plain_frames` each frame is."""
    return [round((float(frame.mean()) - 29.5) / 8) for frame in clip.frames()]


def cut(path: Path, share: float) -> Path:
    shorter = path.with_name(f"cut-{path.name}")
    data = path.read_bytes()
    shorter.write_bytes(data[: int(len(data) * share)])
    return shorter


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi", "ts"])
def test_a_video_of_any_container(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    write_video(path, plain_frames(15), encoder=SLOW)
    clip = open_clip(path)
    info = clip.info
    assert (info.name, info.width, info.height, info.fps, info.frames) == (path.name, 160, 96, 10.0, 15)
    assert numbers(clip) == list(range(15))
    assert numbers(clip) == list(range(15)), "frames may be asked for again"
    frame = next(clip.frames())
    assert (frame.shape, frame.dtype, frame.flags["C_CONTIGUOUS"]) == ((96, 160, 3), np.uint8, True)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "flv"])
def test_a_truncated_video(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    write_video(path, plain_frames(40), encoder=SLOW, container={"movflags": "+faststart"})
    assert refused(cut(path, 0.6)).startswith("CLIP is truncated: ")


def test_a_truncated_video_is_found_before_anything_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, plain_frames(40), encoder=SLOW, container={"movflags": "+faststart"})
    with pytest.raises(OffloadError, match=r"is truncated: \d+ of 40 frames are whole"):
        open_clip(cut(path, 0.6))
    write_video(path, plain_frames(40), encoder=SLOW)
    with pytest.raises(OffloadError, match="is truncated: its index is missing"):
        open_clip(cut(path, 0.6))


def test_a_trimmed_video_is_not_a_truncated_one(tmp_path: Path) -> None:
    """Editors cut without encoding anew: the file holds frames that are not to be shown."""
    whole, path = tmp_path / "whole.mp4", tmp_path / "clip.mp4"
    write_video(whole, plain_frames(20), encoder=SLOW)
    with av.open(str(whole)) as before, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                earlier = int(0.8 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - earlier, packet.dts - earlier, stream
                after.mux(packet)
    clip = open_clip(path)
    assert clip.info.frames == 12
    assert numbers(clip) == list(range(8, 20))


def test_damage_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (96, 160, 3)).astype(np.uint8)
    write_video(path, (np.roll(noise, number, 1) for number in range(20)), container={"movflags": "+faststart"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    assert refused(path).startswith("CLIP is damaged a")


def test_what_is_no_video(tmp_path: Path) -> None:
    files = {
        "text.txt": b"hello\n" * 200,  # FFmpeg would show it as a terminal does
        "words.mp4": b"hello\n" * 200,
        "page.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert refused(tmp_path / name) == "CLIP is not a video"
    for name in ("picture.png", "picture.jpg"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
        assert refused(tmp_path / name) == "CLIP is not a video"
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "CLIP is not a video"
    assert refused(tmp_path / "missing.mp4") == "CLIP is not there"


@pytest.mark.parametrize("cover", [False, True], ids=["alone", "with-a-cover"])
def test_a_song_is_no_video(tmp_path: Path, cover: bool) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16_000, layout="mono")
        if cover:
            picture = file.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
            picture.disposition = Disposition.attached_pic
            (frame,) = plain_frames(1, width=64, height=64)
            file.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16_000
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    assert refused(path) == "CLIP is not a video"


def test_a_file_whose_frames_are_not_as_many_as_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, plain_frames(9), encoder=SLOW)
    for counted in (8, 10):
        clip = open_clip(path)
        clip.info = replace(clip.info, frames=counted)
        frames = clip.frames()
        for _ in range(min(counted, 9)):
            next(frames)
        with pytest.raises(OffloadError, match=f"holds {counted} frames, but 9 can be decoded"):
            next(frames)


def test_names_that_mean_something_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "http: a%20b%03d|é.mp4"
    with Recorder(path, width=160, height=96, fps=10) as recorder:
        for frame in plain_frames(3):
            recorder.add(frame)
    assert numbers(open_clip(path)) == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_no_frames(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    for ending in ("mp4", "mkv", "avi"):
        write_video(tmp_path / f"clip.{ending}", iter(()))
        assert refused(tmp_path / f"clip.{ending}") == "CLIP has no frames"
    (tmp_path / "empty.mp4").touch()
    assert refused(tmp_path / "empty.mp4") in ("CLIP has no frames", "CLIP is not a video")
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing here")
    assert refused(folder) == "CLIP has no frames"


def test_frames_that_change_their_size(tmp_path: Path) -> None:
    parts = [tmp_path / "1.h264", tmp_path / "2.h264"]
    write_video(parts[0], plain_frames(8), form="h264")
    write_video(parts[1], plain_frames(8, width=128, height=64), form="h264")
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert refused(path) == "CLIP changes its size at frame 8: 128x64 after 160x96"


def folder_of(tmp_path: Path, names: list[str]) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, frame in zip(names, plain_frames(len(names), width=60, height=40), strict=True):
        Image.fromarray(frame).save(folder / name)
    return folder


def test_a_folder_of_frames_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["f2.png", "f10.png", "f9.PNG", "f1.bmp"])
    (folder / ".f3.png").write_bytes(b"what some systems leave")
    (folder / "notes.txt").write_text("not a frame")
    (folder / "f4.png").mkdir()
    clip = open_clip(folder)
    info = clip.info
    assert (info.name, info.width, info.height, info.fps, info.frames) == ("frames", 60, 40, UNTOLD_FPS, 4)
    assert numbers(clip) == [3, 0, 2, 1]
    grey = Image.open(folder / "f1.bmp").convert("L")
    grey.save(folder / "f1.bmp")
    assert next(clip.frames()).shape == (40, 60, 3)


def test_a_folder_whose_frames_differ_or_are_damaged(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["0.png", "1.png", "2.png"])
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OffloadError, match=r"1\.png is damaged: ") as damaged:
        list(open_clip(folder).frames())
    assert damaged.value.hint
    (folder / "1.png").write_bytes(b"no image")
    with pytest.raises(OffloadError, match=r"1\.png is no image"):
        open_clip(folder)
    Image.new("RGB", (30, 40)).save(folder / "1.png")
    with pytest.raises(OffloadError, match=r"1\.png changes its size at frame 1: 30x40 after 60x40"):
        open_clip(folder)


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clip.mp4"
    with Recorder(path, width=160, height=96, fps=29.97) as recorder:
        for frame in plain_frames(12):
            recorder.add(frame)
    clip = open_clip(path)
    assert (clip.info.frames, clip.info.width, clip.info.height) == (12, 160, 96)
    assert clip.info.fps == pytest.approx(29.97, abs=1e-3)
    assert numbers(clip) == list(range(12))
    for recorded, shown in zip(plain_frames(12), clip.frames(), strict=True):
        assert np.abs(recorded.astype(int) - shown).max() < 8
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.name == "h264"
        size_bytes = sum(packet.size for packet in file.demux(video=0))
    assert recorder.rate_bps == pytest.approx(8 * size_bytes / (12 / 29.97), rel=0.02)
    assert [file.name for file in path.parent.iterdir()] == ["clip.mp4"]


def record_in_part(path: Path, error: type[BaseException]) -> None:
    with Recorder(path, width=160, height=96, fps=10) as recorder:
        for frame in plain_frames(30):
            recorder.add(frame)
        raise error


def test_a_recording_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"before")
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error):
            record_in_part(path, error)
    with pytest.raises(OffloadError, match=r"H\.264 wants even sides, not 161x96"):
        Recorder(path, width=161, height=96, fps=10)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_recording_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OffloadError, match=r"cannot write .*clip\.mp4: ") as caught:
        Recorder(tmp_path / "file" / "clip.mp4", width=64, height=64, fps=10)
    assert caught.value.hint
    with pytest.raises(OffloadError, match=r"clip\.xyz: no container has this ending"):
        Recorder(tmp_path / "clip.xyz", width=64, height=64, fps=10)
    with pytest.raises(OffloadError, match="cannot write"), Recorder(tmp_path / "a.mp4", width=64, height=64, fps=10):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
