"""Where an answer's time went, whatever a server tells of its clock; and answers that are no detector's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from offload.codecs.crop import MOST_PIXELS
from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.errors import OffloadError
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.timing import ClockOffset, InferResult, ServerTimes
from offload.verification.video.asking import times_of
from offload.verification.video.served_detector import ServedDetector
from offload.video.methods.base import Ask, whole_frame
from tests.made_detectors import SPOTS, bright_spots

ASK = Ask(server=0, region=np.array([[100.0, 50, 164, 98]]))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


@pytest.fixture(scope="module")
def served(detector: Detector) -> ServedDetector:
    return ServedDetector(detector, quality=90, width=320, height=192)


stamps = st.integers(-(2**62), 2**62)


def _answer(server: ServerTimes, *, sent_ns: int, finished_ns: int) -> InferResult:
    return InferResult(
        outputs={},
        encoding_ns=sent_ns,
        started_ns=sent_ns + 10,
        finished_ns=finished_ns,
        decoded_ns=finished_ns + 1000,
        server=server,
    )


@given(st.lists(stamps, min_size=7, max_size=7), stamps, st.integers(0, 2**40))
def test_times_are_not_negative_and_sum_to_what_the_call_took_whatever_is_told(
    told: list[int], offset_ns: int, took_ns: int
) -> None:
    sent_ns = 10**15
    answer = _answer(
        ServerTimes(**dict(zip(ServerTimes.__dataclass_fields__, told, strict=True))),
        sent_ns=sent_ns,
        finished_ns=sent_ns + took_ns,
    )
    times = times_of(answer, ClockOffset(offset_ns=offset_ns, uncertainty_ns=0), sent_ns=sent_ns)
    assert min(times.values()) >= -1e-9
    assert sum(times.values()) == pytest.approx((took_ns + 1000) / 1e9, rel=1e-9, abs=1e-9)


def test_each_part_is_told_apart() -> None:
    server = ServerTimes(
        received_ns=7_005_000_000,
        sent_ns=7_035_000_000,
        queue_ns=4_000_000,
        compute_input_ns=6_000_000,
        compute_infer_ns=17_000_000,
        compute_output_ns=3_000_000,
    )
    answer = replace(_answer(server, sent_ns=2_000_000_000, finished_ns=2_041_000_000), decoded_ns=2_042_000_000)
    times = times_of(answer, ClockOffset(offset_ns=5_000_000_000, uncertainty_ns=0), sent_ns=2_000_000_000)
    wanted = {"uplink_s": 5, "queue_s": 4, "decode_s": 6, "server_s": 17, "downlink_s": 10}
    assert times == pytest.approx({name: milliseconds / 1e3 for name, milliseconds in wanted.items()})


def _outputs(**changed: np.ndarray) -> Mapping[str, np.ndarray]:
    told = {
        "boxes": np.array([[[0.0, 0, 16, 16], [8, 8, 24, 24]]], np.float32),
        "scores": np.array([[0.9, 0.01]], np.float32),
        "labels": np.array([[1, 0]]),
    }
    return told | changed


def test_an_answer_is_told_in_the_frames_pixels(served: ServedDetector) -> None:
    found = served.found(_outputs(), ASK)
    np.testing.assert_array_equal(found.boxes, [[100, 50, 116, 66]])
    half = Ask(server=0, region=ASK.region, scale=0.5)
    np.testing.assert_array_equal(served.found(_outputs(), half).boxes, [[100, 50, 132, 82]])


@pytest.mark.parametrize(
    "changed",
    [
        {"boxes": np.zeros((1, 2, 5), np.float32)},
        {"boxes": np.zeros((2, 2, 4), np.float32)},
        {"boxes": np.zeros((2, 4), np.float32)},
        {"scores": np.zeros((1, 3), np.float32)},
        {"scores": np.zeros((), np.float32)},
        {"labels": np.array([[b"1", b"2"]], object)},
        {
            "boxes": np.zeros((1, 20_000, 4), np.float32),
            "scores": np.zeros((1, 20_000), np.float32),
            "labels": np.zeros((1, 20_000), np.int64),
        },
    ],
    ids=["sides", "batch", "rank", "count", "scalar", "texts", "too-many"],
)
def test_an_answer_that_is_no_detectors_is_refused(served: ServedDetector, changed: dict[str, np.ndarray]) -> None:
    with pytest.raises(ServerError, match="not boxes, scores and labels"):
        served.found(_outputs(**changed), ASK)
    with pytest.raises(ServerError, match="not boxes, scores and labels"):
        served.found({name: array for name, array in _outputs().items() if name != "scores"}, ASK)
    with pytest.raises(ServerError, match="not boxes, scores and labels"):
        served.found({**_outputs(), "scores": None}, ASK)  # type: ignore[dict-item]  # what the client makes of nothing


class MalformedAnswer:
    """What the client library hands over when a server's bytes are no tensors of the shapes that they tell."""

    def get_response(self) -> Any:
        return SimpleNamespace(outputs=[SimpleNamespace(name="boxes")])

    def as_numpy(self, name: str) -> Any:
        raise ValueError("cannot reshape array of size 3")


@pytest.mark.parametrize("fails", [False, True])
def test_an_answer_that_is_no_tensor_ends_as_an_error_for_the_one_who_asked(fails: bool) -> None:
    told: list[InferResult | ServerError] = []

    def answer(name: str, inputs: Any, callback: Any, **_: Any) -> None:
        if fails:
            callback(None, InferenceServerException("gone", status="StatusCode.UNAVAILABLE"))
        else:
            callback(MalformedAnswer(), None)

    with ServerClient("127.0.0.1:9") as client:
        client._client.async_infer = answer
        client.begin("it", {"x": np.zeros(3, np.uint8)}, told.append, timeout_s=1.0)
    (error,) = told
    assert isinstance(error, ServerError)
    assert error.code == ("UNAVAILABLE" if fails else "")
    assert ("cannot reach" if fails else "cannot be read: cannot reshape") in error.message


def test_numbers_that_cannot_be_true_are_passed_over(served: ServedDetector) -> None:
    boxes = np.array([[[0, 0, 1e30, 16], [np.nan, 0, 1, 1]]], np.float64)
    assert len(served.found(_outputs(boxes=boxes), ASK)) == 0
    assert len(served.found(_outputs(scores=np.array([[np.nan, np.nan]])), ASK)) == 0
    assert len(served.found(_outputs(labels=np.array([[7, -1]])), ASK)) == 0


def test_frames_that_no_server_takes_are_an_error(detector: Detector) -> None:
    with pytest.raises(OffloadError, match="frames of 8192x8192 have more than"):
        ServedDetector(detector, quality=90, width=8192, height=8192)
    assert MOST_PIXELS < 8192 * 8192


def test_an_image_larger_than_was_announced_is_an_error(served: ServedDetector) -> None:
    frame = np.zeros((400, 400, 3), np.uint8)
    with pytest.raises(OffloadError, match="takes no image of 400 x 400 pixels"):
        served.encoded(frame, Ask(server=0, region=whole_frame(400, 400)))


def test_names_tell_detector_quality_and_size_apart(detector: Detector) -> None:
    def name(**changed: int) -> str:
        return ServedDetector(detector, **({"quality": 90, "width": 320, "height": 192} | changed)).name

    names = {name(), name(quality=80), name(width=640)}
    assert len(names) == 3
    assert name() in names
