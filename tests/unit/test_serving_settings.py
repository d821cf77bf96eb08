"""Which servers are refused before they start, and how errors read."""

from __future__ import annotations

import socket
import threading

import pytest
from tritonclient.utils import InferenceServerException

from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress
from offload.serving.addresses import format_address, is_loopback, parse_address
from offload.serving.client import ServerClient
from offload.serving.client_errors import server_error
from offload.serving.server import ServeSettings, serve
from offload.serving.timing import InferResult, ServerTimes, best_offset
from offload.serving.upload import UploadLimits


def try_to_serve(settings: ServeSettings) -> None:
    stop = threading.Event()
    serve(settings, NullProgress(), lambda _: stop.set(), stop=stop)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
@pytest.mark.parametrize(
    "protection", [{}, {"token": "t"}, {"tls_cert": "c", "tls_key": "k"}], ids=["nothing", "token", "tls"]
)
def test_beyond_this_machine_both_token_and_tls_are_needed(host: str, protection: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        try_to_serve(ServeSettings(host=host, port=0, **protection))
    assert "--insecure" in caught.value.hint


def test_beyond_this_machine_insecure_is_enough() -> None:
    try_to_serve(ServeSettings(host="0.0.0.0", port=0, insecure=True))


@pytest.mark.parametrize(
    "settings",
    [
        ServeSettings(tls_cert="only"),
        ServeSettings(threads=0),
        ServeSettings(port=70000),
        ServeSettings(limits=UploadLimits(max_upload_bytes=2**31)),
        ServeSettings(limits=UploadLimits(max_upload_bytes=0)),
    ],
)
def test_values_out_of_range_are_refused(settings: ServeSettings) -> None:
    with pytest.raises(UsageError) as caught:
        try_to_serve(settings)
    assert caught.value.hint


def test_a_port_in_use_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OffloadError, match=f"port {port} on 127.0.0.1 is in use") as caught:
            try_to_serve(ServeSettings(port=port))
    assert "--port" in caught.value.hint


def test_two_servers_cannot_share_a_port() -> None:
    stop = threading.Event()

    def second(port: int) -> None:
        with pytest.raises(OffloadError, match="in use"):
            try_to_serve(ServeSettings(port=port))
        stop.set()

    serve(ServeSettings(port=0), NullProgress(), second, stop=stop)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_ours_cannot_be_bound(host: str) -> None:
    with pytest.raises(OffloadError, match="cannot listen on"):
        try_to_serve(ServeSettings(host=host, port=0, insecure=True))


def test_certificates_that_cannot_be_read_are_an_error(tmp_path) -> None:
    (tmp_path / "c.pem").write_text("nonsense")
    for name in ("c.pem", "missing.pem"):
        path = str(tmp_path / name)
        with pytest.raises(OffloadError, match="cannot use the certificate"):
            try_to_serve(ServeSettings(port=0, tls_cert=path, tls_key=path))


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:8001", ("127.0.0.1", 8001)), ("edge:1", ("edge", 1)), ("[::1]:8001", ("::1", 8001))],
)
def test_addresses_parse_and_format(address: str, parts: tuple[str, int]) -> None:
    assert parse_address(address) == parts
    assert format_address(*parts) == address


@pytest.mark.parametrize(
    "address", ["", "host", ":8001", "host:", "host:http", "host:0", "host:65536", "::1:8001", "[]:1"]
)
def test_what_is_not_an_address_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        parse_address(address)


def test_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.3.2.1", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.example.org", ""]))


def test_an_unreachable_server_is_an_error_with_a_hint() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = format_address(*unused.getsockname())
        with ServerClient(address, timeout_s=5) as client, pytest.raises(OffloadError, match=address) as caught:
            client.check()
    assert "offload serve" in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_silent_server_is_an_error_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = format_address(*silent.getsockname())
        with ServerClient(address, timeout_s=0.3) as client, pytest.raises(OffloadError, match=address):
            client.check()


def test_a_certificate_authority_that_cannot_be_read_is_an_error(tmp_path) -> None:
    with pytest.raises(OffloadError, match="cannot read the certificate"):
        ServerClient("127.0.0.1:8001", tls=tmp_path / "missing.pem")


@pytest.mark.parametrize(
    "status",
    [
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
        "NOT_FOUND",
        "RESOURCE_EXHAUSTED",
        "INTERNAL",
    ],
)
def test_every_status_becomes_one_line_with_a_hint(status: str) -> None:
    error = server_error(InferenceServerException("a\nb", status=f"StatusCode.{status}"), "h:1", 3.0)
    assert error.code == status
    assert "h:1" in error.message
    assert "\n" not in error.message
    assert error.hint


def result(*, started: int, received: int, sent: int, finished: int) -> InferResult:
    server = ServerTimes(
        received_ns=received,
        sent_ns=sent,
        queue_ns=0,
        compute_input_ns=0,
        compute_infer_ns=sent - received,
        compute_output_ns=0,
    )
    return InferResult(
        outputs={}, encoding_ns=started, started_ns=started, finished_ns=finished, decoded_ns=finished, server=server
    )


def test_the_fastest_exchange_gives_the_clock_offset() -> None:
    slow = result(started=0, received=5_900, sent=6_000, finished=2_000)
    fast = result(started=10_000, received=15_100, sent=15_400, finished=10_500)
    offset = best_offset([slow, fast])
    assert offset is not None
    assert (offset.offset_ns, offset.uncertainty_ns) == (5_000, 100)
    assert fast.uplink_s(offset) == pytest.approx(100e-9)
    assert fast.downlink_s(offset) == pytest.approx(100e-9)
    assert fast.network_s == pytest.approx(200e-9)
    assert fast.call_s == pytest.approx(500e-9)


def test_servers_that_tell_no_times_give_no_offset() -> None:
    silent = InferResult(outputs={}, encoding_ns=0, started_ns=1, finished_ns=5, decoded_ns=6, server=None)
    assert best_offset([silent]) is None
    assert silent.network_s == silent.call_s
