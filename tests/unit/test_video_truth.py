"""Ground truth: COCO and MOTChallenge read, written and read again; what does not fit a clip is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.errors import OffloadError
from offload.video.clips import ClipInfo
from offload.video.truth import FrameTruth, GroundTruth, load_truth, truth_file, write_truth

CLIP = ClipInfo(name="clip.mp4", width=64, height=48, fps=10.0, frames=3)
COCO: dict[str, Any] = {
    "images": [{"id": number, "file_name": f"{number}.png", "width": 64, "height": 48} for number in (30, 10, 20)],
    "categories": [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 7, "bbox": [1, 2, 10, 20], "track_id": 5, "visibility": 0.5},
        {"id": 2, "image_id": 30, "category_id": 2, "bbox": [60, 40, 10, 20], "area": 200, "iscrowd": 0},
        {"id": 3, "image_id": 30, "category_id": 2, "bbox": [0, 0, 64, 48], "iscrowd": 1},
        {"id": 4, "image_id": 30, "category_id": 7, "bbox": [0, 0, 5, 5]},
        {"id": 5, "image_id": 10, "category_id": 7, "bbox": [5, 5, 0, 5]},
    ],
}


def load(tmp_path: Path, content: object, name: str = "clip.json", clip: ClipInfo = CLIP) -> GroundTruth:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return load_truth(path, clip)


def refused(tmp_path: Path, content: object, name: str = "clip.json", clip: ClipInfo = CLIP) -> str:
    with pytest.raises(OffloadError) as caught:
        load(tmp_path, content, name, clip)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith(str(tmp_path / name))
    return caught.value.message.removeprefix(f"{tmp_path / name} ")


def changed(*at: str | int, to: object) -> dict[str, Any]:
    document = deepcopy(COCO)
    place: Any = document
    for key in at[:-1]:
        place = place[key]
    place[at[-1]] = to
    return document


def test_coco(tmp_path: Path) -> None:
    truth = load(tmp_path, COCO)
    assert truth.classes == ("cat", "dog")
    first, second, third = truth.frames
    assert first.boxes.tolist() == [[1, 2, 11, 22]], "in the order of the images' ids, and what has no area left out"
    assert (first.labels.tolist(), first.ids.tolist(), first.visible.tolist()) == ([1], [5], [0.5])
    assert (second.boxes.shape, len(second.ids)) == ((0, 4), 0)
    assert third.boxes.tolist() == [[60, 40, 64, 48], [0, 0, 5, 5]], "cut to the frame, without the crowd"
    assert third.visible.tolist() == [1, 1]
    assert len({5, *third.ids.tolist()}) == 3, "who has no identity shares none"


def test_coco_with_a_mark_before_it(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + json.dumps(COCO)).classes == ("cat", "dog")


MOT_2016 = "1,4,2,3,10,20,1,1,0.75\n3,4,3,3,10,20,1,1,1\n3,9,1,1,5,5,0,1,1\n\n3,8,-4,-4,10,10,1,7,0.5\n"


def test_mot(tmp_path: Path) -> None:
    truth = load(tmp_path, MOT_2016, "gt.txt")
    assert truth.classes == ("1", "7")
    first, second, third = truth.frames
    assert first.boxes.tolist() == [[1, 2, 11, 22]], "pixels are counted from 1"
    assert (first.labels.tolist(), first.ids.tolist(), first.visible.tolist()) == ([0], [4], [0.75])
    assert len(second.ids) == 0
    assert third.boxes.tolist() == [[2, 2, 12, 22], [0, 0, 5, 5]], "what is not to be considered is left out"
    assert third.labels.tolist() == [0, 1]
    assert third.ids.tolist() == [4, 8]


@pytest.mark.parametrize("line", ["2,1,1,1,4,4", "2,1,1,1,4,4,1", "2,1,1,1,4,4,-1,-1,-1,-1", "2.0,1.0,1,1,4,4,1"])
def test_mot_without_classes(tmp_path: Path, line: str) -> None:
    truth = load(tmp_path, line, "gt.csv")
    assert truth.classes == ("object",)
    assert [len(frame.ids) for frame in truth.frames] == [0, 1, 0]
    assert truth.frames[1].boxes.tolist() == [[0, 0, 4, 4]]
    assert truth.frames[1].visible.tolist() == [1]


def test_mot_of_a_clip_in_which_there_is_nothing(tmp_path: Path) -> None:
    truth = load(tmp_path, "", "gt.txt")
    assert (truth.classes, [len(frame.ids) for frame in truth.frames]) == ((), [0, 0, 0])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed("images", 0, "width", to=65), "its images have 65x48 pixels, clip.mp4 64x48"),
        (changed("images", to=COCO["images"][:2]), "it tells of 2 frames, clip.mp4 has 3"),
        (changed("annotations", 0, "image_id", to=11), "it has annotations of image 11, which it does not list"),
        (changed("annotations", 0, "bbox", to=[64, 0, 5, 5]), "a box of frame 0 lies outside 64x48 pixels"),
        (changed("annotations", 0, "bbox", to=[-9, 0, 5, 5]), "a box of frame 0 lies outside 64x48 pixels"),
    ],
)
def test_coco_about_another_clip(tmp_path: Path, document: object, message: str) -> None:
    assert refused(tmp_path, document) == f"is not about this clip: {message}"


def test_mot_about_another_clip(tmp_path: Path) -> None:
    longer, elsewhere = "4,1,1,1,4,4,1,1,1", "3,1,65,1,4,4,1,1,1"
    assert refused(tmp_path, longer, "gt.txt") == "is not about this clip: it tells of 4 frames, clip.mp4 has 3"
    assert (
        refused(tmp_path, elsewhere, "gt.txt") == "is not about this clip: a box of frame 2 lies outside 64x48 pixels"
    )


DAMAGED: list[object] = [
    "not JSON",
    "[" * 100_000,
    "[]",
    "null",
    *({key: COCO[key] for key in COCO if key != missing} for missing in COCO),
    changed("images", to=None),
    changed("images", 1, "id", to=30),
    changed("images", 1, "id", to="one"),
    changed("images", 1, "id", to=[1]),
    changed("categories", 0, "id", to=2),
    changed("annotations", 0, to="a box"),
    changed("annotations", 0, "category_id", to=3),
    changed("annotations", 0, "bbox", to=[1, 2, 3]),
    changed("annotations", 0, "bbox", to=[1, 2, 3, None]),
    changed("annotations", 0, "bbox", to=[1, 2, -3, 4]),
    changed("annotations", 0, "bbox", to=[1, 2, float("nan"), 4]),
    changed("annotations", 0, "bbox", to=[1, 2, float("inf"), 4]),
    changed("annotations", 0, "track_id", to=1e30),
    changed("annotations", 0, "track_id", to=float("inf")),
    changed("annotations", 0, "visibility", to=1.5),
    changed("annotations", 0, "visibility", to=float("nan")),
]


@pytest.mark.parametrize("document", DAMAGED, ids=[str(number) for number in range(len(DAMAGED))])
def test_damaged_coco(tmp_path: Path, document: object) -> None:
    assert refused(tmp_path, document).startswith("is damaged: ")


@pytest.mark.parametrize(
    "text",
    ["1,2,3", "1,1,a,1,4,4", "0,1,1,1,4,4", "nan,1,1,1,4,4", "1,1,1,1,-4,4", "1,1,1,1,inf,4", "1,1,1,1,4,4,1,1,7",
     "1,inf,1,1,4,4", "frame,id,left,top,width,height"],
)  # fmt: skip
def test_damaged_mot(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text, "gt.txt").startswith("is damaged: ")


def test_what_is_no_ground_truth(tmp_path: Path) -> None:
    assert refused(tmp_path, "<annotation/>", "clip.xml") == "is no ground truth"
    with pytest.raises(OffloadError, match=r"none\.json cannot be read: No such file"):
        load_truth(tmp_path / "none.json", CLIP)
    (tmp_path / "clip.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OffloadError, match=r"clip\.json is damaged"):
        load_truth(tmp_path / "clip.json", CLIP)


def test_where_the_truth_lies(tmp_path: Path) -> None:
    assert truth_file(tmp_path / "clip.mp4") == tmp_path / "clip.truth.json"
    folder = tmp_path / "frames.v1"
    folder.mkdir()
    assert truth_file(folder) == tmp_path / "frames.v1.truth.json"


objects = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 6300), st.integers(0, 4700), st.integers(1, 100), st.integers(1, 100)).map(
            lambda box: (box[0] / 100, box[1] / 100, (box[0] + box[2]) / 100, (box[1] + box[3]) / 100)
        ),
        st.integers(0, 1),
        st.integers(-(2**62), 2**62),
        st.floats(0, 1),
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=50)
@given(st.lists(objects, min_size=3, max_size=3))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, frames: list[list[Any]]) -> None:
    truth = GroundTruth(classes=("a", "b"), frames=tuple(FrameTruth.of(rows) for rows in frames))
    path = tmp_path_factory.mktemp("truth") / "clip.json"
    write_truth(truth, path, {"seed": 3}, width=64, height=48)
    again = load_truth(path, CLIP)
    assert again.classes == truth.classes
    for before, after in zip(truth.frames, again.frames, strict=True):
        np.testing.assert_allclose(after.boxes, before.boxes, atol=0.011)
        np.testing.assert_array_equal(after.labels, before.labels)
        np.testing.assert_array_equal(after.ids, before.ids)
        assert ((before.visible - after.visible >= 0) & (before.visible - after.visible < 1.001e-3)).all()


def test_cocos_own_tools_read_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools import coco, cocoeval

    rows = [[((1.0, 2.0, 11.0, 22.0), 0, 4, 1.0)], [((0.0, 0.0, 9.0, 9.0), 1, 5, 1.0)], []]
    truth = GroundTruth(classes=("a", "b"), frames=tuple(FrameTruth.of(each) for each in rows))
    write_truth(truth, tmp_path / "clip.json", {}, width=64, height=48)
    read = coco.COCO(str(tmp_path / "clip.json"))
    assert read.loadAnns(read.getAnnIds(imgIds=[0]))[0]["bbox"] == [1.0, 2.0, 10.0, 20.0]
    found = read.loadRes([
        {"image_id": note["image_id"], "category_id": note["category_id"], "bbox": note["bbox"], "score": 1.0}
        for note in read.dataset["annotations"]
    ])  # fmt: skip
    judged = cocoeval.COCOeval(read, found, "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    capsys.readouterr()
    assert judged.stats[0] == pytest.approx(1.0), "a perfect answer is one"


def test_objects_that_are_seen_enough() -> None:
    frame = FrameTruth.of([((0, 0, 1, 1), 0, 1, 0.2), ((0, 0, 2, 2), 1, 2, 0.6)])
    assert frame.seen(0.5).ids.tolist() == [2]
    assert frame.seen(0.0).ids.tolist() == [1, 2]
