"""Clips offloaded to real servers in processes of their own, all at once, and servers that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import onnx
import pytest

from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.errors import OffloadError
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_emulation import LinkShape, parse_link
from offload.serving.server import ServeSettings
from offload.serving.upload import UploadLimits
from offload.verification.video import pool as pool_module
from offload.verification.video import run
from offload.verification.video.run import run_clip
from offload.verification.video.served_detector import ServedDetector
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.proposals.catalogue import make_predictor
from tests.made_detectors import SPOTS, bright_spots
from tests.offloaded_squares import COST, HEIGHT, WIDTH, assert_all_found, elf, pool_of, share, squares


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a server that lives may be silent for seconds."""
    monkeypatch.setattr(pool_module, "_LEAST_PATIENCE_S", 20.0)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


@pytest.fixture(scope="module")
def lasting() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    with EmbeddedServer(threads=1) as first, EmbeddedServer(threads=1) as second:
        yield first, second


def test_two_servers_find_all_in_parts_and_every_time_is_told(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    with pool_of(detector, *lasting) as pool:
        assert pool.there == (True, True)
        records = list(run_clip(squares(12), elf(2), pool, costs=(COST, COST)))
        assert pool.notes == []
    assert [record.number for record in records] == list(range(12))
    for record in records:
        assert_all_found(record)
        assert record.held == 0
        assert record.plan_s + record.merge_s <= record.latency_s
        for ask in record.asks:
            assert ask.answered
            assert ask.sent_bytes > 600  # a JPEG's headers
            assert min(ask.encode_s, ask.uplink_s, ask.decode_s, ask.server_s, ask.downlink_s) > 0
            assert ask.sent_at_s >= record.plan_s
            assert ask.done_s <= record.latency_s
        last_s = max(ask.done_s for ask in record.asks)
        assert last_s + record.merge_s == pytest.approx(record.latency_s, abs=0.02)
    assert 0 < share(records[1:], 0) < 1  # a busy machine divides them in any way


def test_a_server_that_has_the_detector_is_not_sent_it_again(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    served = ServedDetector(detector, quality=77, width=WIDTH, height=HEIGHT)
    with ServerClient(lasting[0].address) as client:
        assert served.ensure(client)
        assert not served.ensure(client)


def test_a_detector_of_one_size_is_sent_images_of_that_size(lasting: tuple[EmbeddedServer, EmbeddedServer]) -> None:
    fixed = made_detector("fixed", bright_spots("192", "320"), SPOTS)
    assert fixed.size == (320, 192)
    frames = [np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8)]
    frames[0][32:48, 64:80, 1] = 255
    with pool_of(fixed, lasting[0], width=WIDTH // 2, height=HEIGHT // 2) as pool:
        (record,) = run_clip(frames, elf(1, width=WIDTH // 2, height=HEIGHT // 2), pool, costs=(COST,))
    best = int(np.argmax(record.scores))
    np.testing.assert_allclose(record.boxes[best], (64, 32, 80, 48), atol=1)
    assert record.labels[best] == 1


def test_a_detector_that_takes_any_number_of_images_is_sent_one(lasting: tuple[EmbeddedServer, EmbeddedServer]) -> None:
    model = onnx.ModelProto.FromString(bright_spots())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    several = made_detector("several", model.SerializeToString(), SPOTS)
    with pool_of(several, lasting[0]) as pool:
        (record,) = run_clip(squares(1), elf(1), pool, costs=(COST,))
    assert_all_found(record)


def test_one_server_of_two_is_enough(detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]) -> None:
    with pool_of(detector, "127.0.0.1:9", lasting[0]) as pool:
        records = list(run_clip(squares(3), elf(2), pool, costs=(COST, COST)))
        assert pool.there == (False, True)
        assert "127.0.0.1:9 cannot be reached" in pool.notes[0]
    for record in records:
        assert_all_found(record)


def test_clocks_are_compared_again_between_frames(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CLOCKS_S", 0.0)
    with pool_of(detector, *lasting) as pool:
        first = [pool.offset(server) for server in range(2)]
        records = list(run_clip(squares(3), elf(2), pool, costs=(COST, COST)))
        last = [pool.offset(server) for server in range(2)]
    assert len(records) == 3
    for before, after in zip(first, last, strict=True):
        assert before is not None
        assert after is not None
        assert after is not before
        assert abs(after.offset_ns - before.offset_ns) < 1e9


def test_two_servers_behind_one_emulated_line(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    shape = parse_link("20mbps,3ms")
    with pool_of(detector, *lasting, link=(shape, shape)) as pool:
        assert all(rtt_s is not None and rtt_s >= 0.005 for rtt_s in pool.rtts_s)
        records = list(run_clip(squares(6), elf(2), pool, costs=(COST, COST)))
    for record in records:
        assert_all_found(record)
        for ask in record.asks:
            assert ask.uplink_s >= ask.sent_bytes * 8 / 20e6


def test_images_to_two_servers_share_the_line_and_travel_while_the_next_is_encoded(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    rate_bps, noise = 20e6, np.random.default_rng(0)
    frames = [noise.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(4)]
    method = Elf(
        settings=ElfSettings(expansion=0.0, compensation=None, rule="equal", multiple=16),
        predictor=make_predictor("hold"), width=WIDTH, height=HEIGHT, servers=(COST, COST),
    )  # fmt: skip
    shape = LinkShape(rate_bps=rate_bps)
    with pool_of(detector, *lasting, link=(shape, shape)) as pool:
        records = list(run_clip(frames, method, pool, costs=(COST, COST)))
    for record in records:
        assert [ask.server for ask in record.asks] == [0, 1]
        line_s = max(ask.sent_at_s + ask.uplink_s for ask in record.asks) - record.asks[0].sent_at_s
        assert line_s > 0.95 * record.sent_bytes * 8 / rate_bps
    first, second = min((record.asks for record in records), key=lambda asks: asks[1].sent_at_s)
    assert second.sent_at_s < first.sent_at_s + first.uplink_s


def test_without_any_server_it_is_one_line(detector: Detector) -> None:
    alone, two = pool_of(detector, "127.0.0.1:9"), pool_of(detector, "127.0.0.1:9", "127.0.0.1:19")
    with pytest.raises(OffloadError, match=r"cannot reach the server at 127\.0\.0\.1:9"), alone:
        pass
    with pytest.raises(OffloadError, match="none of the 2 servers can be reached") as caught, two:
        pass
    assert "offload serve" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (ServeSettings(token="secret"), "wants another token"),
        (ServeSettings(limits=UploadLimits(max_upload_bytes=100)), "over a limit"),
        (ServeSettings(limits=UploadLimits(max_models=0)), "over a limit"),
    ],
    ids=["token", "upload", "models"],
)
def test_a_server_that_refuses_is_one_line(detector: Detector, settings: ServeSettings, problem: str) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(threads=1, settings=settings))
        with pytest.raises(ServerError, match=problem) as caught:
            stack.enter_context(pool_of(detector, server))
        assert caught.value.hint


def test_another_model_under_the_name_is_one_line(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    served = ServedDetector(detector, quality=33, width=WIDTH, height=HEIGHT)
    with ServerClient(lasting[0].address) as client:
        client.upload(served.name, detector.onnx)
        with pytest.raises(ServerError, match="has another model under the name"):
            served.ensure(client)
        client.unload(served.name)
