"""Crops timed on a server: by its stamps and nothing else, and what cannot be timed."""

from __future__ import annotations

import numpy as np
import pytest

from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.serving.tensors import TensorSpec
from offload.serving.timing import InferResult, ServerTimes
from offload.verification.video.remote_crops import measure_crops_on
from tests.made_detectors import SPOTS, bright_spots

FRAME = np.zeros((96, 160, 3), np.uint8)


class _Server:
    """Answers at once, says what it took, and is interrupted in one of its answers."""

    address = "far:8001"

    def __init__(self, detector: Detector, *, tells: bool = True, interrupted_at: int | None = None) -> None:
        self._detector, self._tells, self._interrupted_at = detector, tells, interrupted_at
        self.answers = 0

    def check(self) -> None:
        """It is there."""

    def ready(self, name: str) -> bool:
        return True

    def metadata(self, name: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        outputs = {"boxes": (1, -1, 4), "scores": (1, -1), "labels": (1, -1)}
        return (
            (TensorSpec(name=self._detector.input, datatype="UINT8", shape=(-1,)),),
            tuple(TensorSpec(name=key, datatype="FP32", shape=shape) for key, shape in outputs.items()),
        )

    def infer(self, name: str, feeds: dict[str, np.ndarray]) -> InferResult:
        self.answers += 1
        if self.answers == self._interrupted_at:
            raise KeyboardInterrupt
        times = ServerTimes(
            received_ns=0, sent_ns=10**12, queue_ns=10**9, compute_input_ns=10**8, compute_infer_ns=7 * 10**6,
            compute_output_ns=10**7, decode_ns=3 * 10**6,
        )  # fmt: skip
        outputs = {"boxes": np.zeros((1, 5, 4), np.float32), "scores": np.zeros((1, 5), np.float32)}
        return InferResult(
            outputs=outputs, encoding_ns=0, started_ns=0, finished_ns=10**10, decoded_ns=10**10,
            server=times if self._tells else None,
        )  # fmt: skip


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


def _measured(
    server: _Server, detector: Detector, rounds: int
) -> list[tuple[tuple[float, ...], tuple[float, ...], int]]:
    crops = measure_crops_on(server, detector, FRAME, quality=80, rounds=rounds, progress=NullProgress())  # type: ignore[arg-type]
    return [(crop.decode_s, crop.samples_s, crop.answer_bytes) for crop in crops]


def test_only_what_the_server_says_of_decoding_and_the_detector_counts(detector: Detector) -> None:
    found = _measured(_Server(detector), detector, 2)
    assert len(found) > 2
    assert set(found) == {((0.003, 0.003), (0.007, 0.007), 5 * 4 * 4 + 5 * 4)}


def test_an_interrupt_in_a_later_round_keeps_what_there_is(detector: Detector) -> None:
    sizes = len(_measured(_Server(detector), detector, 1))
    found = _measured(_Server(detector, interrupted_at=2 * sizes + 4), detector, 9)
    assert [len(samples) for _, samples, _ in found] == [2, *[1] * (sizes - 1)]
    with pytest.raises(KeyboardInterrupt):
        _measured(_Server(detector, interrupted_at=2 * sizes), detector, 9)


def test_a_server_that_does_not_tell_its_times_is_refused(detector: Detector) -> None:
    with pytest.raises(OffloadError, match="far:8001 does not tell its times"):
        _measured(_Server(detector, tells=False), detector, 1)
